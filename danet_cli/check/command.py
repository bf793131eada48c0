"""danet check: compare checkpoints with each other, and every backend with the float64 reference. The gate for CI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from danet_cli import options as opt
from danet_cli.backend import installed_backends
from danet_cli.console import CommandError, ExitCode, print_note, progress


def check(
    checkpoints: Annotated[list[Path], typer.Argument(metavar="CKPT", help="Checkpoints of any formats.")],
    backends: Annotated[
        str,
        typer.Option(
            default_factory=lambda: ",".join(installed_backends()),
            show_default="all installed of torch,tf,jax",
            metavar="NAMES",
            help="Backends, also keras_jax, keras_torch, or an adapter's .py file.",
        ),
    ],
    profile: Annotated[
        Literal["f64", "f32", "strict", "fast"],
        typer.Option(
            help="f64: within 1e-10 of the reference; f32: within what float32 costs this network; "
            "strict: the same on the GPU or TPU, TF32 off; fast: TF32 allowed."
        ),
    ] = "f64",
    image: Annotated[Path | None, typer.Option(metavar="PATH", help="Input image, instead of noise.")] = None,
    size: Annotated[str | None, typer.Option(metavar="HxW", help="Input size.")] = None,
    max_pixels: opt.MaxPixels = None,
    weights_key: opt.WeightsKey = None,
    report: opt.JsonFile = None,
) -> int:
    """Compare every backend with the float64 reference, tap by tap, and checkpoints with the first.

    The input is noise of 65x97 pixels, or an image, reduced to at most 256 pixels. A backend that runs on a CPU cannot
    pass strict or fast: the exit code is 2.

    \b
    Examples:
      danet check danet.safetensors
      danet check danet.safetensors danet.keras danet.orbax --profile f32 --json report.json
      danet check model_best.pth.tar --backends torch --image street.jpg --size 256x512
      danet check danet.safetensors --backends torch,jax --profile strict
    """
    from danet_cli.check.input import choose_input
    from danet_cli.check.report import REPORT, print_result
    from danet_cli.network import read_network
    from danet_cli.output_paths import STDOUT, check_report_path, put_report
    from danet_cli.settings import parse_size
    from shared_tests.parity.check import BackendError, check_checkpoints, find_backends

    input_size = None if size is None else parse_size(size)
    check_report_path(report, REPORT)
    try:
        chosen = find_backends([name.strip() for name in backends.split(",")])
        facts, make_input = choose_input(image, input_size)
        networks = {str(path): read_network(path, weights_key) for path in checkpoints}
        with progress(len(networks) * (1 + len(chosen))) as step:
            results = check_checkpoints(networks, make_input, chosen, profile, step)
    except BackendError as error:
        raise CommandError(str(error)) from None
    agrees = all(result.agrees for result in results)
    entries = [result.to_dict() for result in results]
    put_report({"agrees": agrees, "profile": profile, "input": facts, "checkpoints": entries}, report, REPORT)
    if report != STDOUT:
        name = facts.get("path", facts["kind"])
        print_note(f"profile {profile}, input {name} at {facts['height']}x{facts['width']}")
        for result in results:
            print_result(result)
    return ExitCode.DONE if agrees else ExitCode.DISAGREE
