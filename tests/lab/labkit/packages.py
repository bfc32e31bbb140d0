# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages on this machine, and where this machine gets them from."""

import os
import re
import shutil

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
    if missing:
        cache.say(f"installing {' '.join(missing)}")
        _apt_get("update", purpose=f"install {' '.join(missing)}")
        _apt_get("install", "-y", "--no-install-recommends", *missing, purpose=f"install {' '.join(missing)}")


def need_root(purpose: str) -> None:
    if os.geteuid() != 0:
        raise cache.LabError(f"root is needed to {purpose}: run `tests/lab/lab.py prepare` once as root, "
                             f"with XDG_CACHE_HOME={cache.root().parent}")


def archive() -> str:
    """The address of the Debian archive that this machine's own apt sources name, whatever their format."""
    address = _known_archive()
    if not address:
        _apt_get("update", purpose="read the package lists")
        address = _known_archive()
    if not address:
        raise cache.LabError("no Debian archive in this machine's apt sources: wanted one whose Release file says "
                             "Origin: Debian, Label: Debian, with the component main")
    return address


def _known_archive() -> str | None:
    """What apt knows of the archive's origin, which it does only after an update."""
    listing = cache.run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)",
                         "Created-By: Packages"])
    found = [line.split("|", 3)[3] for line in listing.splitlines() if line.startswith("Debian|Debian|main|")]
    return found[0].rstrip("/") if found else None


def _apt_get(*arguments: str, purpose: str) -> None:
    need_root(purpose)
    cache.run(["apt-get", "-o", "DPkg::Lock::Timeout=600", "-qq", *arguments],
              env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def acquire_settings() -> str:
    """This machine's own download settings of apt (proxy, dates, retries) as an apt.conf text."""
    lines = cache.run(["apt-config", "dump"]).splitlines()
    return "".join(line + "\n" for line in lines if re.match(r'Acquire::(?!IndexTargets)[\w:-]+ "[^"]+";', line))


def proxies() -> dict[str, str]:
    """apt's proxies as the variables that debootstrap's downloader reads."""
    found = re.findall(r'^Acquire::(https?)::proxy "([^"]+)";', acquire_settings(), re.MULTILINE | re.IGNORECASE)
    return {f"{scheme.lower()}_proxy": address for scheme, address in found if address != "DIRECT"}
