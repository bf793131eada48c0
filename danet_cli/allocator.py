"""Set the C library's memory allocator for the command's process."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h
LARGEST = 2**31 - 1
TOP_PAD = 1 << 26


def keep_freed_memory() -> None:
    """Make glibc's malloc keep freed memory for the next large array; do nothing with other C libraries.

    Each new page costs a page fault, which clears the page: 13% of a prediction's time in PyTorch at 512x512
    (danet_r50, float32), see docs/performance.md.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, LARGEST), (M_TOP_PAD, TOP_PAD)):
            libc.mallopt(option, value)
