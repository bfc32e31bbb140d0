#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What lists cost: system calls for each function, and time against lspci, on the fixture tree of a large host.

usage: list.py PCIVM [FUNCTIONS]        needs strace and lspci

`lspci -k` names modules too, from the table that every Debian kernel brings. A machine without one (a container, a kernel
of one piece) borrows that of the lab's kernel, in a mount namespace of this process, which needs root.
"""
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 11
ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = pathlib.Path("/lib/modules") / os.uname().release / "modules.alias.bin"


sys.path.insert(0, str(ROOT))
from tests.support import big_host  # noqa: E402


def borrow_table():
    """Runs this program again where /lib/modules has the lab's kernel as the running one."""
    sys.path.insert(0, str(ROOT / "tests/lab"))
    from labkit import tree
    modules = next((tree.get() / "kernel/usr/lib/modules").iterdir())
    with tempfile.TemporaryDirectory(prefix="pcivm-bench-") as layer:
        os.mkdir(f"{layer}/modules")
        os.symlink(modules, f"{layer}/modules/{os.uname().release}")
        script = 'mount -t overlay overlay -o "lowerdir=$0:/usr/lib" /usr/lib && exec "$@"'
        sys.exit(subprocess.run(["unshare", "-m", "sh", "-c", script, layer, sys.executable, *sys.argv], check=False).returncode)


def system_calls(command):
    """All of them, of all its processes."""
    with tempfile.NamedTemporaryFile() as counts:
        subprocess.run(["strace", "-f", "-qq", "-c", "-o", counts.name, *command], check=True, stdout=subprocess.DEVNULL)
        total = pathlib.Path(counts.name).read_text().splitlines()[-1]
    return int(re.search(r"(\d+)(?:\s+\d+)?\s+total$", total).group(1))


def seconds(command):
    """Median of processor and wall time of one run; what waits for others on a busy machine shows in the second."""
    wall, processor = [], []
    for _ in range(ROUNDS):
        before, started = os.times(), time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        wall.append(time.perf_counter() - started)
        after = os.times()
        processor.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return statistics.median(wall), statistics.median(processor)


def main(pcivm, functions=4096):
    if not TABLE.exists():
        if os.geteuid() == 0:
            borrow_table()
        print("this machine has no table of kernel modules: lspci looks none up, and is faster than on others")
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="pcivm-bench-") as directory:
        big_host.make(directory, functions)
        listing = [pcivm, "device", "list", "--root", directory]
        commands = {"five columns": [*listing, "--columns", "address,id,class,driver,group"],
                    "short list": listing,
                    "full records": [*listing, "-o", "json"]}
        peer = ["lspci", "-O", f"sysfs.path={directory}/sys/bus/pci", "-Dvmmnnk"]
        print(f"{functions} functions")
        for name, command in commands.items():
            print(f"{name:13} {system_calls(command) / functions:6.2f} system calls a function")
        peer_wall, peer_processor = seconds(peer)
        print(f"{'lspci':13} {peer_wall * 1e3:6.1f} ms, {peer_processor * 1e3:6.1f} ms of processor  (-Dvmmnnk)")
        for name, command in commands.items():
            wall, processor = seconds(command)
            print(f"{name:13} {wall * 1e3:6.1f} ms, {processor * 1e3:6.1f} ms of processor; {wall / peer_wall:.2f} and "
                  f"{processor / peer_processor:.2f} times lspci")


if __name__ == "__main__":
    main(sys.argv[1], *(int(number) for number in sys.argv[2:3]))
