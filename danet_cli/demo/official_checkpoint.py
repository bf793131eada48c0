"""Convert a checkpoint in the authors' layout to three frameworks, and check it against the authors' own code.

Its weights are random, recorded together with the outputs of the authors' network: the masks show agreement, not a
scene.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import cbook
from rich.filesize import decimal

import weights_convert
from danet_cli.check.report import print_result
from danet_cli.console import CommandError, Step, print_facts, print_line, progress
from danet_cli.demo.parity_plot import draw_parity
from danet_cli.inspect import facts_of
from danet_common import Checkpoint
from danet_common.data.image import normalise, read_image, resize_image
from shared_tests.fixtures import recorded, upstream_checkpoints
from shared_tests.parity.check import BackendError, check_checkpoints, find_backends
from shared_tests.workers.backends import BACKENDS as KNOWN
from shared_tests.workers.backends import Worker
from shared_tests.workers.protocol import Request

BACKENDS = ("torch", "tf", "jax")
HEIGHT = 256  # of the photograph
RECORDED = "official_r50_plain_mg.npz"
CONVERTED = ("danet.safetensors", "danet.keras", "danet.orbax")
RECORDED_FACTOR = 5  # times the authors' own float32 noise: we add in another order


def check_official_checkpoint(out: Path, quiet: bool) -> tuple[bool, dict[str, Any]]:
    """Convert the checkpoint, run it on a photograph and draw. Return True if all agree, and the report."""
    photograph, picture = read_photograph(), out / "parity.png"
    try:
        backends = find_backends(BACKENDS)
        recording = recorded.load(recorded.FOLDER / RECORDED)
        source = upstream_checkpoints.write_checkpoint(recording, out)
        files, checkpoint = convert_all(source, out, quiet)
        with progress(1 + 2 * len(backends)) as step:
            networks = {str(files[0]): checkpoint}
            (result,) = check_checkpoints(networks, input_of(photograph), backends, "f32", step)
            ratios = reproduce(recording, files[0], step)
    except BackendError as error:
        raise CommandError(str(error)) from None
    draw_parity(result, photograph, picture)
    if not quiet:
        print_line()
        print_line("The photograph in float32, against the float64 reference", style="bold")
        print_result(result)
        print_ratios(ratios)
    agrees = result.agrees and all(ratio <= RECORDED_FACTOR for ratio in ratios.values())
    paths = {"checkpoint": str(source), "files": [str(file) for file in files], "picture": str(picture)}
    return agrees, {"agrees": agrees, **paths, "recorded": ratios, "parity": result.to_dict()}


def read_photograph() -> np.ndarray:
    """Return matplotlib's portrait of Grace Hopper (public domain), 256 pixels high."""
    image = read_image(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    return resize_image(image, HEIGHT, round(image.shape[1] * HEIGHT / image.shape[0]))


def input_of(photograph: np.ndarray) -> Callable[..., np.ndarray]:
    """Return the function that makes a network's input for its config."""
    return lambda config: normalise(photograph, config).transpose(2, 0, 1)[None]


def convert_all(source: Path, out: Path, quiet: bool) -> tuple[list[Path], Checkpoint]:
    """Convert to the canonical format, Keras and Flax. Return the files and their checkpoint, equal in all of them."""
    inspection = weights_convert.inspect(source)
    if not quiet:
        print_facts(f"The authors' checkpoint: {source}", facts_of(inspection))
        for line in (*inspection.notes, ""):
            print_line(line)
    files = [out / name for name in CONVERTED]
    for file in files:
        weights_convert.convert(source if file == files[0] else files[0], file, force=True)
    checkpoint = weights_convert.read(files[0])
    hashes, facts = checkpoint.hashes(), {}
    for file in files:
        read = weights_convert.inspect(file)
        if {tensor.name: tensor.sha256 for tensor in read.tensors} != hashes or read.config != checkpoint.config:
            raise CommandError(f"{file} does not hold the tensors of {source}")
        facts[str(file)] = f"{read.format}, {decimal(read.bytes)}, {len(read.tensors)} tensors, bit for bit"
    if not quiet:
        print_facts("Converted", facts)
    return files, checkpoint


def reproduce(recording: recorded.Recording, canonical: Path, step: Step) -> dict[str, float]:
    """Return backend -> largest difference from the recorded outputs, in units of their float32 noise."""
    ratios = {}
    taps = tuple(tap for tap in recording.records if tap not in ("fused", "position", "channel"))
    for name in BACKENDS:
        step(f"{name}: the recorded input")
        with Worker(KNOWN[name]) as worker:
            response = worker.run(Request(checkpoint=str(canonical), x=recording.x, taps=taps))
        differences = recorded.mismatches(recording, {**response.taps, **response.outputs})
        ratios[name] = max(difference / recording.records[tap].noise for tap, difference in differences.items())
    return ratios


def print_ratios(ratios: dict[str, float]) -> None:
    """Print the comparison with the recorded outputs."""
    facts = {
        name: f"{'PASS' if ratio <= RECORDED_FACTOR else 'FAIL'} at most {ratio:.2f} times their own float32 noise"
        for name, ratio in ratios.items()
    }
    print_facts("The authors' recorded outputs, reproduced", facts)
