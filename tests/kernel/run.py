#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""run.py PCIVM KERNEL: the kernel that tests the machine, on this machine's /dev/kvm; 77 where that cannot be used."""

import os
import subprocess
import sys


def main() -> int:
    pcivm, kernel = sys.argv[1:3]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK) or os.geteuid() != 0:
        print("skipped: needs root and /dev/kvm")
        return 77
    name = f"machine-kernel-{os.getpid()}"
    ran = subprocess.run([pcivm, "vm", "run", name, "--kernel", kernel, "--memory", "64M"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=110)
    lines = ran.stdout.decode(errors="replace").splitlines()
    if ran.returncode != 0 and not lines:
        print(f"skipped: {ran.stderr.decode(errors='replace')}")
        return 77
    print("\n".join(line for line in lines if not line.startswith("ok ")))
    if ran.returncode == 0 and lines and lines[-1].endswith(" passed, 0 failed") and lines[-1].split()[0] != "0":
        return 0
    print(f"exit code {ran.returncode}: {ran.stderr.decode(errors='replace')}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
