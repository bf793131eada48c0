"""The best rates that this machine is seen to compute at: matrix products and convolutions of a network's shapes."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from ours import held_dtype, set_precision
from torch import Tensor

MATRICES = (2048, 4096)
# Input and output channels, kernel size, dilation, side: layers 3 and 4 and the head of a picture of 512x512.
CONVOLUTIONS = ((256, 256, 3, 2, 64), (512, 512, 3, 4, 64), (2048, 512, 3, 1, 64), (1024, 256, 1, 1, 64))


def best(run: Callable[[], Tensor], operations: int, device: str, passes: int = 7) -> float:
    """Operations per second of the fastest pass."""
    seconds = []
    for _ in range(1 + passes):
        started = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return operations / min(seconds[1:])


@torch.no_grad()
def measure_roof(dtype: str, device: str = "cpu") -> dict[str, float]:
    """`matrix` and `convolution`, in operations per second, and the larger of them as `roof`."""
    set_precision("torch", dtype)
    kind, rates = getattr(torch, held_dtype(dtype)), {"matrix": 0.0, "convolution": 0.0}
    for size in MATRICES:
        a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
        rates["matrix"] = max(rates["matrix"], best(lambda a=a, b=b: a @ b, 2 * size**3, device))
    for channels, out_channels, kernel, dilation, side in CONVOLUTIONS:
        convolution = torch.nn.Conv2d(channels, out_channels, kernel, padding="same", dilation=dilation)
        convolution = convolution.to(device=device, dtype=kind)
        x = torch.randn(1, channels, side, side, device=device).to(kind).contiguous(memory_format=torch.channels_last)
        operations = 2 * channels * out_channels * (kernel * side) ** 2
        rate = best(lambda c=convolution, x=x: c(x), operations, device)
        rates["convolution"] = max(rates["convolution"], rate)
    return {**rates, "roof": max(rates.values())}
