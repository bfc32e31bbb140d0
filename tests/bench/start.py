#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""From exec to the first KVM_RUN on this machine's own KVM (P1): pcivm beside the lab's QEMU, as microvm and as q35.

usage: start.py PCIVM [ROUNDS]        needs root and /dev/kvm

Each VMM takes its turn; figures are medians. Their guest is a kernel of a few KiB, which does not get to do anything. A
library that is preloaded into each (first_run.cpp) notes the moment. Processor time is that of all its processes then.
"""
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOTE = ROOT / "build/release/tests/libfirst_run.so"
KERNEL = ROOT / "build/release/tests/vf_kernel"
LIMIT = 30.0
NAME = "first"

sys.path.insert(0, str(ROOT / "tests/lab"))
from labkit import tree  # noqa: E402


def commands(pcivm):
    """Command and environment of each; QEMU as in the lab's `goals`."""
    qemu, environment = tree.qemu(tree.get())
    common = ["-accel", "kvm", "-cpu", "host", "-m", "256M", "-smp", "1", "-nodefaults", "-no-user-config", "-display", "none",
              "-kernel", str(KERNEL), "-bios", "qboot.rom"]
    machines = {"QEMU q35": ["-M", "q35,kernel-irqchip=split"],
                "QEMU microvm": ["-M", "microvm,x-option-roms=off,pit=off,pic=off,isa-serial=on,rtc=on"]}
    return {**{name: (qemu + machine + common, environment) for name, machine in machines.items()},
            "pcivm": ([pcivm, "vm", "run", NAME, "--kernel", str(KERNEL), "--memory", "256M", "--cpus", "1"], dict(os.environ))}


def processor_seconds(session):
    """Of all threads of the session's processes, by the scheduler's account."""
    total = 0
    for task in pathlib.Path("/proc").glob("[0-9]*/task/*"):
        try:
            if os.getsid(int(task.parts[2])) == session:
                total += int((task / "schedstat").read_text().split()[0])
        except (OSError, ValueError):
            pass  # it ended
    return total / 1e9


def measure(command, environment):
    """Seconds to the first KVM_RUN, and processor seconds until then."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file, tempfile.TemporaryFile() as said:
        file.write(bytes(8))
        file.flush()
        start = time.monotonic_ns()
        vmm = subprocess.Popen(command, env={**environment, "LD_PRELOAD": str(NOTE), "FIRST_RUN": file.name},
                               stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
        moment = 0
        while not moment and vmm.poll() is None and time.monotonic_ns() < start + LIMIT * 1e9:
            time.sleep(0.0005)
            file.seek(0)
            moment = int.from_bytes(file.read(8), sys.byteorder)
        used = processor_seconds(vmm.pid)
        try:
            os.killpg(vmm.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        vmm.wait()
        shutil.rmtree(f"/run/pcivm/vm/{NAME}", ignore_errors=True)
        if not moment:
            said.seek(0)
            sys.exit(f"start.py: {command[0]} ran no CPU: {said.read().decode(errors='replace')[-600:]}")
    return (moment - start) / 1e9, used


def main():
    pcivm, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20
    if "--own-run" not in sys.argv:  # what is left in /run by what is killed goes with the mounts of this process
        again = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "start",
                 sys.executable, __file__, pcivm, str(rounds), "--own-run"]
        sys.exit(subprocess.run(again, check=False).returncode)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:  # as a package has it: QEMU comes from one, too
        subprocess.run(["strip", "-o", f"{folder}/pcivm", pcivm], check=True)
        compare(commands(f"{folder}/pcivm"), rounds)


def compare(vmms, rounds):
    """Takes turns, and prints the table."""
    samples = {name: [] for name in vmms}
    for turn in range(rounds + 1):
        for name in list(vmms) if turn % 2 else list(vmms)[::-1]:
            sample = measure(*vmms[name])
            if turn:  # the first one finds no page of its program in memory
                samples[name].append(sample)
    names = list(vmms)
    print(f"{rounds} rounds, load {os.getloadavg()[0]:.1f}, {os.uname().release}\n")
    print(f"| | {' | '.join(names)} | of q35 | of microvm |\n|---|{'---|' * (len(names) + 2)}")
    for index, title in enumerate(["exec to the first KVM_RUN, ms", "processor time until then, ms"]):
        medians = [statistics.median(sample[index] for sample in samples[name]) * 1e3 for name in names]
        ratios = [f"{medians[-1] / peer:.2f}" for peer in medians[:-1]]
        print(f"| {title} | {' | '.join(f'{value:.2f}' for value in medians)} | {' | '.join(ratios)} |")


main()
