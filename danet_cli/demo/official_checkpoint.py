"""A checkpoint in the authors' layout, carried into three frameworks and held to what the authors' own code gave.

Its weights are random ones that were recorded together with what the authors' network made of them: the masks show
agreement, not a scene.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danet_cli.console import CommandError, print_facts, print_line, progress
from danet_cli.output_paths import require_own

if TYPE_CHECKING:
    import numpy as np

    from danet_common import Checkpoint
    from danet_common.files.atomic import Judge
    from shared_tests.fixtures.recorded import Recording
    from shared_tests.parity.check import CheckResult

BACKENDS = ("torch", "tf", "jax")
HEIGHT = 256  # of the photograph
RECORDED = "official_r50_plain_mg.npz"
CONVERTED = ("danet.safetensors", "danet.keras", "danet.orbax")
RECORDED_FACTOR = 5  # of the authors' own float32 noise: ours is another order of summation


def bring_authors_checkpoint(out: Path, quiet: bool) -> tuple[bool, dict[str, Any]]:
    """Convert it, run it on a photograph in three frameworks, draw; whether all agree, and the report."""
    from danet_cli.demo.parity_plot import draw_parity
    from shared_tests.fixtures import recorded
    from shared_tests.parity.check import BackendError, check_checkpoints, find_backends

    photograph, picture = read_photograph(), out / "parity.png"
    try:
        found = find_backends(BACKENDS)
        recording = recorded.load(recorded.FOLDER / RECORDED)
        source = write_source(recording, out)
        files, checkpoint = convert_all(source, out, quiet)
        with progress(1 + 2 * len(found)) as step:
            (result,) = check_checkpoints({str(files[0]): checkpoint}, input_of(photograph), found, "f32", step)
            ratios = reproduce(recording, files[0], step)
    except BackendError as error:
        raise CommandError(str(error)) from None
    draw_parity(result, photograph, picture)
    agrees = result.agrees and all(ratio <= RECORDED_FACTOR for ratio in ratios.values())
    if not quiet:
        print_carried(result, ratios)
    paths = {"checkpoint": str(source), "files": [str(file) for file in files], "picture": str(picture)}
    return agrees, {"agrees": agrees, **paths, "recorded": ratios, "parity": result.to_dict()}


def refuse_others(out: Path) -> None:
    """Raise Unable where files are in the way that do not hold the recorded checkpoint: they are somebody's own."""
    from shared_tests.fixtures import recorded

    recording = recorded.load(recorded.FOLDER / RECORDED)
    for name in (recording.meta["file_name"], *CONVERTED):
        require_own(out / name, own_checkpoint(recording))


def own_checkpoint(recording: Recording) -> Judge:
    """Return what raises Unable for all but files that hold just the recorded tensors."""
    from weights_convert import read
    from weights_convert.detect import find_match
    from weights_convert.mapping.apply import to_canonical

    def judge(path: Path) -> None:
        tensors = dict(recording.state_dict)
        wanted = to_canonical(find_match(tensors), tensors, {}, lambda line: None).hashes()
        try:
            own = read(path).hashes() == wanted
        except ValueError:
            own = False
        if not own:
            raise CommandError(f"{path} exists, and danet demo did not write it; choose another --out")

    return judge


def write_source(recording: Recording, out: Path) -> Path:
    """Write the checkpoint under the name that the authors' trainer gives, atomically."""
    from danet_common.files.atomic import atomic_file
    from shared_tests.fixtures import upstream_checkpoints

    with tempfile.TemporaryDirectory() as folder:
        file = upstream_checkpoints.write_checkpoint(recording, folder)
        with atomic_file(out / file.name, own_checkpoint(recording)) as temporary:
            shutil.copyfile(file, temporary)
    return out / file.name


def read_photograph() -> np.ndarray:
    """The portrait of Grace Hopper that matplotlib carries (public domain), 256 pixels high."""
    from matplotlib import cbook

    from danet_common.data.image import read_image, resize_image

    image = read_image(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    return resize_image(image, HEIGHT, round(image.shape[1] * HEIGHT / image.shape[0]))


def input_of(photograph: np.ndarray) -> Any:
    """The photograph as a config wants it."""
    from danet_common.data.image import normalise

    return lambda config: normalise(photograph, config).transpose(2, 0, 1)[None]


def convert_all(source: Path, out: Path, quiet: bool) -> tuple[list[Path], Checkpoint]:
    """The authors' file -> canonical -> Keras and Flax; the files, and the checkpoint that all of them hold."""
    from rich.filesize import decimal

    import weights_convert
    from danet_cli.inspect import facts_of

    inspection = weights_convert.inspect(source)
    if not quiet:
        print_facts(f"The authors' checkpoint: {source}", facts_of(inspection))
        for line in (*inspection.notes, ""):
            print_line(line)
    files = [out / name for name in CONVERTED]
    canonical = files[0]
    weights_convert.convert(source, canonical, force=True)
    for file in files[1:]:
        weights_convert.convert(canonical, file, force=True)
    checkpoint = weights_convert.read(canonical)
    wanted, facts = checkpoint.hashes(), {}
    for file in files:
        read = weights_convert.inspect(file)
        if {tensor.name: tensor.sha256 for tensor in read.tensors} != wanted or read.config != checkpoint.config:
            raise CommandError(f"{file} does not hold the tensors of {source}")
        facts[str(file)] = f"{read.format}, {decimal(read.bytes)}, {len(read.tensors)} tensors, bit for bit"
    if not quiet:
        print_facts("Converted", facts)
    return files, checkpoint


def reproduce(recording: Recording, canonical: Path, step: Any) -> dict[str, float]:
    """Backend -> its greatest difference from what the authors' network gave, in units of their own float32 noise."""
    from shared_tests.fixtures.recorded import mismatches
    from shared_tests.workers.backends import BACKENDS as KNOWN
    from shared_tests.workers.backends import Worker
    from shared_tests.workers.protocol import Request

    ratios = {}
    for name in BACKENDS:
        step(f"{name}: the recorded input")
        taps = tuple(tap for tap in recording.records if tap not in ("fused", "position", "channel"))
        with Worker(KNOWN[name]) as worker:
            response = worker.run(Request(checkpoint=str(canonical), x=recording.x, taps=taps))
        found = mismatches(recording, {**response.taps, **response.outputs})
        ratios[name] = max(found[tap] / recording.records[tap].noise for tap in found)
    return ratios


def print_carried(result: CheckResult, ratios: dict[str, float]) -> None:
    """The parity table, and the recorded outputs."""
    from danet_cli.check.report import print_result

    print_line()
    print_line("The photograph in float32, against the float64 reference", style="bold")
    print_result(result)
    facts = {
        name: f"{'PASS' if ratio <= RECORDED_FACTOR else 'FAIL'} at most {ratio:.2f} times their own float32 noise"
        for name, ratio in ratios.items()
    }
    print_facts("The authors' recorded outputs, reproduced", facts)
