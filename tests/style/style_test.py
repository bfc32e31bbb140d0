#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of the tree that a compiler does not check: who includes whom, which library lives where, which file may make
raw system calls, licence lines. Prints every breach; exits 1 when there is one."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ALL = {"base", "iommu", "vfio", "sriov", "udev", "vmm", "cli"}
# docs/architecture.md, "Folders".
MAY_INCLUDE = {
    "base": set(), "iommu": {"base"}, "vfio": {"base", "iommu"}, "sriov": {"base", "iommu", "vfio"}, "udev": {"base"},
    "vmm": {"base", "iommu", "vfio"}, "cli": ALL, "tests": ALL | {"tests"},
}
FENCED = {  # header prefix -> where it may be included
    "pci/": ("iommu/",), "libmount": ("iommu/",), "netlink/": ("sriov/", "iommu/kernel_routes.cpp"), "libkmod": ("vfio/",), "libudev": ("udev/monitor.cpp",),
    "liburing": ("vmm/virtio/uring_engine.cpp",), "spdlog/": ("base/log.cpp",), "CLI/": ("cli/",), "boost/": ("cli/http_message.cpp",), "nlohmann/": ("cli/",), "libsmartcols": ("cli/",),
    "cap-ng": ("cli/vm_confine.cpp",), "seccomp.h": ("vmm/thread_filter_rules.cpp",), "pugixml": ("cli/import_libvirt.cpp",), "yaml-cpp/": ("cli/config_yaml.cpp", "cli/render_yaml.cpp"),
}
RAW_CALLS = re.compile(r"reinterpret_cast|(?<!\w)::ioctl\(|(?<!\w)::mmap\(|(?<!\w)::open(at)?\(")
RAW_ALLOWED = {"base/fd.cpp", "base/ioctl.cpp", "base/mapping.cpp", "vmm/guest_memory.cpp"}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)


def breaches(path: pathlib.Path):
    name = path.relative_to(ROOT).as_posix()
    folder = name.split("/")[0]
    text = path.read_text(encoding="utf-8")
    if "SPDX-License-Identifier: GPL-2.0-or-later" not in text.split("\n", 2)[0] + text.split("\n", 2)[1]:
        yield "has no licence line"
    if path.suffix not in (".cpp", ".hpp"):
        return
    for bracket, target in INCLUDE.findall(text):
        top = target.split("/")[0]
        if bracket == '"' and top != folder and top not in MAY_INCLUDE[folder]:
            yield f"includes {target}: {folder}/ may include only {', '.join(sorted(MAY_INCLUDE[folder])) or 'itself'}"
        for prefix, places in FENCED.items():
            if bracket == "<" and target.startswith(prefix) and folder != "tests" and not name.startswith(places):
                yield f"includes <{target}>, which is fenced to {', '.join(places)}"
    if folder != "tests" and name not in RAW_ALLOWED:
        code = re.sub(r"//[^\n]*", "", text)
        for call in sorted(set(match.group(0) for match in RAW_CALLS.finditer(code))):
            yield f"uses {call}, allowed only in {', '.join(sorted(RAW_ALLOWED))}"


def unknown_tests():
    """Names in docs/faults.md of unit tests (Suite.Name, Suite.*, .Name of the suite before) and lab cases (a-name)."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*_test.cpp"))
    tests = set(re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", source, re.M))
    cases = {path.stem for path in (ROOT / "tests/lab/cases").glob("*.sh")}
    suite = ""
    for name in re.findall(r"`([^`]+)`", (ROOT / "docs/faults.md").read_text(encoding="utf-8")):
        if named := re.fullmatch(r"(\w*)\.(\w+|\*)", name):
            suite = named[1] or suite
            if not any(suite == known and named[2] in (test, "*") for known, test in tests):
                yield f"docs/faults.md: there is no test {suite}.{named[2]}"
        elif re.fullmatch(r"[a-z]+(-[a-z]+)+", name) and name not in cases:
            yield f"docs/faults.md: there is no case {name}"


def main() -> int:
    files = [p for folder in sorted(MAY_INCLUDE) for p in sorted((ROOT / folder).rglob("*"))
             if p.suffix in (".cpp", ".hpp", ".py", ".sh")]
    found = [f"{path.relative_to(ROOT)}: {breach}" for path in files for breach in breaches(path)]
    found += unknown_tests()
    print("\n".join(found) or f"{len(files)} files keep the rules")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())
