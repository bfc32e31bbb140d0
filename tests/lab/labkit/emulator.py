# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree's QEMU without one of its assertions.

TCG emulates a guest's write to CR8 by cpu_interrupt() when a virtual interrupt is pending, and does not hold QEMU's big
lock there (target/i386/tcg/system/misc_helper.c, helper_write_crN), which cpu_interrupt() asserts: QEMU aborts, the
whole emulated host with it. Firmware for UEFI writes CR8 at the end of every interrupt, so that it comes there within a
second. The CPU is the caller's own, for which the flag is set by an atomic operation, lock or not. So the one
conditional jump to that abort is taken out of a copy of the program.
"""

import inspect
import shutil
import struct
from pathlib import Path

from . import cache

SYMBOL = b"cpu_interrupt"
# test %al,%al; je to what aborts: what follows the call of bql_locked().
PATTERN = b"\x84\xc0\x74"
REACH = 64


def without_assertion(program: Path) -> Path:
    """A copy of QEMU that goes on where it would abort; the program itself when it is built differently."""
    key = cache.digest(program.name, str(program.stat().st_size), str(program), *map(inspect.getsource, (_patched, _address, _offset)))
    return cache.entry("emulator", key, "QEMU without an assertion", lambda path: _make(program, path)) / program.name


def _make(program: Path, folder: Path) -> None:
    folder.mkdir()
    target = folder / program.name
    data = _patched(program.read_bytes())
    if data is None:
        cache.say(f"{program.name} is not built as expected: guests with UEFI may abort it")
        shutil.copy2(program, target)
        return
    target.write_bytes(data)
    target.chmod(0o755)


def _patched(image: bytes) -> bytes | None:
    address = _address(image)
    start = _offset(image, address) if address else 0
    at = image.find(PATTERN, start, start + REACH) if start else -1
    if at < 0:
        return None
    jump = at + PATTERN.index(b"\x74")
    return image[:jump] + b"\x90\x90" + image[jump + 2:]


def _sections(image: bytes):
    table, size, count = struct.unpack_from("<Q", image, 0x28)[0], *struct.unpack_from("<HH", image, 0x3A)
    for index in range(count):
        yield struct.unpack_from("<IIQQQQIIQQ", image, table + index * size)


def _address(image: bytes) -> int:
    """Of the function, from the dynamic symbols; 0 when it is not there."""
    sections = list(_sections(image))
    for kind, offset, length, link in ((each[1], each[4], each[5], each[6]) for each in sections):
        if kind != 11:  # SHT_DYNSYM
            continue
        names = sections[link][4]
        for at in range(offset, offset + length, 24):
            name, _, _, _, value, _ = struct.unpack_from("<IBBHQQ", image, at)
            if image[names + name:names + name + len(SYMBOL) + 1] == SYMBOL + b"\0":
                return value
    return 0


def _offset(image: bytes, address: int) -> int:
    """In the file, of an address of the program."""
    table, size, count = struct.unpack_from("<Q", image, 0x20)[0], *struct.unpack_from("<HH", image, 0x36)
    for index in range(count):
        kind, _, offset, begin, _, length = struct.unpack_from("<IIQQQQ", image, table + index * size)
        if kind == 1 and begin <= address < begin + length:  # PT_LOAD
            return offset + address - begin
    return 0
