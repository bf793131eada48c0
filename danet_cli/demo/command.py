"""danet demo: the main job from end to end, as commands that a person would type, and one page of what they gave."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from danet_cli.demo.official_checkpoint import bring_authors_checkpoint
from danet_cli.console import ExitCode, CommandError, print_facts, print_json, print_line
from danet_cli.output_paths import require_folder
from danet_cli.output_paths import own_image, require_own, software

if TYPE_CHECKING:
    from danet_common.training import RunFolder, RunPlan

BACKENDS = ("torch", "tf", "jax")
DATA, NETWORK = "scenes", "danet_tiny"
STEPS, UNTIL_JAX, UNTIL_TF = 500, 400, 450  # a minute on two cores, most of it in torch, which starts soonest
EQUAL = 5e-5  # figures that agree to four decimals; a pixel or two may be classed otherwise
SCENES = ("scenes.safetensors", "scenes.keras", "scenes.orbax")
PICTURES = 6  # that are predicted
RECIPE = ("optimizer=adamw", "learning_rate=4e-3", "head_lr_multiplier=1", "weight_decay=0.01", "warmup_steps=20")


@dataclass(frozen=True)
class Act:
    """One command of the story."""

    title: str
    arguments: tuple[str, ...]

    @property
    def line(self) -> str:
        """As it is typed."""
        return shlex.join(["danet", *self.arguments])


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write; made if absent.")] = Path("demo"),
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report.")] = False,
) -> int:
    """Train, convert, cross-check, evaluate and predict in three frameworks, and leave one page: DIR/index.html.

    A small network learns generated scenes in PyTorch, goes on in Flax and ends in Keras; its checkpoint is converted,
    held to the float64 reference and evaluated in all three. Then a checkpoint in the authors' layout is brought.

    \b
    Examples:
      danet demo
      danet demo --out story --json
    """
    from danet_cli.demo.page import write_page
    from danet_common.files.regular_file import REPORT, read_regular

    require_folder(out)
    prepare(out)
    told: list[dict[str, Any]] = []
    for act in story(out):
        told.append(perform(act, quiet=as_json))
    agree, authors = bring_authors_checkpoint(out, quiet=as_json)
    reports = {backend: json.loads(read_regular(out / f"{backend}.json", REPORT)) for backend in BACKENDS}
    found = {backend: report["mean_iou"] for backend, report in reports.items()}
    equal = max(found.values()) - min(found.values()) < EQUAL
    page = write_page(out, told, reports, equal, authors)
    agrees = equal and agree and all(entry["code"] == ExitCode.DONE for entry in told)
    if as_json:
        answer = {"agrees": agrees, "page": str(page), "mean_iou": found, "commands": told, "authors": authors}
        print_json(answer)
    else:
        figures = {f"mean IoU in {backend}": f"{value:.4f}" for backend, value in found.items()}
        print_facts("The trained network", {**figures, "all agree": "yes" if agrees else "NO"})
        print_line()
        print_line(f"page: {page}")
    return ExitCode.DONE if agrees else ExitCode.DISAGREE


def prepare(out: Path) -> None:
    """Make the folder, with pictures to predict and without an earlier demo's run. Raises Unable for others' files."""
    from danet_cli.demo.official_checkpoint import refuse_others
    from danet_cli.demo.page import OWN_PAGE, PAGE
    from danet_common.data import open_dataset
    from danet_common.data.image import write_image
    from danet_common.training import RunFolder

    folder, pictures, own = RunFolder(out / "run"), out / "pictures", own_image("demo")
    scenes = [pictures / f"scene_{index}.png" for index in range(PICTURES)]
    for file in (out / "parity.png", *scenes):
        require_own(file, own)
    require_own(out / PAGE, OWN_PAGE)
    plan = demos_plan(folder)
    for file in (out / name for name in SCENES if os.path.lexists(out / name)):
        require_demos_checkpoint(file, plan)
    refuse_others(out)
    if plan is not None:
        remove_run(folder)
    pictures.mkdir(parents=True, exist_ok=True)
    dataset = open_dataset(DATA, "test")
    for index, file in enumerate(scenes):
        write_image(file, dataset.item(index).image, software("demo"), own)


def demos_plan(folder: RunFolder) -> RunPlan | None:
    """What an earlier demo's run was asked, None where there is none. Raises Unable for another run."""
    if not folder.root.exists():
        return None
    plan = folder.read_plan()
    if (plan.data, plan.network, plan.recipe.steps) != (DATA, NETWORK, STEPS):
        raise CommandError(f"{folder.root} holds another run than a demo's; give the demo a folder of its own with --out")
    return plan


def require_demos_checkpoint(file: Path, plan: RunPlan | None) -> None:
    """Raise Unable for a checkpoint of the demo's name that does not hold the network of the demo's run."""
    import weights_convert

    try:
        own = plan is not None and weights_convert.read(file).config == plan.config
    except ValueError:
        own = False
    if not own:
        raise CommandError(f"{file} exists, and danet demo did not write it; choose another --out")


def remove_run(folder: RunFolder) -> None:
    """Remove a run that no process is training. Raises Unable where anything else lies in its folder."""
    from danet_common.files.atomic import remove_leftovers

    with folder.held():
        files = (folder.last, folder.best, folder.metrics, folder.curves, folder.plan)  # the plan last: it says whose
        for file in files:
            remove_leftovers(file)
        events = [*folder.events.glob("events.out.tfevents.*")] if folder.events.is_dir() else []
        others = {*folder.root.iterdir(), *folder.events.glob("*")} - {*files, *events, folder.events}
        if others:
            raise CommandError(f"{min(others)} is none of the run's files; move it away, or choose another --out")
        for file in (*events, *files):
            file.unlink(missing_ok=True)
        if folder.events.is_dir():
            folder.events.rmdir()
        folder.root.rmdir()


def story(out: Path) -> list[Act]:
    """The commands, in their order."""
    run, weights = f"{out}/run", f"{out}/scenes.safetensors"
    settings = [word for field in (f"steps={STEPS}", *RECIPE) for word in ("--set", field)]
    begin = ("train", "--data", DATA, "--network", NETWORK, "--backend", "torch", "--out", run, *settings)
    go_on = ("train", "--resume", run)
    converted = (f"{out}/scenes.keras", f"{out}/scenes.orbax")
    acts = [
        Act("Train in PyTorch", (*begin, "--validate-every", "100", "--stop-after", str(UNTIL_JAX))),
        Act("Go on in Flax", (*go_on, "--backend", "jax", "--stop-after", str(UNTIL_TF))),
        Act("Finish in Keras", (*go_on, "--backend", "tf")),
        Act("Take the best checkpoint", ("convert", f"{run}/best.safetensors", weights, "--force")),
        *(Act(f"Convert to {Path(file).suffix}", ("convert", weights, file, "--force")) for file in converted),
        Act("Cross-check in float64", ("check", weights, *converted, "--json", f"{out}/check.json")),
    ]
    for backend, file in zip(BACKENDS, (weights, *converted), strict=True):
        evaluate = ("eval", "--data", DATA, "--split", "test", "--weights", file, "--backend", backend)
        acts.append(Act(f"Evaluate in {backend}", (*evaluate, "--json", f"{out}/{backend}.json", "--out", f"{out}")))
    predict = ("predict", f"{out}/pictures", "--weights", weights, "--backend", "jax", "--out", f"{out}/predicted")
    return [*acts, Act("Predict", (*predict, "--side-by-side"))]


def perform(act: Act, quiet: bool) -> dict[str, Any]:
    """Run one command as it would be typed; its line, exit code and seconds. Raises Unable where it could not."""
    from danet_common.child_processes import child

    if not quiet:
        print_line()
        print_line(act.title, style="bold")
        print_line(f"$ {act.line}", style="cyan")
        sys.stdout.flush()
    begun = time.perf_counter()
    command = [sys.executable, "-m", "danet_cli.main", *act.arguments]
    with child(command, commands=True, stdout=subprocess.DEVNULL if quiet else None) as process:
        code = process.wait()
    if code not in (ExitCode.DONE, ExitCode.DISAGREE):
        raise CommandError(f"`{act.line}` ended with exit code {code}")
    return {"title": act.title, "line": act.line, "code": code, "seconds": round(time.perf_counter() - begun, 1)}
