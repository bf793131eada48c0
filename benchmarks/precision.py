"""Compare float32 and bfloat16 with float64: `python benchmarks/precision.py`.

Prints the largest and the median error of the fused logits, relative to the largest logit, and the share of pixels with
another class. PyTorch, synthetic weights (gammas not zero, random BatchNorm), noise as the input.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from option_types import size

import danet_torch
from danet_common import VARIANTS, Checkpoint
from shared_tests.fixtures.synthetic import synthetic_input, synthetic_tensors

CANDIDATES = {
    "float32": ("float32", "memory_efficient"),
    "float32, cpu_inference": ("float32", "cpu_inference"),
    "bfloat16": ("bfloat16", "memory_efficient"),
    "bfloat16, cpu_inference": ("bfloat16", "cpu_inference"),
}


def fused(checkpoint: Checkpoint, x: np.ndarray, dtype: str, layers: str) -> np.ndarray:
    """Return the fused logits, (N, classes, H, W), as float64."""
    model = danet_torch.from_checkpoint(checkpoint, dtype, layers)
    with torch.inference_mode():
        return model(torch.from_numpy(x), outputs=("fused",))["fused"].double().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=VARIANTS, default="danet_r101")
    parser.add_argument("--size", type=size, default=(512, 512), metavar="HxW")
    options = parser.parse_args()
    config = VARIANTS[options.variant]
    height, width = options.size
    checkpoint, x = Checkpoint(config, synthetic_tensors(config)), synthetic_input(config, 1, height, width)
    expected = fused(checkpoint, x.astype(np.float64), "float64", "plain")
    print(f"| {options.variant}, {height}x{width} | largest error | median error | pixels of another class |")
    print("|---|---|---|---|")
    for name, (dtype, layers) in CANDIDATES.items():
        actual = fused(checkpoint, x, dtype, layers)
        error = np.abs(actual - expected) / np.abs(expected).max()
        changed = actual.argmax(1) != expected.argmax(1)
        print(f"| {name} | {error.max():.1e} | {np.median(error):.1e} | {changed.mean():.4%} |")


if __name__ == "__main__":
    main()
