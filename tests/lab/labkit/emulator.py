# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree's QEMU with two faults of its emulated SVM and one of its igb taken out of a copy of the program.

1. TCG emulates a guest's write to CR8 by cpu_interrupt() when a virtual interrupt is pending, and does not hold QEMU's
   big lock there (target/i386/tcg/system/misc_helper.c, helper_write_crN), which cpu_interrupt() asserts: QEMU aborts,
   the whole emulated host with it. Firmware for UEFI writes CR8 at the end of every interrupt, so that it comes there
   within a second. The CPU is the caller's own, for which the flag is set by an atomic operation, lock or not. So the
   conditional jump to that abort goes.

2. VMRUN with an interrupt to inject (target/i386/tcg/system/svm_helper.c, helper_vmrun) notes the vector as the
   exception that is to be raised, delivers it at once, and leaves the note. When the CPU is then asked to leave its
   loop for another reason (a change of the memory map, work from another CPU) before anything overwrites the note, the
   vector is delivered once more (accel/tcg/cpu-exec.c, cpu_handle_interrupt, cpu_handle_exception), interrupts
   disabled or not: in the middle of the handler of the same interrupt, which then waits for its own lock for ever, or
   after the exit, in the host. Seen as guests that fall silent, triple faults, and panics of guest and host. So the
   note is not made.

3. The emulated igb never says that it has read its configuration (bits CFG_DONE of EEMNGCTL, 82576 datasheet section
   8.4.23), so that the driver waits 0.3 s for it at every reset of its port, as no hardware makes it wait. The
   register's value after reset (hw/net/igb_core.c, igb_mac_reg_init) gets these bits, for all four ports.
"""

import inspect
import re
import struct
from pathlib import Path

from . import cache

REACH = 4096  # bytes of a function that are searched

NOP = b"\x90"

# What is found by `pattern` in the function `symbol`, or anywhere: its group "gone" is overwritten, by as many of the
# last as fit.
PATCHES = {
    # After the call of bql_locked(): test %al,%al; je to what aborts.
    "an assertion without which guests with UEFI may go on":
        (b"cpu_interrupt", re.compile(rb"\x84\xc0(?P<gone>\x74.)", re.DOTALL), NOP),
    # mov vector,exception_index; movl $0,exception_is_int; movq $-1,exception_next_eip; testb $2,loglevel; jne;
    # mov $1,%edx (is_hw, for do_interrupt_x86_hardirq).
    "a note by which an interrupt may be delivered twice":
        (b"helper_vmrun", re.compile(rb"(?P<gone>\x89[\x80-\xbf].{4})\xc7[\x80-\xbf].{4}\0{4}\x48\xc7[\x80-\xbf].{4}\xff{4}"
                                     rb"\xf6\x05.{4}\x02\x0f\x85.{4}\xba\x01\0{3}", re.DOTALL), NOP),
    # LEDCTL (0xe00) as the igb has it after reset, and EEMNGCTL (0x1010).
    "an igb that never says that it has read its configuration":
        (None, re.compile(rb"\x02\x83\x06\x07.{524}(?P<gone>\0\0\0\x80)", re.DOTALL), b"\0\0\x3c\x80"),
}


def mended(program: Path) -> Path:
    """A copy of QEMU without these faults; one that is built differently is left as it is, which is said."""
    key = cache.digest(program.name, str(program.stat().st_size), str(program), repr(PATCHES),
                       *map(inspect.getsource, (_patched, _address, _offset)))
    return cache.entry("emulator", key, "QEMU without three faults", lambda path: _make(program, path)) / program.name


def _make(program: Path, folder: Path) -> None:
    folder.mkdir()
    target = folder / program.name
    image = program.read_bytes()
    for about, (symbol, pattern, instead) in PATCHES.items():
        without = _patched(image, symbol, pattern, instead)
        if without is None:
            cache.say(f"{program.name} is not built as expected and keeps {about}")
        image = without or image
    target.write_bytes(image)
    target.chmod(0o755)


def _patched(image: bytes, symbol: bytes | None, pattern: re.Pattern, instead: bytes) -> bytes | None:
    if symbol:
        address = _address(image, symbol)
        start = _offset(image, address) if address else 0
        found = pattern.search(image, start, start + REACH) if start else None
    else:
        found = pattern.search(image)
    if not found:
        return None
    begin, end = found.span("gone")
    return image[:begin] + instead * ((end - begin) // len(instead)) + image[end:]


def _sections(image: bytes):
    table, size, count = struct.unpack_from("<Q", image, 0x28)[0], *struct.unpack_from("<HH", image, 0x3A)
    for index in range(count):
        yield struct.unpack_from("<IIQQQQIIQQ", image, table + index * size)


def _address(image: bytes, symbol: bytes) -> int:
    """Of the function, from the dynamic symbols; 0 when it is not there."""
    sections = list(_sections(image))
    for kind, offset, length, link in ((each[1], each[4], each[5], each[6]) for each in sections):
        if kind != 11:  # SHT_DYNSYM
            continue
        names = sections[link][4]
        for at in range(offset, offset + length, 24):
            name, _, _, _, value, _ = struct.unpack_from("<IBBHQQ", image, at)
            if image[names + name:names + name + len(symbol) + 1] == symbol + b"\0":
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
