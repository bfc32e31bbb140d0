# SPDX-License-Identifier: GPL-2.0-or-later
"""Initramfs archives ("newc" cpio, Documentation/driver-api/early-userspace/buffer-format.rst), written without root.

The kernel accepts several archives one after the other; a later file replaces an earlier one of the same path. So an
image is layers that are cached apart and concatenated per run.
"""

import os
import stat
from pathlib import Path


class Archive:
    def __init__(self) -> None:
        self._entries: dict[str, tuple[int, bytes | Path]] = {}

    def folder(self, path: str, mode: int = 0o755) -> None:
        path = path.strip("/")
        if path and path not in self._entries:
            self.folder(os.path.dirname(path))
            self._entries[path] = (stat.S_IFDIR | mode, b"")

    def link(self, path: str, target: str) -> None:
        self._put(path, stat.S_IFLNK | 0o777, target.encode())

    def text(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        self._put(path, stat.S_IFREG | mode, content.encode() if isinstance(content, str) else content)

    def file(self, path: str, source: Path) -> None:
        """A regular file of this machine; symbolic links are followed, only the executable bit is kept."""
        mode = 0o755 if os.access(source, os.X_OK) else 0o644
        self._put(path, stat.S_IFREG | mode, source.resolve(strict=True))

    def tree(self, path: str, source: Path) -> None:
        """All files below a folder of this machine."""
        for item in sorted(source.rglob("*")):
            if item.is_file():
                self.file(f"{path}/{item.relative_to(source)}", item)

    def __contains__(self, path: str) -> bool:
        return path.strip("/") in self._entries

    def names(self) -> list[str]:
        return list(self._entries)

    def write(self, output: Path) -> None:
        with open(output, "wb") as out:
            for inode, (path, (mode, content)) in enumerate(self._entries.items(), start=1):
                data = content.read_bytes() if isinstance(content, Path) else content
                _write_entry(out, inode, path, mode, data)
            _write_entry(out, 0, "TRAILER!!!", 0, b"")
            # Each archive of a concatenation starts on a multiple of four; 512 is what cpio itself pads to.
            out.write(b"\0" * (-out.tell() % 512))

    def _put(self, path: str, mode: int, content: bytes | Path) -> None:
        path = path.strip("/")
        self.folder(os.path.dirname(path))
        self._entries[path] = (mode, content)


def _write_entry(out, inode: int, path: str, mode: int, data: bytes) -> None:
    name = path.encode() + b"\0"
    links, owner, group, mtime, device, check = 1, 0, 0, 0, 0, 0
    fields = (inode, mode, owner, group, links, mtime, len(data), device, device, device, device, len(name), check)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    out.write(header + b"\0" * (-len(header) % 4))
    out.write(data + b"\0" * (-len(data) % 4))
