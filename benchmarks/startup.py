"""Measure startup times: `python benchmarks/startup.py`.

The command, the import of each package and `load` of a ResNet-101 are timed as whole processes. A training batch has 8
crops of 512x512 from files of 1024x2048, read by threads or worker processes. Prints medians over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from danet_cli.environment import processor, versions
from danet_common import VARIANTS, Checkpoint, write_checkpoint
from danet_common.data import Augmentation, Loader, Sampler, open_dataset
from shared_tests.fixtures.synthetic import synthetic_tensors

PACKAGES = ("danet_torch", "danet_tf", "danet_jax")
READERS = ({"threads": 0}, {"threads": 2}, {"workers": 2})
FILES, BATCHES, BATCH = 8, 6, 8


def process(*arguments: str) -> Callable[[], float]:
    """Return a function that times a Python process with these arguments."""

    def run() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        return time.perf_counter() - started

    return run


def write_pictures(folder: Path) -> None:
    """Write smooth pictures with some noise, which take as long to decode as photographs."""
    generator = np.random.default_rng(0)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    (folder / "classes.txt").write_text("".join(f"class{n}\n" for n in range(19)))
    for number in range(FILES):
        coarse = generator.integers(0, 256, (16, 32, 3), np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((2048, 1024), Image.Resampling.BICUBIC), np.int16)
        pixels = np.clip(smooth + generator.integers(-8, 9, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        labels = np.kron(generator.integers(0, 19, (16, 32), np.uint8), np.ones((64, 64), np.uint8))
        Image.fromarray(labels).save(folder / "labels" / f"{number}.png")


def batches(folder: Path, options: dict[str, int]) -> Callable[[], float]:
    """Return a function that times a batch. The first batch, which starts the readers, is not counted."""

    def run() -> float:
        config = VARIANTS["danet_r50"]
        sampler, crops = Sampler(count=FILES, batch_size=BATCH), Augmentation(crop=(512, 512))
        dataset = open_dataset(f"folder:{folder}", "train")
        with Loader(dataset, crops, config, sampler, **options) as loader:
            next(loader)
            started = time.perf_counter()
            for _ in range(BATCHES):
                next(loader)
            return (time.perf_counter() - started) / BATCHES

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variant", choices=VARIANTS, default="danet_r101")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, pictures = Path(folder) / "synthetic.safetensors", Path(folder) / "pictures"
        config = VARIANTS[options.variant]
        write_checkpoint(Checkpoint(config, synthetic_tensors(config)), checkpoint)
        write_pictures(pictures)
        timers = {"an empty Python": process("-c", ""), "danet --help": process("-m", "danet_cli.main", "--help")}
        timers["danet inspect"] = process("-m", "danet_cli.main", "inspect", str(checkpoint))
        for package in PACKAGES:
            timers[f"import {package}"] = process("-c", f"import {package}")
            timers[f"{package}.load"] = process("-c", f"import {package}; {package}.load({str(checkpoint)!r})")
        for reader in READERS:
            name = ", ".join(f"{count} {kind}" for kind, count in reader.items())
            timers[f"a batch, {name}"] = batches(pictures, reader)
        seconds_of: dict[str, list[float]] = {name: [] for name in timers}
        for _ in range(options.rounds):
            for name, timer in timers.items():
                seconds_of[name].append(timer())
    print(f"{processor()}, {', '.join(f'{name} {version}' for name, version in versions().items())}\n")
    print(f"| {options.variant} | seconds |\n|---|---:|")
    for name, seconds in seconds_of.items():
        print(f"| {name} | {statistics.median(seconds):.2f} |")


if __name__ == "__main__":
    main()
