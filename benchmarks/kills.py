"""What is left of a run that is killed over and over: `python benchmarks/kills.py --kills 50 --backend torch`.

`danet train` learns generated scenes, saving at every step, and is killed with SIGKILL: a third of the time as soon as
it is seen writing a checkpoint, a third at a random moment of a step, else at a random moment of its start. After each
kill both checkpoints must be readable, hashes and all, and the run goes on. In the end it is held, bit for bit, against
a run that nobody killed. Exit code 0 if nothing was lost, 1 if something was.
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
from danet_common.training import RunFolder
from danet_common.training.metrics_file import read_metrics
from danet_common.training.training_checkpoint import read_training

STEPS_FOR_EACH_KILL = 6
PATIENCE = 300  # seconds that a process may take to its next step
RUN = (
    *("--data", "scenes:7", "--val", "scenes:2", "--network", "danet_tiny"),
    *("--set", "batch_size=2", "--set", "crop=33x41", "--set", "ema_decay=0.9", "--set", "seed=3"),
    *("--log-every", "2", "--save-every", "1", "--validate-every", "5"),
)


@dataclass
class Figures:
    """What happened."""

    kills: int = 0
    writing: int = 0  # kills that left a part of a file
    starting: int = 0  # kills before the process had done a step
    unreadable: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether nothing was lost."""
        return not self.unreadable and not self.differences


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--backend", choices=("torch", "tf", "jax"), default="torch")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="danet-kills-") as place:
        figures = torment(Path(place), asked.backend, asked.kills, random.Random(asked.seed))
    print(f"backend               {asked.backend}")
    print(f"kills                 {figures.kills}")
    print(f"  within a write      {figures.writing}")
    print(f"  before a step       {figures.starting}")
    print(f"unreadable            {len(figures.unreadable)}", *figures.unreadable, sep="\n  ")
    print(f"unlike the whole run  {len(figures.differences)}", *figures.differences, sep="\n  ")
    print(f"seconds               {figures.seconds:.0f}")
    return 0 if figures.good else 1


def torment(place: Path, backend: str, kills: int, moments: random.Random) -> Figures:
    """Kill a run so many times, let it end, and hold it against a whole one."""
    figures, begun = Figures(), time.perf_counter()
    steps = STEPS_FOR_EACH_KILL * (kills + 1)
    whole, killed = RunFolder(place / "whole"), RunFolder(place / "killed")
    finish(start(whole, backend, steps))
    for kill in range(kills):
        process, before = start(killed, backend, steps), step_of(killed)
        if kill % 3 == 2:
            await_moment(killed, STEPS_FOR_EACH_KILL * (kill + 1), moments.uniform(0, 6))
        else:
            await_step(killed, process, STEPS_FOR_EACH_KILL * (kill + 1) - moments.randrange(STEPS_FOR_EACH_KILL))
            if kill % 3 == 0:
                await_write(killed, process)
            else:
                time.sleep(moments.uniform(0, 0.1))
        if process.poll() is not None:
            raise RuntimeError(f"the run ended before kill {kill + 1}: {finish(process)}")
        process.kill()
        finish(process, killed=True)
        figures.kills += 1
        figures.writing += bool(parts(killed))
        figures.starting += step_of(killed) == before
        figures.unreadable += unreadable(killed)
    finish(start(killed, backend, steps))
    figures.differences = differences(whole, killed)
    figures.seconds = time.perf_counter() - begun
    return figures


def start(folder: RunFolder, backend: str, steps: int) -> subprocess.Popen[bytes]:
    """Begin the run, or go on with it."""
    if folder.plan.exists():
        arguments: tuple[str, ...] = ("--resume", str(folder.root))
    else:
        arguments = ("--out", str(folder.root), "--backend", backend, "--set", f"steps={steps}", *RUN)
    command = [sys.executable, "-m", "danet_cli.main", "train", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # so small a network waits for threads more than it computes
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)


def finish(process: subprocess.Popen[bytes], killed: bool = False) -> str:
    """What the process said. Raises RuntimeError where it failed by itself."""
    said = process.communicate()[1].decode()
    if process.returncode and not killed:
        raise RuntimeError(f"danet train: exit code {process.returncode}: {said[-2000:]}")
    return said


def step_of(folder: RunFolder) -> int:
    """The last step that the metrics file knows."""
    return max((r["step"] for r in read_metrics(folder.metrics)), default=0) if folder.metrics.exists() else 0


def await_moment(folder: RunFolder, step: int, seconds: float) -> None:
    """Return after a time, or when the run has come so far: a quick machine must leave steps for the other kills."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds and step_of(folder) < step:
        time.sleep(0.01)


def await_step(folder: RunFolder, process: subprocess.Popen[bytes], step: int) -> None:
    """Return when the run has come so far and this process has done a step of it, or when the process has ended."""
    before, begun = step_of(folder), time.monotonic()
    while process.poll() is None and not step <= step_of(folder) > before:
        if time.monotonic() - begun > PATIENCE:
            process.kill()
            raise RuntimeError(f"no step in {PATIENCE} seconds")
        time.sleep(0.005)


def await_write(folder: RunFolder, process: subprocess.Popen[bytes]) -> None:
    """Return as soon as the process is seen writing a file that is not whole yet."""
    while process.poll() is None and not parts(folder):
        pass


def parts(folder: RunFolder) -> list[Path]:
    """Files that were being written."""
    return list(folder.root.glob(".*.part"))


def unreadable(folder: RunFolder) -> list[str]:
    """The faults of the run's checkpoints, whose hashes are looked at."""
    faults = []
    for path, read in ((folder.last, read_training), (folder.best, read_checkpoint)):
        if path.exists() or (path == folder.last and folder.plan.exists()):
            try:
                read(path)
            except (ValueError, OSError) as error:
                faults.append(str(error))
    return faults


def differences(whole: RunFolder, killed: RunFolder) -> list[str]:
    """Everything in which the killed run is not the whole one: tensors bit for bit, metrics but for the pace."""
    found = []
    last, other = read_training(whole.last), read_training(killed.last)
    if (last.config, last.recipe, last.step, last.data) != (other.config, other.recipe, other.step, other.data):
        found.append(f"{whole.last.name}: config, recipe, step or memory")
    best, best_other = read_checkpoint(whole.best), read_checkpoint(killed.best)
    if (best.config, best.source) != (best_other.config, best_other.source):
        found.append(f"{whole.best.name}: config or source")
    for arrays, others in (
        (last.tensors, other.tensors),
        (last.slots, other.slots),
        (best.tensors, best_other.tensors),
    ):
        found += [f"{name}: its bytes" for name in arrays if arrays[name].tobytes() != others[name].tobytes()]
    if metrics_of(whole) != metrics_of(killed):
        found.append(whole.metrics.name)
    return found


def metrics_of(folder: RunFolder) -> list[str]:
    """The lines of the metrics file without what the clock says."""
    lines: list[dict[str, Any]] = read_metrics(folder.metrics)
    return [json.dumps({name: value for name, value in line.items() if name != "images_per_second"}) for line in lines]


if __name__ == "__main__":
    sys.exit(main())
