# SPDX-License-Identifier: GPL-2.0-or-later
"""A minimal Debian 13 tree: the QEMU that emulates the host, the kernel of host and guests, and their user space.

One tree for every machine, because amd-iommu's dma-remap needs QEMU >= 10.1, which only Debian 13's backports have.
Programs of the tree run through the tree's own dynamic linker, so nothing but making it needs root.
"""

import inspect
import os
import subprocess
from pathlib import Path

from . import cache, emulator, suite

SUITE = "trixie"
BACKPORTS = "trixie-backports"
LIBDIR = "usr/lib/x86_64-linux-gnu"
QEMU = "usr/bin/qemu-system-x86_64"

# User space of the emulated host and its guests.
TOOLS = ["acpica-tools", "bash", "busybox-static", "dmidecode", "dmsetup", "e2fsprogs", "iproute2", "jq", "kmod", "pciutils", "procps", "strace", "util-linux"]
FROM_BACKPORTS = ["qemu-system-x86"]
KERNEL = "linux-image-amd64"


def get() -> Path:
    """The tree, made when absent (about a minute, root)."""
    recipe = [SUITE, BACKPORTS, KERNEL, *TOOLS, *FROM_BACKPORTS, *map(inspect.getsource, (_make, _unpack_kernel, suite.bootstrap))]
    key = cache.digest(*recipe)
    return cache.entry("tree", key, f"the Debian {SUITE} tree with QEMU", _make)


def command(tree: Path, program: str, *arguments: str) -> list[str]:
    """The command line that runs a program of the tree on this machine, with the tree's libraries only."""
    return _through_linker(tree, program, tree / program, *arguments)


def _through_linker(tree: Path, name: str, program: Path, *arguments: str) -> list[str]:
    return [str(tree / "lib64/ld-linux-x86-64.so.2"), "--library-path", library_path(tree), "--argv0", name, str(program),
            *arguments]


def library_path(tree: Path) -> str:
    """QEMU's plug-ins and libpulse live in folders of their own, which their RUNPATH finds only inside the tree."""
    return ":".join(str(tree / LIBDIR / sub) for sub in ("", "pulseaudio"))


def qemu(tree: Path) -> tuple[list[str], dict[str, str]]:
    """Command and environment for the tree's QEMU."""
    data = [argument for folder in ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu")
            if (tree / folder).is_dir() for argument in ("-L", str(tree / folder))]
    environment = {**os.environ, "QEMU_MODULE_DIR": str(tree / LIBDIR / "qemu")}
    return _through_linker(tree, QEMU, emulator.mended(tree / QEMU), *data), environment


def needed_libraries(tree: Path, program: Path) -> list[Path]:
    """The shared libraries that a program of the tree loads, as paths in the tree."""
    loader = str(tree / "lib64/ld-linux-x86-64.so.2")
    listing = subprocess.run([loader, "--library-path", library_path(tree), "--list", str(program)], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if "statically linked" in listing.stdout or "not a dynamic" in listing.stdout:
        return []
    if listing.returncode != 0 or "not found" in listing.stdout:
        raise cache.LabError(f"libraries of {program}: {listing.stdout}")
    return [Path(words[2]) for line in listing.stdout.splitlines() if (words := line.split())[1:2] == ["=>"]]


def unpacked(tree: Path, package: str) -> Path:
    """A package of the release, unpacked below /unpacked of the tree: for what few cases need."""
    folder = tree / "unpacked" / package
    if not folder.exists():
        suite.inside(tree, "sh", "-c", f"mkdir -p /unpacked/new && cd /unpacked/new && "
                     f"apt-get -q -o APT::Sandbox::User=root download {package}/{SUITE}")
        (file,) = (tree / "unpacked/new").glob("*.deb")
        cache.run(["dpkg-deb", "-x", str(file), str(tree / "unpacked/new/tree")])
        file.unlink()
        (tree / "unpacked/new/tree").rename(folder)
    return folder


def _make(tree: Path) -> None:
    suite.bootstrap(tree, SUITE, ["ca-certificates", *TOOLS], [BACKPORTS])
    suite.inside(tree, "apt-get", "-o", "Acquire::Retries=5", "-qq", "-y", "install", "--no-install-recommends", "-t", BACKPORTS,
                 *FROM_BACKPORTS)
    _unpack_kernel(tree)
    suite.inside(tree, "apt-get", "clean")


def _unpack_kernel(tree: Path) -> None:
    """Debian's own kernel package, unpacked below /kernel: installing it would build an initramfs for no one."""
    depends = suite.inside(tree, "apt-cache", "depends", f"{KERNEL}/{SUITE}")
    names = [line.split()[-1] for line in depends.splitlines() if "Depends: linux-image-" in line]
    if len(names) != 1:
        raise cache.LabError(f"{KERNEL} depends on {names}, wanted one linux-image package")
    (tree / "kernel").mkdir()
    suite.inside(tree, "sh", "-c", f"cd /kernel && apt-get -q -o APT::Sandbox::User=root download {names[0]}")
    (package,) = (tree / "kernel").glob("*.deb")
    cache.run(["dpkg-deb", "-x", str(package), str(tree / "kernel")])
    package.unlink()
    (tree / "kernel/lib").symlink_to("usr/lib")
    release = next((tree / "kernel/lib/modules").iterdir()).name
    suite.inside(tree, "depmod", "-b", "/kernel", release)
