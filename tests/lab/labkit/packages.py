# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages on this machine, and where this machine gets them from."""

import os
import re
import shutil
from pathlib import Path

from . import cache

# command the lab runs -> package that has it
NEEDED = {
    "debootstrap": "debootstrap",
    "zstd": "zstd",
    "dpkg-deb": "dpkg",
    "ldd": "libc-bin",
}


def install_needed() -> None:
    """Installs what the lab itself runs on this machine; does nothing when all of it is there."""
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted({package for command, package in NEEDED.items() if not shutil.which(command, path=search)})
    if not missing:
        return
    need_root(f"install {' '.join(missing)}")
    cache.say(f"installing {' '.join(missing)}")
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=600", "-qq"]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    cache.run([*apt, "update"], env=env)
    cache.run([*apt, "install", "-y", "--no-install-recommends", *missing], env=env)


def need_root(purpose: str) -> None:
    if os.geteuid() != 0:
        raise cache.LabError(f"root is needed to {purpose}: run `tests/lab/lab.py prepare` once as root, "
                             f"with XDG_CACHE_HOME={cache.root().parent}")


def archive() -> str:
    """The address of the Debian archive in this machine's own apt sources (one-line or deb822 format)."""
    etc = Path("/etc/apt")
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    for file in files:
        if not file.is_file() or file.suffix not in (".list", ".sources"):
            continue
        text = file.read_text(errors="replace")
        for address, suite in _one_line(text) if file.suffix == ".list" else _deb822(text):
            if re.fullmatch(r"(bookworm|trixie|stable|oldstable)", suite):
                return address
    raise cache.LabError("no Debian archive in /etc/apt/sources.list or /etc/apt/sources.list.d: "
                         "wanted an entry whose suite is bookworm or trixie")


def _one_line(text: str):
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[[^]]*\]\s*)?(\S+)\s+(\S+)", line.strip())
        if match:
            yield match.group(1).rstrip("/"), match.group(2)


def _deb822(text: str):
    for stanza in re.split(r"\n\s*\n", text):
        fields = {}
        name = None
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and name:
                fields[name] += " " + line.strip()
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
            continue
        for address in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield address.rstrip("/"), suite


def acquire_settings() -> str:
    """This machine's own download settings of apt (proxy, dates, retries) as an apt.conf text."""
    lines = cache.run(["apt-config", "dump"]).splitlines()
    return "".join(line + "\n" for line in lines if re.match(r'Acquire::[\w:-]+ "[^"]+";', line))
