"""Other ways through position attention, in a backend's own process: slices so small that even a tiny network needs
several, and PyTorch's kernel, which networks use on a GPU, on a CPU."""

from __future__ import annotations

from typing import Any
from unittest import mock

from danet_common import chunks, slices
from shared_tests.workers.protocol import Groups

USUAL = slices.SLICE_SIZE, slices.FAR


def set_slice_size(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Entries of the map at once, in networks made from now on, where any larger energy is far above those before it;
    None: as usual."""
    slices.SLICE_SIZE, slices.FAR = (fields["entries"], 1.0) if fields["entries"] else USUAL
    chunks.CHUNK_SIZE = slices.SLICE_SIZE
    return {}


def set_kernel(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Whether attention goes by PyTorch's kernel from now on; not `used`: as usual."""
    if fields["used"]:
        mock.patch("danet_torch.accelerated.attention.sdpa_supported", takes_all).start()
    else:
        mock.patch.stopall()
    return {}


def takes_all(*described: Any) -> bool:
    """In the place of `sdpa_supported`: compilers do not follow a mock."""
    return True
