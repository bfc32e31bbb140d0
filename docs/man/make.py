#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the man pages: synopsis, commands and options from the program itself, the rest from the prose beside this file.

usage: make.py PCIVM DIRECTORY

One page for pcivm and one for each of its groups and commands. NAME.mdoc holds the prose of a page: what stands before
its first .Sh goes into DESCRIPTION, the sections after that follow the generated ones. A page needs no prose.
NAME.SECTION.mdoc is a page that is all prose: its first line is what NAME says of it.
"""
import datetime
import json
import os
import pathlib
import subprocess
import sys
import textwrap

PROSE = pathlib.Path(__file__).resolve().parent


def text(words: str) -> str:
    """`words` as running text: nothing in it is a request or an escape."""
    escaped = words.replace("\\", "\\e")
    return "\\&" + escaped if escaped[:1] in (".", "'") else escaped


def sentence(words: str) -> str:
    return text(words[:1].upper() + words[1:] + ("" if words.endswith((".", "?")) else "."))


def arg(words: str) -> str:
    """One argument of a macro."""
    return '"' + text(words).replace('"', '\\(dq') + '"'


def flags(option: dict) -> str:
    names = " , ".join(f"Fl {name[1:]}" for name in option["names"])
    return f"{names} Ar {arg(option['type'])}" if option["type"] else names


def listed(entries: list[tuple[str, str]]) -> list[str]:
    if not entries:
        return []
    lines = [".Bl -tag -width Ds"]
    for head, about in entries:
        lines += [f".It {head}", about]
    return lines + [".El"]


def about_option(option: dict) -> str:
    default = f"\nDefault: {text(option['default'])}." if option["default"] else ""
    return sentence(option["about"]) + default


def own(options: list[dict]) -> list[dict]:
    """Without --help, which every command has."""
    return [option for option in options if "--help" not in option["names"]]


def option_list(options: list[dict]) -> list[str]:
    return listed([(flags(option), about_option(option)) for option in options])


def argument_list(command: dict) -> list[str]:
    return listed([(f"Ar {arg(argument['type'])}", sentence(argument["about"])) for argument in command["arguments"]])


def synopsis(path: list[str], command: dict) -> list[str]:
    lines = [f".Nm {arg(' '.join(path))}"]
    for option in own(command["options"]):
        longest = option["names"][-1][1:]
        lines.append(f".Op Fl {longest} Ar {arg(option['type'])}" if option["type"] else f".Op Fl {longest}")
    for argument in command["arguments"]:
        more = " ..." if argument["many"] else ""
        lines.append(f".{'Ar' if argument['required'] else 'Op Ar'} {arg(argument['type'])}{more}")
    return lines


def leaves(path: list[str], command: dict):
    """Every command that does something, with its full name."""
    if not command["commands"]:
        yield path, command
    for below in command["commands"]:
        yield from leaves(path + [below["name"]], below)


def prose_of(name: str) -> tuple[list[str], list[str]]:
    file = PROSE / f"{name}.mdoc"
    lines = [line for line in file.read_text(encoding="utf-8").splitlines()
             if not line.startswith('.\\"')] if file.exists() else []
    first = next((i for i, line in enumerate(lines) if line.startswith(".Sh ")), len(lines))
    return lines[:first], lines[first:]


def head(name: str, about: str, section: str = "1") -> list[str]:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    day = (datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc) if epoch else datetime.datetime.now())
    return ['.\\" SPDX-License-Identifier: GPL-2.0-or-later', '.\\" Written by docs/man/make.py.',
            f".Dd {day.strftime('%B')} {day.day}, {day.year}", f".Dt {name.upper()} {section}", ".Os pcivm",
            ".Sh NAME", f".Nm {name}", f".Nd {text(about.rstrip('.'))}"]


def details(path: list[str], command: dict) -> list[str]:
    return [f".Ss {arg(' '.join(path))}", sentence(command["about"]), *argument_list(command),
            *option_list(own(command["options"]))]


def wrapped(lines: list[str]) -> str:
    """The page, with running text folded as roff sources are; literal displays stay as they are."""
    page, literal = [], False
    for line in "\n".join(lines).split("\n"):
        literal = (literal or line.startswith(".Bd")) and not line.startswith(".Ed")
        folded = textwrap.wrap(line, 78, break_long_words=False, break_on_hyphens=False)
        page += [line] if literal or line.startswith(".") or not folded else folded
    return "\n".join(page) + "\n"


def command_page(command: dict, siblings: list[str]) -> tuple[str, str]:
    name = f"pcivm-{command['name']}"
    lead, rest = prose_of(name)
    parts = list(leaves(["pcivm", command["name"]], command))
    lines = head(name, command["about"]) + [".Sh SYNOPSIS"]
    for path, leaf in parts:
        lines += synopsis(path, leaf)
    lines += [".Sh DESCRIPTION", *(lead or [sentence(command["about"])])]
    if len(parts) == 1:
        lines += argument_list(parts[0][1]) + option_list(own(parts[0][1]["options"]))
    else:
        for path, leaf in parts:
            lines += details(path, leaf)
    lines += [".Pp", "Options that all commands take, how a device is named and the exit codes are in", ".Xr pcivm 1 ."]
    lines += rest + see_also([other for other in siblings if other != name])
    return name, wrapped(lines)


def see_also(names: list[str]) -> list[str]:
    return [".Sh SEE ALSO"] + [f".Xr {name} 1{' ,' if name != names[-1] else ''}" for name in names]


def prose_pages():
    """File name and text of each page that is all prose."""
    for file in sorted(PROSE.glob("*.[2-9].mdoc")):
        name, section = file.name.removesuffix(".mdoc").rsplit(".", 1)
        about, *body = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith('.\\"')]
        yield f"{name}.{section}", wrapped(head(name, about, section) + body)


def main_page(tree: dict, pages: list[str]) -> tuple[str, str]:
    lead, rest = prose_of("pcivm")
    lines = head("pcivm", tree["about"][:1].lower() + tree["about"][1:])
    lines += [".Sh SYNOPSIS", ".Nm pcivm", ".Ar command", ".Op Ar argument ...", ".Op Ar option ...",
              ".Sh DESCRIPTION", *lead, ".Ss Commands"]
    commands = [(path, leaf) for below in tree["commands"] for path, leaf in leaves([below["name"]], below)]
    lines += listed([(f"Ic {arg(' '.join(path))}", sentence(leaf["about"])) for path, leaf in commands])
    lines += [".Ss Options of every command", "They may stand before or after the command.",
              *option_list(tree["options"]), *rest, *see_also(pages)]
    return "pcivm", wrapped(lines)


def main() -> int:
    program, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    tree = json.loads(subprocess.run([program, "__tree"], check=True, stdout=subprocess.PIPE).stdout)
    names = sorted(f"pcivm-{command['name']}" for command in tree["commands"])
    directory.mkdir(parents=True, exist_ok=True)
    for name, page in [main_page(tree, names)] + [command_page(each, ["pcivm", *names]) for each in tree["commands"]]:
        (directory / f"{name}.1").write_text(page, encoding="utf-8")
    for name, page in prose_pages():
        (directory / name).write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
