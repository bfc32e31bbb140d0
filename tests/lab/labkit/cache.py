# SPDX-License-Identifier: GPL-2.0-or-later
"""The cache directory: things built once, named by the hash of what they were built from.

An entry appears under its final name only when it is whole, so a run that was cut leaves nothing that a later run
could take for a result. Two runs that want the same entry wait for each other.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path


class LabError(Exception):
    """Something the user can act on; the text is the whole message."""


def root() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    path = Path(base) / "pcivm"
    if not path.exists():
        _make_folder(path)
    return path


def _make_folder(path: Path) -> None:
    """With the owner of the folder above it: root may prepare the cache of a user."""
    if not path.parent.exists():
        _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _give(path)


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        above = path.parent.stat()
        os.chown(path, above.st_uid, above.st_gid)


def prune(days: int = 14) -> None:
    """Removes what no run has used for that long."""
    for path in root().iterdir():
        if path.suffix != ".lock" and time.time() - path.stat().st_mtime > days * 86400:
            remove(path)


def say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)


def digest(*parts: str | bytes | Path) -> str:
    """A short name for the given texts and file contents."""
    total = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()[:16]


@contextlib.contextmanager
def lock(name: str):
    """Holds the named lock of the cache; says so when it must wait for another run."""
    with _lock_file(name) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that holds '{name}'")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def slot(count: int):
    """Holds one of `count` places for running hosts: more at once only slow each other down."""
    handles = [_lock_file(f"slot{n}") for n in range(count)]
    try:
        waited = False
        while not any(_try_lock(handle) for handle in handles):
            if not waited:
                say(f"waiting: {count} lab hosts run already")
                waited = True
            time.sleep(0.5)
        yield
    finally:
        for handle in handles:
            handle.close()


def _lock_file(name: str):
    path = root() / f"{name}.lock"
    handle = open(path, "a")
    _give(path)
    return handle


def _try_lock(handle) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def entry(kind: str, key: str, what: str, build) -> Path:
    """The cache entry `kind-key`; when absent, `build(path)` makes it (a file or a directory) at a temporary path."""
    final = root() / f"{kind}-{key}"
    if final.exists():
        with contextlib.suppress(PermissionError):  # root made it for this user
            os.utime(final)
        return final
    with lock(kind):
        if final.exists():
            return final
        part = root() / f"{kind}-{key}.part"
        remove(part)
        say(f"making {what}")
        start = time.monotonic()
        build(part)
        part.rename(final)
        _give(final)
        say(f"made {what} in {time.monotonic() - start:.0f} s")
    return final


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def run(command: list[str], **options) -> str:
    """Runs a command to its end; its output is returned, and is the error text when it fails."""
    done = subprocess.run(command, text=True, errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **options)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-30:])
        raise LabError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{tail}")
    return done.stdout
