# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast this machine's time stamp counter runs, which is what an emulated CPU reads, too."""

import ctypes
import functools
import mmap
import time

READ_TSC = bytes.fromhex("0f31 48c1e220 4809d0 c3")  # rdtsc; shl $32,%rdx; or %rdx,%rax; ret
SECONDS = 0.1
TRIES = 20


@functools.cache
def khz() -> int:
    """Measured against the system's clock, to some parts in 100,000."""
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(READ_TSC)
    read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(page)))

    def both() -> tuple[int, int]:
        """Counter and nanoseconds of one moment: of several tries that in which least time passed."""
        tries = []
        for _ in range(TRIES):
            before, ticks, after = time.monotonic_ns(), read(), time.monotonic_ns()
            tries.append((after - before, ticks, (before + after) // 2))
        return min(tries)[1:]

    ticks, nanoseconds = both()
    time.sleep(SECONDS)
    more_ticks, more_nanoseconds = both()
    return round((more_ticks - ticks) * 1_000_000 / (more_nanoseconds - nanoseconds))
