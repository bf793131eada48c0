"""danet check: whether checkpoints are one network, and every backend computes it. The gate for CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from danet_cli.console import CommandError, ExitCode, print_json, print_note, progress
from danet_cli.network import read_network
from danet_cli.output_paths import refuse_unwritable, write_report
from danet_cli.own_files import own_report
from danet_cli.pixel_limit import MaxPixels, limit_pixels
from danet_cli.settings import parse_size
from danet_cli.weights_option import WeightsKey

if TYPE_CHECKING:
    from shared_tests.parity.check import CheckResult, Input

BUILT_IN_SIZE = (65, 97)  # odd and not square
REPORT = own_report("check", ("agrees", "profile", "checkpoints"))
LONGEST = 256  # side of a photograph if no size is asked for: the reference keeps every tap in float64


def check(
    checkpoints: Annotated[list[Path], typer.Argument(metavar="CKPT", help="Checkpoints of any formats.")],
    backends: Annotated[
        str,
        typer.Option(metavar="NAMES", help="Of torch, tf, jax, keras_jax, keras_torch, or an adapter's .py file."),
    ] = "torch,tf,jax",
    profile: Annotated[
        Literal["f64", "f32", "strict", "fast"],
        typer.Option(
            help="f64: within 1e-10 of the reference; f32: within what float32 costs this network; "
            "strict: the same on the GPU or TPU, TF32 off; fast: TF32 allowed."
        ),
    ] = "f64",
    image: Annotated[
        Path | None, typer.Option(metavar="PATH", help="A photograph; built-in noise if not given.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Input size; 65x97, or the photograph's up to 256 pixels.")
    ] = None,
    max_pixels: MaxPixels = None,
    weights_key: WeightsKey = None,
    report: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write a JSON report; - is standard output.")
    ] = None,
) -> int:
    """Hold every backend against the float64 reference, tap by tap, and checkpoints against the first.

    A backend that runs on a CPU cannot pass strict or fast: the exit code is 2.

    \b
    Examples:
      danet check danet.safetensors
      danet check danet.safetensors danet.keras danet.orbax --profile f32 --json report.json
      danet check model_best.pth.tar --backends torch --image street.jpg --size 256x512
      danet check danet.safetensors --backends torch,jax --profile strict
    """
    from shared_tests.parity.check import BackendError, check_checkpoints, find_backends

    limit_pixels(max_pixels)
    height_width = None if size is None else parse_size(size)
    if report not in (None, "-"):
        refuse_unwritable(Path(report), REPORT)
    try:
        found = find_backends([name.strip() for name in backends.split(",")])
        described, make_input = choose_input(image, height_width)
        read = {str(path): read_network(path, weights_key) for path in checkpoints}
        with progress(len(read) + len(read) * len(found)) as step:
            results = check_checkpoints(read, make_input, found, profile, step)
    except BackendError as error:
        raise CommandError(str(error)) from None
    agrees = all(result.agrees for result in results)
    answer = {
        "agrees": agrees,
        "profile": profile,
        "input": described,
        "checkpoints": [result.to_dict() for result in results],
    }
    if report == "-":
        print_json(answer)
    else:
        if report is not None:
            write_report(Path(report), answer, REPORT)
        print_results(results, profile, described)
    return ExitCode.DONE if agrees else ExitCode.DISAGREE


def choose_input(image: Path | None, size: tuple[int, int] | None) -> tuple[dict[str, Any], Input]:
    """What the networks will see, described for the report, and made for a config."""
    from danet_common.data.image import normalise, read_image, resize_image
    from shared_tests.parity.check import built_in_input

    if image is None:
        height, width = size or BUILT_IN_SIZE
        return {"kind": "built-in noise", "height": height, "width": width}, built_in_input(height, width)
    pixels = read_image(image)
    height, width = size or fitted(pixels.shape[0], pixels.shape[1], LONGEST)
    pixels = resize_image(pixels, height, width)
    described = {"kind": "image", "path": str(image), "height": height, "width": width}
    return described, lambda config: normalise(pixels, config).transpose(2, 0, 1)[None]


def fitted(height: int, width: int, longest: int) -> tuple[int, int]:
    """The size shrunk, in proportion, until no side is longer than `longest`."""
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def print_results(results: list[CheckResult], profile: str, described: dict[str, Any]) -> None:
    """The report for people."""
    from danet_cli.check.report import print_result

    where = described.get("path", described["kind"])
    print_note(f"profile {profile}, input {where} at {described['height']}x{described['width']}")
    for result in results:
        print_result(result)
