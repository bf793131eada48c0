"""danet predict: write masks and overlays of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from danet_cli import options as opt
from danet_cli.backend import import_backend, inferring
from danet_cli.console import ExitCode, print_json, print_line, progress


def predict(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Images of any size, and folders of images.")],
    weights: opt.Weights,
    backend: opt.Backend,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder; made if absent.")],
    protocol: opt.Protocol = "auto",
    window: opt.Window = None,
    long_side: opt.LongSide = None,
    short_side: opt.ShortSide = None,
    weights_key: opt.WeightsKey = None,
    side_by_side: Annotated[bool, typer.Option("--side-by-side", help="Add image, mask, overlay and legend.")] = False,
    label_ids: Annotated[str | None, typer.Option(metavar="NAME", help="Write cityscapes label ids only.")] = None,
    winograd: Annotated[bool, typer.Option("--winograd", hidden=True)] = False,
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Opacity of the colours in the overlay.")] = 0.5,
    force: Annotated[bool, typer.Option("--force", help="Replace files that danet predict did not write.")] = False,
    max_pixels: opt.MaxPixels = None,
    as_json: opt.AsJson = False,
) -> int:
    """Write the class of every pixel: <stem>_mask.png, a palette PNG, and <stem>_overlay.png.

    Subfolders of a folder are made again below --out. Images of more than 1024x1024 pixels (at output stride 8) are cut
    into overlapping windows. The time of position attention grows with the square of the pixels. An image that
    fails is named, the others are predicted, and the exit code is 1. Earlier predictions are no input images, and are
    replaced. Other files are replaced only with --force, input images never.

    \b
    Examples:
      danet predict street.jpg --weights danet.safetensors --backend torch --out masks
      danet predict photos --weights danet.safetensors --backend tf --out masks --side-by-side --window 512x512
      danet predict leftImg8bit/test --weights danet.safetensors --backend torch --out answer --label-ids cityscapes
      danet predict a.jpg b.png --weights model_best.pth.tar --backend jax --out masks --json
    """
    from danet_cli.network import read_network
    from danet_cli.output_paths import require_folder
    from danet_cli.predict.images import changed_protocol, find_ids, predict_one, require_predictable
    from danet_cli.predict.inputs import find_images, refuse_replacing
    from danet_cli.predict.outputs import Outputs

    if winograd:
        raise typer.BadParameter("--winograd is gone; the command takes the fastest layers (layers='auto')")
    require_folder(out)
    outputs = Outputs(out, opacity, side_by_side, find_ids(label_ids, side_by_side), force)
    inputs = find_images(paths, out)
    refuse_replacing(inputs, outputs)
    checkpoint = read_network(weights, weights_key)
    require_predictable(checkpoint.config, outputs)
    chosen = changed_protocol(protocol, window, long_side, short_side)
    model, infer = inferring(import_backend(backend), checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    entries = []
    with progress(len(inputs)) as step:
        for image in inputs:
            step(image.path.name)
            entries.append(predict_one(infer, chosen, model.config, image, outputs))
    failed = sum("error" in entry for entry in entries)
    if as_json:
        print_json({"weights": str(weights), "backend": backend, "failed": failed, "images": entries})
    else:
        for entry in entries:
            if "error" not in entry:
                print_line("  ".join(entry[kind] for kind in outputs.kinds))
    return ExitCode.DISAGREE if failed else ExitCode.DONE
