#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Completes command lines in bash, zsh and fish themselves: what a user gets after TAB.

usage: completion_test.py PCIVM        shells that are not installed are skipped; exits 77 when none is
"""
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

PCIVM = pathlib.Path(sys.argv[1]).resolve()
ENVIRONMENT = {**os.environ, "PATH": f"{PCIVM.parent}:{os.environ['PATH']}", "TERM": "xterm", "LC_ALL": "C.UTF-8",
               "COLUMNS": "200"}


def make_host(root: pathlib.Path):
    """A PF with its interface, its VF, and a NIC without SR-IOV."""
    for address, driver, files in (("0000:01:00.0", "igb", {"sriov_totalvfs": "7\n"}), ("0000:01:10.0", "igbvf", {}),
                                   ("0000:02:00.0", "e1000e", {})):
        device = root / f"sys/devices/pci0000:00/{address}"
        device.mkdir(parents=True)
        files |= {"uevent": f"DRIVER={driver}\nPCI_CLASS=20000\nPCI_ID=8086:10C9\nPCI_SUBSYS_ID=8086:A03C\n", "vendor": "0x8086\n",
                  "device": "0x10c9\n", "class": "0x020000\n"}
        for name, text in files.items():
            (device / name).write_text(text)
        (root / f"sys/bus/pci/drivers/{driver}").mkdir(parents=True)
        (device / "driver").symlink_to(f"../../../bus/pci/drivers/{driver}")
        devices = root / "sys/bus/pci/devices"
        devices.mkdir(parents=True, exist_ok=True)
        (devices / address).symlink_to(f"../../../devices/pci0000:00/{address}")
    (root / "sys/devices/pci0000:00/0000:01:10.0/physfn").symlink_to("../0000:01:00.0")
    (root / "sys/devices/pci0000:00/0000:01:00.0/net/eth2").mkdir(parents=True)
    (root / "sys/class/net").mkdir(parents=True)
    (root / "sys/class/net/eth2").symlink_to("../../devices/pci0000:00/0000:01:00.0/net/eth2")


class Terminal:
    """An interactive shell on a terminal of its own."""

    def __init__(self, *command: str):
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, ENVIRONMENT)

    def read(self, until: str, seconds: float = 20) -> str:
        text, end = "", time.monotonic() + seconds
        while until not in text and time.monotonic() < end:
            if select.select([self.file], [], [], 0.1)[0]:
                try:
                    text += os.read(self.file, 65536).decode(errors="replace")
                except OSError:
                    break
        return text

    def type(self, text: str):
        os.write(self.file, text.encode())

    def close(self):
        os.close(self.file)
        os.waitpid(self.pid, 0)


def completed(shell: str, line: str) -> str:
    """The line after one TAB, as the shell would run it."""
    start = {"bash": ("bash", "--norc", "--noprofile", "-i"), "zsh": ("zsh", "-f", "-i")}[shell]
    setup = {"bash": "PS1='> '; bind 'set enable-bracketed-paste off'; source <(pcivm completion bash)",
             "zsh": "PS1='> '; unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -u -D; "
                    "source <(pcivm completion zsh)"}[shell]
    terminal = Terminal(*start)
    try:
        terminal.type(f"{setup}; echo rea''dy\r")
        if "ready" not in terminal.read("ready\r\n"):
            return "no shell"
        # The shell shows what it made of the line: as the argument of printf, in a comment-proof form.
        terminal.type(f"function pcivm {{ printf '<%s>' \"$@\"; printf 'end\\n'; }}; echo defin''ed\r")
        terminal.read("defined\r\n")
        terminal.type(line)
        time.sleep(0.2)
        terminal.type("\t")
        time.sleep(2)
        terminal.type("\r")
        found = re.search(r"((?:<[^<>]*>)+)end", terminal.read("end\r\n"))
        return found.group(1) if found else "nothing"
    finally:
        terminal.close()


def in_bash(line: str, comp_type: int = 9) -> list[str]:
    """COMPREPLY of the function itself."""
    script = ('source <(pcivm completion bash); complete -p pcivm >/dev/null || exit 1; COMP_LINE=$1 COMP_POINT=${#1} '
              f'COMP_TYPE={comp_type}; _pcivm pcivm; printf "%s\\n" "${{COMPREPLY[@]}}"')
    return subprocess.run(["bash", "-c", script, "bash", line], env=ENVIRONMENT, check=True, text=True,
                          stdout=subprocess.PIPE).stdout.split("\n")[:-1]


def in_fish(line: str) -> list[str]:
    script = "pcivm completion fish | source; complete -C $argv[1]"
    return subprocess.run(["fish", "-N", "-c", script, line], env=ENVIRONMENT, check=True, text=True,
                          stdout=subprocess.PIPE).stdout.split("\n")[:-1]


def checks(root: str):
    """What was completed, what is wanted."""
    pf_about = "igb, Intel 82576 Gigabit Network Connection, eth2"
    if shutil.which("bash"):
        yield "bash, PFs", in_bash(f"pcivm --root {root} vf create "), ["0000:01:00.0"]
        yield "bash, after a colon", in_bash(f"pcivm --root {root} device show 0000:01:"), ["00.0", "10.0"]
        yield "bash, listing", in_bash(f"pcivm --root {root} device show 0000:01:0", 63), ["00.0"]
        yield ("bash, listing several", [each.split("  (")[0] for each in
                                         in_bash(f"pcivm --root {root} device bind 0000:01:", 63)], ["00.0", "10.0"])
        yield "bash, joined", in_bash("pcivm device list --output=js"), ["json"]
        yield "bash, files", in_bash("pcivm vm run x --kernel /etc/hostn"), ["/etc/hostname"]
        yield "bash, TAB", completed("bash", f"pcivm --root {root} vf create 00"), f"<--root><{root}><vf><create><0000:01:00.0>"
    if shutil.which("zsh"):
        yield "zsh, TAB", completed("zsh", f"pcivm --root {root} vf create 00"), f"<--root><{root}><vf><create><0000:01:00.0>"
        yield "zsh, command", completed("zsh", "pcivm device li"), "<device><list>"
    if shutil.which("fish"):
        yield "fish, PFs", in_fish(f"pcivm --root {root} vf create 0"), [f"0000:01:00.0\t{pf_about}"]
        yield "fish, options", in_fish("pcivm device list --no-h"), ["--no-headers\tno title line"]
        yield "fish, files", in_fish("pcivm vm run x --kernel /etc/hostn"), ["/etc/hostname"]


def main() -> int:
    shells = [name for name in ("bash", "zsh", "fish") if shutil.which(name)]
    if not shells:
        return 77
    failures = 0
    with tempfile.TemporaryDirectory() as directory:
        make_host(pathlib.Path(directory))
        for what, found, wanted in checks(directory):
            failures += found != wanted
            print(f"ok: {what}" if found == wanted else f"FAILED: {what}: {found}, wanted {wanted}")
    print(f"shells: {', '.join(shells)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
