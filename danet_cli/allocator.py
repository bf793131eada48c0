"""How the command's process keeps memory that it has freed."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h of glibc
LARGEST = 2**31 - 1
TOP_PAD = 1 << 26


def keep_freed_memory() -> None:
    """Have glibc's malloc keep freed memory for the next large array, instead of giving it back to the system.

    Each new page costs a page fault, which clears the page: 13% of a prediction's time in PyTorch at 512x512
    (danet_r50, float32), see docs/performance.md. Other C libraries have no such switch, and nothing happens.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, LARGEST), (M_TOP_PAD, TOP_PAD)):
            libc.mallopt(option, value)
