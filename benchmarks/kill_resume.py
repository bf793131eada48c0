"""Kill and resume a training run many times: `python benchmarks/kill_resume.py --kills 50 --backend torch`.

`danet train` learns generated scenes and saves at every step. 1 SIGKILL in 3 comes during the start, 1 in 3 during a
step, and 1 in 3 while the process writes a checkpoint. After each kill both
checkpoints must be readable with matching hashes, and the run resumes. The result must equal an uninterrupted run bit
for bit. Exit code 0 if it does, 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from danet_common import read_checkpoint
from danet_common.training.folder import RunFolder
from danet_common.training.metrics_file import read_metrics
from danet_common.training.training_checkpoint import read_training

STEPS_PER_KILL = 6
STEP_TIMEOUT = 300  # seconds
RUN = (
    *("--data", "scenes:7", "--val", "scenes:2", "--network", "danet_tiny"),
    *("--set", "batch_size=2", "--set", "crop=33x41", "--set", "ema_decay=0.9", "--set", "seed=3"),
    *("--log-every", "2", "--save-every", "1", "--validate-every", "5"),
)


@dataclass
class Result:
    """Counts and errors of the kills."""

    kills: int = 0
    writing: int = 0  # kills during a write, which left a temporary file
    starting: int = 0  # kills before the process finished a step
    unreadable: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """True if nothing was lost."""
        return not self.unreadable and not self.differences


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--backend", choices=("torch", "tf", "jax"), default="torch")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="danet-kills-") as folder:
        result = kill_and_resume(Path(folder), options.backend, options.kills, random.Random(options.seed))
    print(f"backend               {options.backend}")
    print(f"kills                 {result.kills}")
    print(f"  within a write      {result.writing}")
    print(f"  before a step       {result.starting}")
    print(f"unreadable            {len(result.unreadable)}", *result.unreadable, sep="\n  ")
    print(f"differences          {len(result.differences)}", *result.differences, sep="\n  ")
    print(f"seconds               {result.seconds:.0f}")
    return 0 if result.good else 1


def kill_and_resume(folder: Path, backend: str, kills: int, moments: random.Random) -> Result:
    """Kill a run `kills` times, let it end, and compare it with an uninterrupted run."""
    result, begun = Result(), time.perf_counter()
    steps = STEPS_PER_KILL * (kills + 1)
    uninterrupted, killed = RunFolder(folder / "uninterrupted"), RunFolder(folder / "killed")
    finish(start(uninterrupted, backend, steps))
    for kill in range(kills):
        process, before = start(killed, backend, steps), step_of(killed)
        if kill % 3 == 2:
            await_moment(killed, STEPS_PER_KILL * (kill + 1), moments.uniform(0, 6))
        else:
            await_step(killed, process, STEPS_PER_KILL * (kill + 1) - moments.randrange(STEPS_PER_KILL))
            if kill % 3 == 0:
                await_write(killed, process)
            else:
                time.sleep(moments.uniform(0, 0.1))
        if process.poll() is not None:
            raise RuntimeError(f"the run ended before kill {kill + 1}: {finish(process)}")
        process.kill()
        finish(process, killed=True)
        result.kills += 1
        result.writing += bool(temporary_files(killed))
        result.starting += step_of(killed) == before
        result.unreadable += unreadable(killed)
    finish(start(killed, backend, steps))
    result.differences = differences(uninterrupted, killed)
    result.seconds = time.perf_counter() - begun
    return result


def start(folder: RunFolder, backend: str, steps: int) -> subprocess.Popen[bytes]:
    """Start the run, or resume it."""
    if folder.plan.exists():
        arguments: tuple[str, ...] = ("--resume", str(folder.root))
    else:
        arguments = ("--out", str(folder.root), "--backend", backend, "--set", f"steps={steps}", *RUN)
    command = [sys.executable, "-m", "danet_cli.main", "train", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # threads slow so small a network down
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)


def finish(process: subprocess.Popen[bytes], killed: bool = False) -> str:
    """Return the standard error. Raises RuntimeError if the process failed by itself."""
    error = process.communicate()[1].decode()
    if process.returncode and not killed:
        raise RuntimeError(f"danet train: exit code {process.returncode}: {error[-2000:]}")
    return error


def step_of(folder: RunFolder) -> int:
    """Return the last step in the metrics file."""
    return max((r["step"] for r in read_metrics(folder.metrics)), default=0) if folder.metrics.exists() else 0


def await_moment(folder: RunFolder, step: int, seconds: float) -> None:
    """Return after `seconds`, or at `step` at the latest: a fast machine must leave steps for later kills."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds and step_of(folder) < step:
        time.sleep(0.01)


def await_step(folder: RunFolder, process: subprocess.Popen[bytes], step: int) -> None:
    """Return when the run is at `step` and this process has done a step, or when the process has ended."""
    before, begun = step_of(folder), time.monotonic()
    while process.poll() is None and not step <= step_of(folder) > before:
        if time.monotonic() - begun > STEP_TIMEOUT:
            process.kill()
            raise RuntimeError(f"no step in {STEP_TIMEOUT} seconds")
        time.sleep(0.005)


def await_write(folder: RunFolder, process: subprocess.Popen[bytes]) -> None:
    """Return as soon as the process writes a temporary file."""
    while process.poll() is None and not temporary_files(folder):
        pass


def temporary_files(folder: RunFolder) -> list[Path]:
    """Return the files that are being written."""
    return list(folder.root.glob(".*.part"))


def unreadable(folder: RunFolder) -> list[str]:
    """Return the errors of reading the run's checkpoints, hashes included."""
    errors = []
    for path, read in ((folder.last, read_training), (folder.best, read_checkpoint)):
        if path.exists() or (path == folder.last and folder.plan.exists()):
            try:
                read(path)
            except (ValueError, OSError) as error:
                errors.append(str(error))
    return errors


def differences(expected: RunFolder, actual: RunFolder) -> list[str]:
    """Return the differences of two runs: tensors bit for bit, metrics without images per second."""
    names = []
    last, actual_last = read_training(expected.last), read_training(actual.last)
    if (last.config, last.recipe, last.step, last.data) != (
        actual_last.config,
        actual_last.recipe,
        actual_last.step,
        actual_last.data,
    ):
        names.append(f"{expected.last.name}: config, recipe, step or data state")
    best, actual_best = read_checkpoint(expected.best), read_checkpoint(actual.best)
    if (best.config, best.source) != (actual_best.config, actual_best.source):
        names.append(f"{expected.best.name}: config or source")
    for arrays, actual_arrays in (
        (last.tensors, actual_last.tensors),
        (last.slots, actual_last.slots),
        (best.tensors, actual_best.tensors),
    ):
        names += [f"{name}: bytes" for name in arrays if arrays[name].tobytes() != actual_arrays[name].tobytes()]
    if metrics_of(expected) != metrics_of(actual):
        names.append(expected.metrics.name)
    return names


def metrics_of(folder: RunFolder) -> list[str]:
    """Return the lines of the metrics file without images per second."""
    lines: list[dict[str, Any]] = read_metrics(folder.metrics)
    return [json.dumps({name: value for name, value in line.items() if name != "images_per_second"}) for line in lines]


if __name__ == "__main__":
    sys.exit(main())
