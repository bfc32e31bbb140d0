#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Validates what every command prints with -o json against docs/schema, on a small tree and on this host, and that -o yaml
prints the same. A command of `pcivm __tree` that is not tried here is a failure.

usage: schema_test.py PCIVM        exits 77 (skipped) without python3-jsonschema and python3-yaml
"""
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
try:
    import yaml

    from tests.support import documents
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
# Commands that print no document, only errors.
NO_DOCUMENT = {"completion": "a script", "vm run": "the console of a guest", "vf set": "the live host only",
               "vf destroy": "only notes", "udev watch": "a service", "udev rules": "rules", "udev wait": "only notes",
               "vf eswitch": "the live host only", "config import": "a file of ours",
               "vm console": "what a guest says", "vm logs": "what a guest said", "vm wait": "a VM that runs",
               "attach": "a VM that runs", "detach": "a VM that runs",
               "vm set": "a VM that runs", "vm create": "only notes"}


def write(path: pathlib.Path, text: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def link(path: pathlib.Path, target: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def function(root: pathlib.Path, address: str, group: int, driver: str, **files: str):
    real = root / f"sys/devices/pci0000:00/{address}"
    write(real / "uevent", f"DRIVER={driver}\nPCI_CLASS=20000\nPCI_ID=8086:10C9\nPCI_SUBSYS_ID=8086:A03C\n")
    for name, text in {"vendor": "0x8086\n", "device": "0x10c9\n", "subsystem_vendor": "0x8086\n",
                       "subsystem_device": "0xa03c\n", "driver_override": "(null)\n", **files}.items():
        write(real / name, text)
    link(root / f"sys/bus/pci/devices/{address}", f"../../../devices/pci0000:00/{address}")
    link(real / "driver", f"../../../bus/pci/drivers/{driver}")
    link(real / "iommu_group", f"../../../kernel/iommu_groups/{group}")
    link(root / f"sys/kernel/iommu_groups/{group}/devices/{address}", f"../../../../devices/pci0000:00/{address}")
    write(root / f"sys/kernel/iommu_groups/{group}/reserved_regions", "0xfee00000 0xfeefffff msi\n")


def make_tree(root: pathlib.Path):
    """A PF with an interface that carries a VLAN, its VF, and a sibling of the PF."""
    function(root, "0000:01:00.0", 6, "igb", sriov_totalvfs="7\n", sriov_numvfs="1\n",
             sriov_drivers_autoprobe="1\n", reset_method="flr\n", resource="0xfe800000 0xfe81ffff 0x40200\n",
             numa_node="0\n", current_link_speed="5.0 GT/s PCIe\n", current_link_width="4\n", power_state="D0\n")
    function(root, "0000:01:00.1", 6, "snd_hda_intel")
    function(root, "0000:01:10.0", 9, "vfio-pci", driver_override="vfio-pci\n", reset_method="flr\n", reset="",
             **{"class": "0x020000\n"}, config="\0" * 64)
    device = root / "sys/devices/pci0000:00/0000:01:00.0"
    link(device / "virtfn0", "../0000:01:10.0")
    link(device.parent / "0000:01:10.0/physfn", "../0000:01:00.0")
    (device / "net/eth2/upper_eth2.5").mkdir(parents=True)
    link(root / "sys/class/net/eth2", "../../devices/pci0000:00/0000:01:00.0/net/eth2")


def difference(left, right, path: str = "") -> str:
    """Where two documents first differ."""
    if isinstance(left, dict) and isinstance(right, dict) and list(left) == list(right):
        pairs = [(f"{path}.{key}", left[key], right[key]) for key in left]
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        pairs = [(f"{path}[{i}]", left[i], right[i]) for i in range(len(left))]
    else:
        return f"{path}: {left!r}, {right!r}"
    return next(difference(a, b, name) for name, a, b in pairs if a != b)


def undocumented(report) -> int:
    """How many checks of pcivm doctor have no section in docs/doctor.md."""
    sections = (DOCS / "doctor.md").read_text()
    missing = [item["id"] for item in report["items"] if f"\n### {item['id']}\n" not in sections]
    for check_id in missing:
        print(f"FAILED: docs/doctor.md has no section '{check_id}'")
    return len(missing)


def leaves(command: dict, path: tuple = ()):
    """The names of all commands that do something."""
    for below in command["commands"]:
        yield from leaves(below, path + (below["name"],))
    if path and not command["commands"]:
        yield path


def main() -> int:
    pcivm = sys.argv[1]
    failures = 0
    commands = list(leaves(json.loads(subprocess.run([pcivm, "__tree"], stdout=subprocess.PIPE, check=True).stdout)))
    tried = set()

    def said(form: str, schema: str, *arguments: str) -> str:
        outcome = subprocess.run([pcivm, *arguments, "-o", form], capture_output=True, text=True, check=False)
        return outcome.stderr if schema == "error.json" else outcome.stdout

    def check(schema: str, *arguments: str):
        nonlocal failures
        if schema != "error.json":
            tried.update(path for path in commands if arguments[:len(path)] == path)
        text = said("json", schema, *arguments)
        problem = documents.complaint(text)
        if not problem and documents.schema_name(json.loads(text)) != schema:
            problem = f"it is a document for {documents.schema_name(json.loads(text))}"
        if not problem and yaml.safe_load(in_yaml := said("yaml", schema, *arguments)) != json.loads(text):
            problem = f"-o yaml differs: {difference(yaml.safe_load(in_yaml), json.loads(text))}"
        failures += bool(problem)
        print(f"FAILED: pcivm {' '.join(arguments)} against {schema}: {problem}" if problem
              else f"ok: pcivm {' '.join(arguments)}")

    with tempfile.TemporaryDirectory() as directory:
        make_tree(pathlib.Path(directory))
        root = ("--root", directory)
        check("device-list.json", "device", "list", *root)
        check("device.json", "device", "show", "eth2", *root)
        check("device.json", "device", "show", "eth2/vf0", *root)
        check("group-list.json", "group", "list", *root)
        check("group.json", "group", "show", "6", *root)
        check("error.json", "device", "show", "eth9", *root)
        check("vf-list.json", "vf", "list", *root)
        check("vf.json", "vf", "show", "eth2/vf0", *root)
        check("vf-list.json", "vf", "create", "eth2", "1", *root)
        check("error.json", "vf", "create", "eth2", "2", *root)
        check("step-list.json", "vf", "destroy", "eth2", "--dry-run", *root)
        check("step-list.json", "device", "release", "eth2/vf0", "--dry-run", *root)
        check("change-list.json", "device", "bind", "eth2/vf0", *root)
        check("step-list.json", "device", "reset", "eth2/vf0", "--dry-run", *root)
        check("reset-list.json", "device", "reset", "eth2/vf0", *root)
        check("error.json", "device", "reset", "eth2", *root)
        check("repair-list.json", "reconcile", *root)
        check("step-list.json", "udev", "install", *root)
        check("doctor-report.json", "doctor", *root)
        check("doctor-report.json", "doctor", "eth2/vf0", *root)
        check("topology.json", "topology", *root)
        check("error.json", "config", "validate", *root)
        said("json", "", "vm", "create", "web", "--kernel", "/boot/vmlinuz", "--memory", "512M", "--device", "eth2/vf0", *root)
        (pathlib.Path(directory, "run/pcivm/vm/killed")).mkdir(parents=True)
        check("vm-list.json", "vm", "list", *root)
        check("vm.json", "vm", "show", "web", *root)
        check("vm.json", "vm", "show", "killed", *root)
        check("error.json", "vm", "show", "absent", *root)
        check("error.json", "vm", "wait", "web", *root)
        check("step-list.json", "vm", "start", "web", "--dry-run", *root)
        check("step-list.json", "vm", "stop", "web", "--dry-run", *root)
        check("step-list.json", "vm", "restart", "web", "--dry-run", *root)
        check("step-list.json", "vm", "delete", "web", "--dry-run", *root)
        host_file = pathlib.Path(directory, "etc/pcivm/host.yaml")
        write(host_file, "apiVersion: pcivm/v1\nkind: HostConfig\ndevices: {lan0: {match: {slot: 3}, sriov: {numVfs: 2}}}\n")
        check("config-report.json", "config", "validate", *root)
        write(host_file, "apiVersion: pcivm/v1\nkind: HostConfig\ndevices: {lan0: {match: {slt: 3}}}\n")
        check("config-report.json", "config", "validate", *root)
        check("error.json", "plan", "--root", f"{directory}/etc")
        write(host_file, "apiVersion: pcivm/v1\nkind: HostConfig\ndevices:\n"
              "  lan0: {match: {bdf: '0000:01:00.0'}, sriov: {numVfs: 1}}\n"
              "  lan9: {match: {bdf: '0000:09:00.0'}, sriov: {numVfs: 1}}\n")
        check("plan.json", "plan", *root)
        check("error.json", "plan", "--only", "lan8", *root)
        check("status-list.json", "status", *root)
        check("host-config.json", "export", *root)
        check("plan.json", "apply", "--dry-run", "--only", "lan0", *root)
        check("apply-result.json", "apply", "--yes", "--only", "lan0", *root)
        check("error.json", "rollback", "--yes", *root)
        write(host_file, "apiVersion: pcivm/v1\nkind: HostConfig\ndevices:\n"
              "  lan0: {match: {bdf: '0000:01:00.0'}, sriov: {autoprobe: false}}\n")
        said("json", "", "apply", "--yes", *root)
        check("plan.json", "rollback", "--dry-run", *root)
        failures += undocumented(json.loads(said("json", "", "doctor", *root)))
    check("device-list.json", "device", "list")
    check("group-list.json", "group", "list")
    check("topology.json", "topology")
    check("error.json", "device", "list", "--root", "/nonexistent")
    check("error.json", "device", "lst")
    for path in commands:
        check("error.json", *path, "--no-such-option")
        if path not in tried and " ".join(path) not in NO_DOCUMENT:
            failures += 1
            print(f"FAILED: 'pcivm {' '.join(path)}' is not tried by {pathlib.Path(__file__).name}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
