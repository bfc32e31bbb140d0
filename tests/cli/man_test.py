#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the man pages and has mandoc and groff read them without a warning; every command and option must be there.

usage: man_test.py PCIVM        exits 77 (skipped) without mandoc or groff
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

MAKE = pathlib.Path(__file__).resolve().parents[2] / "docs/man/make.py"


def said(*command: str) -> str:
    """Both outputs."""
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def complaints(page: pathlib.Path) -> str:
    # mandoc looks for the pages that are referred to in the system, where these are not.
    found = [line for line in said("mandoc", "-T", "lint", "-W", "style", str(page)).splitlines()
             if "referenced manual not found" not in line and "operating system explicitly" not in line]
    formatted = subprocess.run(["groff", "-mdoc", "-ww", "-Tutf8", "-rLL=80n", str(page)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, check=False)
    return "\n".join(found) + formatted.stderr


def rendered(page: pathlib.Path) -> str:
    return said("mandoc", "-T", "ascii", "-O", "width=200", str(page)).replace("_\b", "")


def words_of(command: dict):
    for option in command["options"]:
        yield from option["names"] if "--help" not in option["names"] else ()
    for below in command["commands"]:
        yield below["name"]
        yield from words_of(below)


def main() -> int:
    if not shutil.which("mandoc") or not shutil.which("groff"):
        print("skipped: mandoc or groff is not installed")
        return 77
    failures = []
    tree = json.loads(said(sys.argv[1], "__tree"))
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([sys.executable, MAKE, sys.argv[1], directory], check=True)
        pages = {page.stem: page for page in pathlib.Path(directory).glob("*.1")}
        wanted = {"pcivm"} | {f"pcivm-{command['name']}" for command in tree["commands"]}
        if set(pages) != wanted:
            failures.append(f"the pages are {sorted(pages)}, wanted {sorted(wanted)}")
        prose = {page.name: page for page in pathlib.Path(directory).glob("*.[2-9]")}
        failures += [f"there is no page {name}" for name in ("pcivm.yaml.5", "pcivm.7", "pcivm.service.8") if name not in prose]
        failures += [f"{name}: {found}" for name, page in sorted((pages | prose).items()) if (found := complaints(page))]
        for command in tree["commands"]:
            text = rendered(pages[f"pcivm-{command['name']}"])
            plain = "".join(char for i, char in enumerate(text) if char != "\b" and text[i + 1:i + 2] != "\b")
            failures += [f"pcivm-{command['name']} says nothing of {word}" for word in words_of(command)
                         if word not in plain]
    print("\n".join(failures) or f"{len(wanted)} pages are good")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
