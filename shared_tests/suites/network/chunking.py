"""Other ways through position attention, in a backend's own process: chunks so small that even a tiny network needs
several, and PyTorch's kernel, which networks use on a GPU, on a CPU."""

from __future__ import annotations

from typing import Any
from unittest import mock

from danet_common.numerics import chunks
from shared_tests.workers.protocol import Groups

USUAL = chunks.CHUNK_SIZE


def set_chunk_size(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Set the entries of the map that networks made from now on compute at once; None: as usual."""
    chunks.CHUNK_SIZE = fields["entries"] or USUAL
    return {}


def set_kernel(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Make attention use PyTorch's kernel from now on; without `used`, as usual."""
    if fields["used"]:
        mock.patch("danet_torch.accelerated.attention.sdpa_supported", takes_all).start()
    else:
        mock.patch.stopall()
    return {}


def takes_all(*described: Any) -> bool:
    """In the place of `sdpa_supported`: compilers do not follow a mock."""
    return True
