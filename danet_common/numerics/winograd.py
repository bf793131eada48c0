"""Winograd's 3x3 convolution, F(4x4, 3x3) (Lavin and Gray, CVPR 2016, section 4.2), for inference on a CPU.

A tile of 4x4 outputs needs the 6x6 inputs around it. Their transforms are multiplied entry by entry, so all tiles
together are 36 matrix products, with 36 multiplications instead of 144. The result is equal to 1e-13 in float64; in
float32 the rounding errors are a few times larger.
"""

from __future__ import annotations

import numpy as np

TILE = 4  # outputs in a row and in a column
SPAN = TILE + 2  # inputs that they need

# The paper's matrices, for the points 0, 1, -1, 2, -2 and infinity.
B_T = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
A_T = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])

INPUT = np.kron(B_T, B_T)  # (36, 36), from a tile's inputs, row by row
KERNEL = np.kron(G, G)  # (36, 9)
OUTPUT = np.kron(A_T, A_T)  # (16, 36), to a tile's outputs

# Products of fewer channels wait for memory. Fewer positions do not pay for the kernels, which are 4 times as large.
# Tiles that reach beyond the image are wasted.
CHANNELS = 128
POSITIONS = 1024
WASTE = 1.5

BAND_SIZE = 1 << 24  # entries of an image's tiles at once: 64 MiB in float32
CACHED_SIZE = 1 << 22  # of all images', in PyTorch, where each step of a transform finds them in the cache
CHANNELS_AT_ONCE = 512  # of the input, in PyTorch: more would leave the cache, or be few tiles for all those kernels


def is_eligible(kernel_size: int, stride: int, channels: int) -> bool:
    """True if a convolution can gain on a large image; `channels` is the smaller of input and output channels."""
    return kernel_size == 3 and stride == 1 and channels >= CHANNELS


def tiles(length: int, dilation: int) -> int:
    """Return the tiles over a side of `length` pixels; a tile has 4 outputs for each of `dilation` phases."""
    return -(-length // (TILE * dilation))


def is_worthwhile(height: int, width: int, dilation: int) -> bool:
    """True if an image is large enough, and its tiles do not reach too far beyond it."""
    computed = tiles(height, dilation) * tiles(width, dilation) * (TILE * dilation) ** 2
    return height * width >= POSITIONS and computed <= WASTE * height * width


def band(width: int, channels: int, dilation: int, size: int) -> int:
    """Return the rows of tiles computed at once for `size` entries; `channels` is the larger of input and output."""
    return max(1, size // (SPAN**2 * tiles(width, dilation) * dilation**2 * channels))


def phases(width: int, channels: int, dilation: int, size: int) -> int:
    """Return the phases of a tile's rows computed at once: all, unless a row of tiles has more entries than `size`."""
    return min(dilation, max(1, size // (SPAN**2 * tiles(width, dilation) * dilation * channels)))
