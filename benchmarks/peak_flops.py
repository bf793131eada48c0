"""Measure the best rates of this machine: matrix products and convolutions of a network's shapes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from danet_candidates import set_precision, storage_dtype
from torch import Tensor

MATRICES = (2048, 4096)
# Input and output channels, kernel size, dilation, side: layers 3 and 4 and the head for a picture of 512x512.
CONVOLUTIONS = ((256, 256, 3, 2, 64), (512, 512, 3, 4, 64), (2048, 512, 3, 1, 64), (1024, 256, 1, 1, 64))


def best_rate(run: Callable[[], Tensor], operations: int, device: str, passes: int = 7) -> float:
    """Return the operations per second of the fastest pass."""
    seconds = []
    for _ in range(1 + passes):
        started = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return operations / min(seconds[1:])


@torch.no_grad()
def measure_peak_flops(dtype: str, device: str = "cpu") -> dict[str, float]:
    """Return `matrix`, `convolution` and `peak_flops`, the larger of both, in operations per second."""
    set_precision("torch", dtype)
    kind, rates = getattr(torch, storage_dtype(dtype)), {"matrix": 0.0, "convolution": 0.0}
    for size in MATRICES:
        a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
        rates["matrix"] = max(rates["matrix"], best_rate(partial(torch.matmul, a, b), 2 * size**3, device))
    for channels, out_channels, kernel, dilation, side in CONVOLUTIONS:
        convolution = torch.nn.Conv2d(channels, out_channels, kernel, padding="same", dilation=dilation)
        convolution = convolution.to(device=device, dtype=kind)
        x = torch.randn(1, channels, side, side, device=device).to(kind).contiguous(memory_format=torch.channels_last)
        operations = 2 * channels * out_channels * (kernel * side) ** 2
        rate = best_rate(partial(convolution, x), operations, device)
        rates["convolution"] = max(rates["convolution"], rate)
    return {**rates, "peak_flops": max(rates.values())}
