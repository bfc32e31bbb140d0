#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab: an emulated host with a real IOMMU, SR-IOV devices and KVM, to run pcivm in."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from labkit import assign, bench, cache, case, goals, host, image, packages, runner, suite, topology, tree

LIMIT = 2  # emulated hosts at a time on this machine
ROOT = Path(__file__).resolve().parents[2]
# What the build makes for hosts and guests (tests/CMakeLists.txt).
BUILT = (
    "user_edu",        # tests/support: vm-vfio-user
    "machine_kernel",  # tests/kernel: vm-machine
    "vf_kernel",       # tests/bench: assigned-counts
    "poke",            # guest: assigned-poked
    "verify",          # verify.cpp: assigned-bar
    "load",            # tests/bench: soak-load
)


def prepare(_) -> int:
    cache.prune()
    packages.install_needed()
    debian = tree.get()
    image.host_base(debian)
    image.peer_layer(debian)
    image.virtiofsd_layer(debian)
    image.passt_layer(debian)
    image.guest(debian)
    return 0


def run_list(_) -> int:
    cases = case.load_all()
    for name in topology.names():
        print(f"{name}: {topology.load(name).about}")
        for each in cases:
            if name in each.topologies:
                print(f"  {each.name}{' (soak)' if each.soak else ''}: {each.about}")
    return 0


def run_test(arguments) -> int:
    unknown = [name for name in arguments.topology if name not in topology.names()]
    if unknown:
        raise cache.LabError(f"no topology '{unknown[0]}', wanted some of {', '.join(topology.names())}")
    given = content(arguments)
    cases = [each for each in case.load_all() if each.soak == arguments.soak and arguments.only in each.name]
    plan = {}
    for name in arguments.topology or topology.names():
        chosen = [variant for each in cases if name in each.topologies
                  for variant in each.variants(name, arguments.every_way)]
        if chosen:
            plan[name] = chosen
    if not plan:
        raise cache.LabError(f"nothing to run: no such case has '{arguments.only}' in its name; `lab.py list` shows all")
    for name, cases in plan.items():
        if topology.load(name).system == "initramfs" and not given.pcivm and any("pcivm" in each.needs for each in cases):
            raise cache.LabError(f"{ROOT / 'build/pcivm'} is absent: build it, or name a binary with --pcivm")
    prepare(arguments)
    return 0 if runner.run(plan, given, arguments.jobs, arguments.patience).close() else 1


def content(arguments) -> host.Content:
    pcivm = Path(arguments.pcivm) if arguments.pcivm else ROOT / "build/pcivm"
    if not pcivm.is_file():
        if arguments.pcivm:
            raise cache.LabError(f"{pcivm} is no file, wanted the pcivm binary")
        pcivm = None
    package = sorted((ROOT / "build/package" / suite.running()).glob("pcivm_*.deb"))
    built = [ROOT / "build/release/tests" / name for name in BUILT]
    extra = [Path(path) for path in arguments.add] + [path for path in built if path.is_file()]
    return host.Content(pcivm=pcivm, package=package[-1] if package else None, extra=extra, peer=arguments.peer, firmware=arguments.firmware)


def execute(host_name: str, script: Path, arguments, given: host.Content) -> int:
    given.scripts["lab/script"] = script.read_bytes()
    with cache.slot(LIMIT), host.Host(topology.load(host_name), given) as running:
        try:
            outcome = running.run("/lab/script", arguments.deadline, lambda line: print(line, flush=True))
        except host.Stuck as stuck:
            running.show_what_hangs()
            cache.say(f"{stuck}; end of the console ({running.console}):")
            print("\n".join(running.console_from(0)[-60:]), file=sys.stderr)
            return 124
        for line in running.trouble_since(0):
            cache.say(f"console: {line}")
        return outcome.code


def run_exec(arguments) -> int:
    return execute(arguments.topology, Path(arguments.script), arguments, content(arguments))


def run_demo(arguments) -> int:
    given = content(arguments)
    if not given.package:
        raise cache.LabError("the demonstration shows what the package installs, and there is none: run ./dev package")
    for name in arguments.topology or ["systemd", "amdvi"]:
        start = time.monotonic()
        print(f"\n\033[1m== {name}: {topology.load(name).about}\033[0m", flush=True)
        with tempfile.TemporaryDirectory(prefix="pcivm-demo-") as place:
            cache.run(["dpkg-deb", "-x", str(given.package), place])
            given.pcivm = Path(place) / "usr/bin/pcivm"
            code = execute(name, image.LAB / "demo.sh", arguments, given)
        if code != 0:
            return code
        print(f"\n{name}: shown in {time.monotonic() - start:.0f} s", flush=True)
    return 0


def run_goals(arguments) -> int:
    return goals.run(arguments, content(arguments))


def run_assign(arguments) -> int:
    return assign.run(arguments, content(arguments))


def run_bench(arguments) -> int:
    return bench.run(arguments, content(arguments))


def run_shell(arguments) -> int:
    with cache.slot(LIMIT), host.Host(topology.load(arguments.topology), content(arguments), terminal=True) as running:
        return running.shell()


def clean(_) -> int:
    for entry in sorted(cache.root().iterdir()):
        if entry.suffix != ".lock":
            cache.remove(entry)
    return 0


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lab.py", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function, about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(function=function)
        return added

    def host_options(added: argparse.ArgumentParser) -> None:
        added.add_argument("--pcivm", metavar="FILE", help="the binary to put in as /lab/bin/pcivm (build/pcivm)")
        added.add_argument("--add", metavar="FILE", action="append", default=[], help="another file for /lab/bin")
        added.add_argument("--peer", action="store_true", help="put Debian's QEMU in")
        added.add_argument("--firmware", action="store_true", help="put OVMF, SeaBIOS and a disk to boot in")

    command("prepare", prepare, "download and build what the lab is made of; nothing to do the second time")
    command("list", run_list, "topologies and their tests")
    added = command("test", run_test, "boot each host once, run its cases in it")
    added.add_argument("topology", nargs="*")
    added.add_argument("--only", default="", metavar="TEXT", help="cases with this in their name")
    added.add_argument("--soak", action="store_true", help="the long cases, and only these")
    added.add_argument("--every-way", action="store_true", help="on each IOMMU by each back end, not each of them once")
    added.add_argument("--jobs", type=int, default=LIMIT, metavar="N", help=f"hosts at a time ({LIMIT})")
    added.add_argument("--patience", type=float, default=1.0, metavar="FACTOR", help="multiplies deadlines (1)")
    host_options(added)
    added = command("exec", run_exec, "boot a host, run a bash script in it, exit with the script's code")
    added.add_argument("topology")
    added.add_argument("script")
    added.add_argument("--deadline", type=float, default=600, metavar="SECONDS", help="(600)")
    host_options(added)
    added = command("demo", run_demo, "show pcivm at work, in a VT-d host and in an AMD-Vi host")
    added.add_argument("topology", nargs="*")
    added.set_defaults(deadline=180.0)
    host_options(added)
    added = command("shell", run_shell, "boot a host and give an interactive shell in it")
    added.add_argument("topology", nargs="?", default="vtd")
    host_options(added)
    added = command("goals", run_goals, "pcivm, QEMU's q35 and its microvm: a table of what performance is measured by")
    goals.add_options(added)
    host_options(added)
    added = command("assign", run_assign, "assigned devices under pcivm and QEMU, by container and by iommufd: a table")
    assign.add_options(added)
    host_options(added)
    added = command("bench", run_bench, "pcivm against QEMU: start, exits, resets, calls")
    bench.add_options(added)
    host_options(added)
    command("clean", clean, "remove everything from the cache")
    return parser.parse_args(argv)


def main() -> int:
    arguments = parse(sys.argv[1:])
    try:
        return arguments.function(arguments)
    except cache.LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except host.Stuck as stuck:
        print(f"lab: {stuck}", file=sys.stderr)
        return 124
    except BrokenPipeError:  # the reader of our output left; Python must not try to flush to it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


if __name__ == "__main__":
    sys.exit(main())
