#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Gives every command of `pcivm __tree` rubbish, and outputs that do not work: it must end by itself, with an exit code
of docs/cli.md, with one message and nothing that a terminal would obey.

usage: rubbish_test.py PCIVM
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

PCIVM = sys.argv[1]
USAGE, ABSENT = 2, 3
MESSAGE = re.compile(r"pcivm: [^\x00-\x1f\x7f]+\n(hint: [^\x00-\x1f\x7f]+\n)?")
WORDS = {"empty": "", "dash": "-", "dashes": "--", "long": "x" * 10_000, "escape": "\x1b[31mred\x07", "newline": "a\nb",
         "binary": "\udcff\udcfe\x01", "unicode": "größe", "path": "../../etc/passwd", "format": "%s%n{}", "negative": "-1",
         "huge": "99999999999999999999", "option": "--no-such-option=1", "long option": "--" + "y" * 10_000,
         "short option": "-Z", "domain": "ffffffff:00:00.0", "wildcard": "*"}

failures = 0


def leaves(command: dict, path: tuple = ()):
    for below in command["commands"]:
        yield from leaves(below, path + (below["name"],))
    if path and not command["commands"]:
        yield path, command


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([PCIVM, *arguments], capture_output="stdout" not in options, stdin=subprocess.DEVNULL,
                          text=True, errors="surrogateescape", timeout=30, check=False, **options)


def expect(what: str, holds: bool, outcome: subprocess.CompletedProcess):
    global failures
    if not holds:
        failures += 1
        print(f"FAILED: {what[:200]}: exit code {outcome.returncode}, stderr {(outcome.stderr or '')[:300]!r}")


def rubbish_arguments(root: str):
    tree = json.loads(run("__tree").stdout)
    for path, command in leaves(tree):
        for name, word in WORDS.items():
            arguments = [word] * max(1, sum(argument["required"] for argument in command["arguments"]))
            outcome = run(*path, *arguments, "--root", root, "--dry-run")
            what = f"pcivm {' '.join(path)}, {name}"
            expect(what, outcome.returncode in (0, *range(2, 8)), outcome)
            if outcome.returncode:
                expect(what, MESSAGE.fullmatch(outcome.stderr) is not None and not outcome.stdout, outcome)
        outcome = run(*path, "--no-such-option", "--root", root)
        expect(f"pcivm {' '.join(path)} --no-such-option", outcome.returncode == USAGE, outcome)
        if any(argument["required"] for argument in command["arguments"]):
            outcome = run(*path, "--root", root)
            expect(f"pcivm {' '.join(path)} without arguments",
                   outcome.returncode == USAGE and "needs" in outcome.stderr, outcome)
        outcome = run(*path, "--help")
        expect(f"pcivm {' '.join(path)} --help", outcome.returncode == 0 and path[-1] in outcome.stdout, outcome)


def outputs(root: str):
    device_list = ("device", "list", "--root", "/", "-o", "json")
    with open("/dev/full", "w", encoding="utf-8") as full:
        outcome = run(*device_list, stdout=full, stderr=subprocess.PIPE)
        expect("stdout full", outcome.returncode == 7 and "No space left" in outcome.stderr, outcome)
        outcome = run("device", "lst", stdout=subprocess.PIPE, stderr=full)
        expect("stderr full", outcome.returncode == USAGE, outcome)
    for redirections, wanted in ((">&-", 7), (">&- 2>&-", 7), ("<&-", 0), ("2>&-", 0)):
        outcome = subprocess.run(["sh", "-c", f'exec "$@" {redirections}', "sh", PCIVM, *device_list], check=False,
                                 capture_output=True, text=True)
        expect(f"sh: {redirections}", outcome.returncode == wanted, outcome)
    outcome = subprocess.run(["bash", "-c", 'trap "" PIPE; "$@" | true; echo "${PIPESTATUS[0]}"', "bash", PCIVM,
                              *device_list], capture_output=True, text=True, check=False)
    expect("closed pipe, SIGPIPE ignored", outcome.stdout == "141\n" and not outcome.stderr, outcome)
    for variables in ({"LANG": "C", "LC_ALL": "C"}, {"LC_ALL": "C.UTF-8"}, {"LC_ALL": "xx_YY"}, {"TERM": "dumb"}, {}):
        outcome = run("device", "list", env={"PATH": os.environ["PATH"], **variables})
        expect(f"environment {variables}", outcome.returncode == 0 and "\x1b" not in outcome.stdout, outcome)
    outcome = run("device", "list", "--color", "always", env={"NO_COLOR": "1"})
    expect("--color always", outcome.returncode == 0, outcome)
    for noun in ("device", "group", "vf"):
        outcome = run(noun, "list", "--root", root)
        expect(f"{noun} list of an empty root", outcome.returncode == 0 and not outcome.stdout, outcome)
    for absent in ("/nonexistent", root + "/file/below"):
        outcome = run("device", "list", "--root", absent)
        expect(f"--root {absent}", outcome.returncode == ABSENT, outcome)


def main() -> int:
    with tempfile.TemporaryDirectory() as root:
        outputs(root)
        pathlib.Path(root, "file").touch()
        rubbish_arguments(root)
    print(f"{failures} failures" if failures else "all rubbish is refused")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
