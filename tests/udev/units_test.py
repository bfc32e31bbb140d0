#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the package gives systemd and udev: units are read by systemd-analyze without a complaint, that of the VMM is as
narrow as can be, the catalog explains exactly the ids of cli/message_ids.hpp, rules and hook are well-formed.

usage: units_test.py PCIVM        exits 77 (skipped) without systemd-analyze
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ROOT / "udev/files"
MOST_EXPOSURE = 2.0  # of the VMM's unit
MANAGERS = ("systemd-networkd.service", "NetworkManager.service", "networking.service")

failures = []


def expect(holds: bool, text: str):
    if not holds:
        failures.append(text)


def units(pcivm: str, directory: pathlib.Path) -> list[pathlib.Path]:
    hardening = (FILES / "hardening.conf").read_text()
    made = []
    for source in sorted([*FILES.glob("*.service.in"), *FILES.glob("*.socket.in")]):
        unit = directory / source.name.removesuffix(".in")
        unit.write_text(source.read_text().replace("@PCIVM@", pcivm).replace("@HARDENING@", hardening))
        made.append(unit)
    return made


def verify(pcivm: str):
    with tempfile.TemporaryDirectory() as place:
        directory = pathlib.Path(place)
        made = units(pcivm, directory)
        expect(len(made) >= 3, f"units are {made}")
        for unit in made:
            # An instance, whose name holds the colons of an address.
            instance = unit if "@" not in unit.name else unit.with_name(unit.name.replace("@", "@0000:01:00.0"))
            if instance != unit:
                instance.symlink_to(unit.name)
            outcome = subprocess.run(["systemd-analyze", "verify", "--man=no", str(instance)], capture_output=True,
                                     text=True, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{directory}:"}, check=False)
            # Complaints about other units of this machine are not ours.
            ours = [line for line in outcome.stderr.splitlines() if "pcivm" in line]
            expect(not ours, f"{unit.name}: {ours}")
            expect(outcome.returncode == 0 or not ours, f"{unit.name}: {outcome.stderr}")
            expect("Unknown" not in "".join(ours), f"{unit.name}: {ours}")
        exposure(directory / "pcivm-vmm@.service")


def exposure(unit: pathlib.Path):
    """systemd's own judgement of how little the VMM's unit may do."""
    outcome = subprocess.run(["systemd-analyze", "security", "--no-pager", "--offline=true",
                              f"--threshold={int(MOST_EXPOSURE * 10)}", str(unit)],
                             capture_output=True, text=True, check=False)
    expect(outcome.returncode == 0 and "exposure level" in outcome.stdout,
           f"{unit.name} is exposed more than {MOST_EXPOSURE}:\n{outcome.stdout}{outcome.stderr}")


def calls():
    """What the VMM's threads may call its unit lets them call: the filters of both must allow it."""
    rules = set(re.findall(r"\bSYS_(\w+)", (ROOT / "vmm/thread_filter_rules.cpp").read_text()))
    unit = (FILES / "pcivm-vmm@.service.in").read_text()
    allowed = set(" ".join(re.findall(r"^SystemCallFilter=(.*)$", unit, re.M)).split())
    missing = rules - allowed - {"sigaltstack"}  # which sanitizers need
    expect(not missing, f"the VMM's unit does not allow {sorted(missing)}")
    expect(not any(call.startswith(("@", "~")) for call in allowed), "the VMM's unit names its calls one by one")


def words() -> None:
    for source in FILES.glob("*.service.in"):
        text = source.read_text()
        expect("settle" not in text, f"{source.name} waits for settle")
        for line in re.findall(r"^ExecStart=@PCIVM@ (.*)$", text, re.M):
            expect(line.split()[0] in ("apply", "reconcile", "udev", "vm", "__vmm"), f"{source.name} runs '{line}'")
        early = "DefaultDependencies=no" in text
        expect(not early or "Before=network-pre.target" in text, f"{source.name} is not ordered before the network")
        expect(not early or "Conflicts=shutdown.target" in text, f"{source.name} would survive a shutdown")
    for line in (FILES / "hardening.conf").read_text().splitlines():
        key = line.split("=")[0]
        expect(not key.startswith(("Protect", "Private", "ReadOnly", "Inaccessible", "Device")) or line.startswith("#"),
               f"{key} hides what pcivm must see or write")


def catalog():
    described = re.findall(r"^-- ([0-9a-f]{32})$", (FILES / "pcivm.catalog").read_text(), re.M)
    used = re.findall(r'"([0-9a-f]{32})"', (ROOT / "cli/message_ids.hpp").read_text())
    expect(sorted(described) == sorted(used), f"the catalog explains {described}, the messages are {used}")
    expect(len(set(used)) == len(used), "two messages have one id")
    if shutil.which("journalctl"):
        with tempfile.TemporaryDirectory() as place:
            folder = pathlib.Path(place, "usr/lib/systemd/catalog")
            folder.mkdir(parents=True)
            shutil.copy(FILES / "pcivm.catalog", folder)
            pathlib.Path(place, "var/lib/systemd/catalog").mkdir(parents=True)
            made = subprocess.run(["journalctl", f"--root={place}", "--update-catalog"], capture_output=True, text=True,
                                  check=False)
            listed = subprocess.run(["journalctl", f"--root={place}", "--list-catalog"], capture_output=True, text=True,
                                    check=False)
            expect(made.returncode == 0 and len(listed.stdout.splitlines()) == len(used),
                   f"journalctl reads the catalog as: {listed.stdout}{made.stderr}{listed.stderr}")


def rules():
    for line in (FILES / "60-pcivm.rules").read_text().replace("\\\n", "").splitlines():
        if not line or line.startswith("#"):
            continue
        for part in re.split(r",\s*", line):
            expect(re.fullmatch(r'[A-Z]+(\{[^}]+\})?(==|!=|\+=|=)"[^"]*"', part) is not None, f"60-pcivm.rules: {part}")
    if shutil.which("udevadm") and "verify" in subprocess.run(["udevadm", "--help"], capture_output=True, text=True,
                                                              check=False).stdout:  # from systemd 254 on
        outcome = subprocess.run(["udevadm", "verify", str(FILES / "60-pcivm.rules")], capture_output=True, text=True,
                                 check=False)
        expect(outcome.returncode == 0, outcome.stdout + outcome.stderr)
    outcome = subprocess.run(["sh", "-n", str(FILES / "initramfs-hook")], capture_output=True, text=True, check=False)
    expect(outcome.returncode == 0, outcome.stderr)


def main() -> int:
    words()
    calls()
    rules()
    if not shutil.which("systemd-analyze"):
        print("skipped: systemd-analyze is not installed")
        return 1 if failures else 77
    verify(sys.argv[1])
    catalog()
    print("\n".join(failures) or "units, catalog and rules are in order")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
