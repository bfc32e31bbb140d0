# SPDX-License-Identifier: GPL-2.0-or-later
"""Minimal trees of Debian releases, and scripts run in them: what the package is built, installed and booted in."""

import inspect
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from . import cache, packages

SUITES = ["bookworm", "trixie"]
# An installed host in little: service manager, udev, and what cases are written with.
INCLUDE = ["ca-certificates", "systemd-sysv", "udev", "kmod", "iproute2", "pciutils", "procps", "jq", "strace", "mandoc"]
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def running() -> str:
    """The release of this machine."""
    lines = Path("/etc/os-release").read_text().splitlines()
    name = next((line.split("=", 1)[1].strip('"') for line in lines if line.startswith("VERSION_CODENAME=")), "")
    if name not in SUITES:
        raise cache.LabError(f"this machine's release is '{name}', wanted {' or '.join(SUITES)}")
    return name


def minimal(suite: str) -> Path:
    """The tree of that release, made when absent (a minute, root)."""
    key = cache.digest(suite, *INCLUDE, *map(inspect.getsource, (bootstrap, _minimal)))
    return cache.entry(f"suite-{suite}", key, f"the Debian {suite} tree", lambda tree: _minimal(tree, suite))


def builder(suite: str, build_packages: list[str]) -> Path:
    """The same with the packages that building takes."""
    base = minimal(suite)
    key = cache.digest(base.name, *build_packages, inspect.getsource(_builder))
    return cache.entry(f"build-{suite}", key, f"the Debian {suite} tree to build in",
                       lambda tree: _builder(tree, base, build_packages))


def bootstrap(tree: Path, suite: str, include: list[str], more_suites: list[str]) -> None:
    """A tree by debootstrap, with apt set up as on this machine; no service starts in it."""
    packages.need_root(f"make the Debian tree {tree.name}")
    packages.install_needed()
    mirror = packages.archive()
    script = f"/usr/share/debootstrap/scripts/{suite}"
    cache.run(["debootstrap", "--variant=minbase", f"--include={','.join(include)}", suite, str(tree),
               mirror, *([] if os.path.exists(script) else ["/usr/share/debootstrap/scripts/sid"])], env=environment())
    (tree / "etc/apt/sources.list").write_text("".join(f"deb {mirror} {name} main\n" for name in [suite, *more_suites]))
    (tree / "etc/apt/apt.conf.d/99machine").write_text(packages.acquire_settings())
    (tree / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (tree / "usr/sbin/policy-rc.d").chmod(0o755)
    inside(tree, "apt-get", "-o", "Acquire::Retries=5", "-qq", "update")


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "DEBIAN_FRONTEND": "noninteractive",
            "LC_ALL": "C.UTF-8", **packages.proxies()}


def inside(tree: Path, *command: str) -> str:
    """Runs a command in the tree itself. Package scripts find no /proc here and need none."""
    return cache.run(["chroot", str(tree), "env", f"PATH={PATH}", *command], env=environment())


def run_over(tree: Path, script: Path, *arguments: str, binds: dict[str, Path], log: Path | None = None) -> int:
    """Runs a bash script over the tree: what it changes is gone afterwards, but for what it writes into `binds` (a path in
    the tree -> a folder of this machine). It has processes and mounts of its own, and none of them outlives it."""
    packages.need_root("run in a tree")
    with tempfile.TemporaryDirectory(prefix="pcivm-tree-") as scratch:
        root = f"{scratch}/root"
        steps = ["set -e", f"mount -t tmpfs -o mode=755 tmpfs {scratch}", f"mkdir {root} {scratch}/upper {scratch}/work",
                 f"mount -t overlay -o lowerdir={tree},upperdir={scratch}/upper,workdir={scratch}/work overlay {root}",
                 f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev", f"mkdir -p {root}/run/lab"]
        for target, source in binds.items():
            steps += [f"mkdir -p {root}{target}", f"mount --bind {source} {root}{target}"]
        steps += [f"cp {script} {root}/run/lab/script", f'exec chroot {root} env PATH={PATH} bash /run/lab/script "$@"']
        command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "bash", "-c", "\n".join(steps),
                   "tree", *arguments]
        with open(log, "wb") if log else os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out:
            return subprocess.run(command, env=environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out).returncode


def can_run_over() -> bool:
    """Whether this machine lets us mount over a tree: root in a container may not."""
    with tempfile.TemporaryDirectory(prefix="pcivm-tree-") as scratch:
        script = "mount -t tmpfs tmpfs $1 && mkdir $1/a $1/b $1/c $1/d && mount -t overlay -o lowerdir=$1/a,upperdir=$1/b,workdir=$1/c overlay $1/d"
        return subprocess.run(["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "bash", "-c", script, "tree", scratch],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def downloads(suite: str) -> Path:
    """Where apt in the trees of that release keeps what it downloaded."""
    folder = cache.root() / f"downloads-{suite}"
    (folder / "partial").mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    return folder


def _minimal(tree: Path, suite: str) -> None:
    bootstrap(tree, suite, INCLUDE, [])
    (tree / "etc/apt/apt.conf.d/98keep").write_text('APT::Keep-Downloaded-Packages "true";\nBinary::apt::APT::Keep-Downloaded-Packages "true";\n')


def _builder(tree: Path, base: Path, build_packages: list[str]) -> None:
    cache.run(["cp", "-a", str(base), str(tree)])
    inside(tree, "apt-get", "-qq", "-y", "install", "--no-install-recommends", *build_packages)
    inside(tree, "apt-get", "clean")
