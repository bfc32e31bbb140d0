# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel: its bzImage, the ELF vmlinux inside it, and its modules."""

import lzma
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

from . import cache, tree
from .cpio import Archive


class Kernel:
    def __init__(self, debian: Path) -> None:
        self._tree = debian
        (self.bzimage,) = (debian / "kernel/boot").glob("vmlinuz-*")
        self.release = self.bzimage.name.removeprefix("vmlinuz-")
        self._modules = debian / "kernel/usr/lib/modules" / self.release

    def vmlinux(self) -> Path:
        """The uncompressed ELF kernel: it boots by PVH and saves the guest the decompression."""
        return cache.entry("vmlinux", cache.digest(self.bzimage), "the uncompressed kernel",
                           lambda path: path.write_bytes(unpack(self.bzimage.read_bytes())))

    def add_modules(self, archive: Archive, wanted: list[str], rebuilt: Path | None = None) -> None:
        """Adds the modules and all they depend on, with depmod's indexes."""
        with tempfile.TemporaryDirectory() as scratch:
            stage = self.stage_modules(Path(scratch), wanted, rebuilt)
            for item in sorted(stage.rglob("*")):
                if item.is_file():
                    archive.text(f"usr/lib/modules/{self.release}/{item.relative_to(stage)}", item.read_bytes())

    def stage_modules(self, root: Path, wanted: list[str], rebuilt: Path | None = None) -> Path:
        """Writes the modules and all they depend on below `root`, as depmod finds them there; the folder they are in.

        They are decompressed and without their signatures: inside, both would cost more than the rest of loading.
        The modules in the folder `rebuilt` are added, in place of those of the same name.
        """
        depends = self._depends()
        by_name = {_name(path): path for path in depends}
        absent = [name for name in wanted if name not in by_name and not self._is_builtin(name)]
        if absent:
            raise cache.LabError(f"kernel {self.release} has no module {', '.join(absent)}")
        chosen = {path for name in wanted if name in by_name for path in (by_name[name], *depends[by_name[name]])}
        stage = root / "lib/modules" / self.release
        instead = {_name(file.name): file for file in sorted(rebuilt.glob("*.ko"))} if rebuilt else {}
        for file in instead.values():
            (stage / "updates").mkdir(parents=True, exist_ok=True)
            (stage / "updates" / file.name).write_bytes(file.read_bytes())
        for path in sorted(path for path in chosen if _name(path) not in instead):
            target = stage / path.removesuffix(".xz")
            target.parent.mkdir(parents=True, exist_ok=True)
            data = (self._modules / path).read_bytes()
            target.write_bytes(_unsigned(lzma.decompress(data) if path.endswith(".xz") else data))
        for listing in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            (stage / listing).write_bytes((self._modules / listing).read_bytes())
        cache.run(tree.command(self._tree, "usr/sbin/depmod", "-b", str(root), self.release))
        return stage

    def _depends(self) -> dict[str, list[str]]:
        """Path of each module of the package -> paths of all modules it needs."""
        lines = (self._modules / "modules.dep").read_text().splitlines()
        return {path: rest.split() for path, _, rest in (line.partition(":") for line in lines)}

    def _is_builtin(self, name: str) -> bool:
        return any(_name(line) == name for line in (self._modules / "modules.builtin").read_text().splitlines())


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1].split(".ko")[0].replace("-", "_")


def _unsigned(module: bytes) -> bytes:
    """Without the appended signature (struct module_signature of the kernel, then a magic text)."""
    magic = b"~Module signature appended~\n"
    if not module.endswith(magic):
        return module
    (length,) = struct.unpack_from(">I", module, len(module) - len(magic) - 4)
    return module[:len(module) - len(magic) - 12 - length]


def unpack(bzimage: bytes) -> bytes:
    """The ELF kernel inside a bzImage (payload_offset and payload_length: Documentation/arch/x86/boot.rst)."""
    if bzimage[0x202:0x206] != b"HdrS":
        raise cache.LabError(f"kernel image starts with {bzimage[0x202:0x206]!r} at 0x202, wanted the magic HdrS")
    setup_sectors = bzimage[0x1F1] or 4
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = bzimage[start:start + length]
    if payload[:4] == b"\x28\xb5\x2f\xfd":
        # The last four bytes are the unpacked size and no part of the zstd frame.
        elf = subprocess.run(["zstd", "-dc"], input=payload[:-4], stdout=subprocess.PIPE, check=True).stdout
    elif payload[:6] == b"\xfd7zXZ\0":
        elf = lzma.LZMADecompressor().decompress(payload)
    elif payload[:2] == b"\x1f\x8b":
        elf = zlib.decompressobj(wbits=31).decompress(payload)
    else:
        raise cache.LabError(f"kernel payload starts with {payload[:6].hex()}, wanted zstd, xz or gzip")
    if elf[:4] != b"\x7fELF":
        raise cache.LabError(f"unpacked kernel starts with {elf[:4].hex()}, wanted an ELF file")
    return elf
