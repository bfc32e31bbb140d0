#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What lists cost: system calls for each function, and time against lspci, on the fixture tree of a large host.

usage: list.py PCIVM [FUNCTIONS]        needs strace and lspci
"""
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.support import big_host

ROUNDS = 11


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
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="pcivm-bench-") as directory:
        big_host.make(directory, functions)
        commands = {"short list": [pcivm, "device", "list", "--root", directory],
                    "full records": [pcivm, "device", "list", "--root", directory, "-o", "json"]}
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
    if not os.path.exists(f"/lib/modules/{os.uname().release}/modules.alias.bin"):
        print("this machine has no table of kernel modules: lspci looks none up, and is faster than on others")


if __name__ == "__main__":
    main(sys.argv[1], *(int(number) for number in sys.argv[2:3]))
