#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists cost at most 5 system calls a function, full records 16: counted on a tree of 512 functions less one of 64, so
that what a command costs at all is not in it.

usage: system_calls_test.py PCIVM        exits 77 (skipped) where strace is missing or may not trace
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.bench.list import system_calls
from tests.support import big_host

FEW, MANY = 64, 512
MOST = {"table": 5, "json": 16}


def main(pcivm):
    traced = shutil.which("strace") and subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], check=False)
    if not traced or traced.returncode != 0:
        print("skipped: strace cannot trace here")
        return 77
    counts = {}
    for number in (FEW, MANY):
        with tempfile.TemporaryDirectory() as directory:
            big_host.make(directory, number)
            for form in MOST:
                command = [pcivm, "device", "list", "--root", directory, "-o", form]
                listed = subprocess.run([*command[:-1], "name"], check=True, capture_output=True, text=True).stdout
                assert len(listed.splitlines()) == number, f"{len(listed.splitlines())} functions, wanted {number}"
                counts[form, number] = system_calls(command)
    failed = 0
    for form, most in MOST.items():
        each = (counts[form, MANY] - counts[form, FEW]) / (MANY - FEW)
        print(f"-o {form}: {each:.2f} system calls a function, at most {most}")
        failed += each > most
    return failed


if __name__ == "__main__":
    if b"__asan_init" in pathlib.Path(sys.argv[1]).read_bytes():
        sys.exit(77)  # a sanitizer makes calls of its own, and its search for leaks does not work below strace
    sys.exit(main(sys.argv[1]))
