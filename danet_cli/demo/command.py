"""danet demo: run the main job from end to end as `danet` commands, and show the results on one page."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from danet_cli import options as opt
from danet_cli.console import CommandError, ExitCode, print_facts, print_json, print_line, print_note

BACKENDS = ("torch", "tf", "jax")
DATA, NETWORK = "scenes", "danet_tiny"
STEPS, UNTIL_JAX, UNTIL_TF = 500, 400, 450  # a minute on two cores, most of it in torch, which starts soonest
TOLERANCE = 5e-5  # of mean IoUs: 4 decimals; the backends may differ in a pixel or two
IMAGES = 6  # to predict
NEEDED = (  # the packages of danet[all]
    *("torch", "keras", "tensorflow", "jax", "flax", "optax", "tensorstore"),
    *("grain", "matplotlib", "tensorboard", "jinja2"),
)
RECIPE = ("optimizer=adamw", "learning_rate=4e-3", "head_lr_multiplier=1", "weight_decay=0.01", "warmup_steps=20")


class Act(NamedTuple):
    """One command of the demo."""

    title: str
    arguments: tuple[str, ...]

    @property
    def line(self) -> str:
        """The command as a user types it."""
        return shlex.join(["danet", *self.arguments])


def demo(
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default="the first free of demo, demo-2, ...", help="Output folder."),
    ] = None,
    as_json: opt.AsJson = False,
) -> int:
    """Train, convert, check, evaluate and predict in three frameworks, and write one page: DIR/index.html.

    A small network learns generated scenes in PyTorch, continues in Flax and ends in Keras. Its checkpoint is
    converted, compared with the float64 reference and evaluated in all three. Then a checkpoint in the authors' layout
    is converted and checked.

    \b
    Examples:
      danet demo
      danet demo --out story --json
    """
    from danet_common.extras import require_packages

    require_packages("danet demo", NEEDED)
    from danet_cli.demo.official_checkpoint import check_official_checkpoint
    from danet_cli.demo.page import write_page
    from danet_cli.output_paths import require_folder
    from danet_common.files.regular_file import REPORT, read_regular

    out = free_folder() if out is None else out
    require_folder(out)
    prepare(out)
    print_note(f"writing to {out}")
    commands = [perform(act, quiet=as_json) for act in story(out)]
    agrees, official = check_official_checkpoint(out, quiet=as_json)
    reports = {backend: json.loads(read_regular(out / f"{backend}.json", REPORT)) for backend in BACKENDS}
    mean_ious = {backend: report["mean_iou"] for backend, report in reports.items()}
    equal = max(mean_ious.values()) - min(mean_ious.values()) < TOLERANCE
    page = write_page(out, commands, reports, equal, official)
    agrees = equal and agrees and all(entry["code"] == ExitCode.DONE for entry in commands)
    if as_json:
        report = {"agrees": agrees, "page": str(page), "mean_iou": mean_ious, "commands": commands}
        print_json({**report, "authors": official})
    else:
        figures = {f"mean IoU in {backend}": f"{value:.4f}" for backend, value in mean_ious.items()}
        print_facts("The trained network", {**figures, "all agree": "yes" if agrees else "NO"})
        print_line()
        print_line(f"page: {page}")
    return ExitCode.DONE if agrees else ExitCode.DISAGREE


def free_folder() -> Path:
    """Return the first of demo, demo-2, demo-3, ... that does not exist or is an empty folder."""
    folders = map(Path, itertools.chain(["demo"], (f"demo-{number}" for number in itertools.count(2))))
    return next(folder for folder in folders if not os.path.lexists(folder) or is_empty(folder))


def is_empty(folder: Path) -> bool:
    """True for a folder without files."""
    return folder.is_dir() and not any(folder.iterdir())


def prepare(out: Path) -> None:
    """Make the folder, and write the images to predict. Raises CommandError for a folder that holds files."""
    from danet_cli.output_paths import software
    from danet_common.data import open_dataset
    from danet_common.data.image import write_image

    if out.is_dir() and not is_empty(out):
        raise CommandError(f"{out} is not empty; empty it, or choose another --out")
    images = out / "pictures"
    images.mkdir(parents=True)
    dataset = open_dataset(DATA, "test")
    for index in range(IMAGES):
        write_image(images / f"scene_{index}.png", dataset.item(index).image, software("demo"))


def story(out: Path) -> list[Act]:
    """Return the commands in their order."""
    run, weights = f"{out}/run", f"{out}/scenes.safetensors"
    converted = (f"{out}/scenes.keras", f"{out}/scenes.orbax")
    settings = [word for field in (f"steps={STEPS}", *RECIPE) for word in ("--set", field)]
    begin = ("train", "--data", DATA, "--network", NETWORK, "--out", run, *settings, "--validate-every", "100")
    resume = ("train", "--resume", run)
    acts = [
        Act("Train in PyTorch", (*begin, "--backend", "torch", "--stop-after", str(UNTIL_JAX))),
        Act("Continue in Flax", (*resume, "--backend", "jax", "--stop-after", str(UNTIL_TF))),
        Act("Finish in Keras", (*resume, "--backend", "tf")),
        Act("Take the best checkpoint", ("convert", f"{run}/best.safetensors", weights, "--force")),
        *(Act(f"Convert to {Path(file).suffix}", ("convert", weights, file, "--force")) for file in converted),
        Act("Check in float64", ("check", weights, *converted, "--json", f"{out}/check.json")),
    ]
    for backend, file in zip(BACKENDS, (weights, *converted), strict=True):
        evaluate = ("eval", "--data", DATA, "--split", "test", "--weights", file, "--backend", backend)
        acts.append(Act(f"Evaluate in {backend}", (*evaluate, "--json", f"{out}/{backend}.json", "--out", f"{out}")))
    predict = ("predict", f"{out}/pictures", "--weights", weights, "--backend", "jax", "--out", f"{out}/predicted")
    return [*acts, Act("Predict", (*predict, "--side-by-side"))]


def perform(act: Act, quiet: bool) -> dict[str, Any]:
    """Run a command; return its line, exit code and seconds. Raises CommandError where it fails."""
    from danet_common.child_processes import child

    if not quiet:
        print_line()
        print_line(act.title, style="bold")
        print_line(f"$ {act.line}", style="cyan")
        sys.stdout.flush()
    begin = time.perf_counter()
    command = [sys.executable, "-m", "danet_cli.main", *act.arguments]
    with child(command, commands=True, stdout=subprocess.DEVNULL if quiet else None) as process:
        code = process.wait()
    if code not in (ExitCode.DONE, ExitCode.DISAGREE):
        raise CommandError(f"`{act.line}` ended with exit code {code}")
    return {"title": act.title, "line": act.line, "code": code, "seconds": round(time.perf_counter() - begin, 1)}
