#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts what tests/lab/screens.sh printed into docs/screens.md and docs/img/topology.svg.

usage: tests/lab/lab.py exec vtd tests/lab/screens.sh --deadline 900 > FILE && tests/lab/screens.py FILE
"""
import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"


def main() -> int:
    text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    screens, _, drawings = text.partition("---- topology.svg\n")
    shown = {}
    for block in screens.split("\n$ ")[1:]:
        command, _, output = block.partition("\n")
        shown[command] = f"$ {command}\n{output.rstrip()}\n"
    page = DOCS / "screens.md"
    missing = []

    def current(match: re.Match) -> str:
        command = match[1]
        if command not in shown:
            missing.append(command)
        return f"```\n{shown.get(command, match[0])}```\n"

    page.write_text(re.sub(r"```\n\$ ([^\n]*)\n.*?```\n", current, page.read_text(encoding="utf-8"), flags=re.S),
                    encoding="utf-8")
    (DOCS / "img/topology.svg").write_text(drawings.partition("---- topology.html\n")[0], encoding="utf-8")
    for command in missing:
        print(f"the output has no '{command}'", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
