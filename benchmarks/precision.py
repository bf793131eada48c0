"""What speed costs in accuracy: `python benchmarks/precision.py`, against the same network in float64.

The fused logits' largest and median error, relative to the largest logit, and the pixels whose class is another; with
the rule's weights (gammas not zero, random BatchNorm) on noise, in PyTorch.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from sizes import size

import danet_torch
from danet_common import VARIANTS, Checkpoint
from shared_tests.fixtures.synthetic import synthetic_input, synthetic_tensors

WAYS = {
    "float32": ("float32", "memory_efficient"),
    "float32, cpu_inference": ("float32", "cpu_inference"),
    "bfloat16": ("bfloat16", "memory_efficient"),
    "bfloat16, cpu_inference": ("bfloat16", "cpu_inference"),
}


def fused(checkpoint: Checkpoint, x: np.ndarray, dtype: str, layers: str) -> np.ndarray:
    """The prediction's logits, (N, classes, H, W), as float64."""
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
    truth = fused(checkpoint, x.astype(np.float64), "float64", "plain")
    print(f"| {options.variant}, {height}x{width} | largest error | median error | pixels of another class |")
    print("|---|---|---|---|")
    for name, (dtype, how) in WAYS.items():
        found = fused(checkpoint, x, dtype, how)
        error, other = np.abs(found - truth) / np.abs(truth).max(), found.argmax(1) != truth.argmax(1)
        print(f"| {name} | {error.max():.1e} | {np.median(error):.1e} | {other.mean():.4%} |")


if __name__ == "__main__":
    main()
