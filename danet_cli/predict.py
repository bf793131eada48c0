"""danet predict: photographs in, palette masks and overlays out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from danet_cli.backend import BackendName, import_backend, inferring
from danet_cli.console import ExitCode, complain, first_line, note, print_json, print_line, progress
from danet_cli.destination import require_folder
from danet_cli.network import read_network
from danet_cli.own_files import own_picture
from danet_cli.photographs import Photograph, find_photographs
from danet_cli.pixel_limit import MaxPixels, limit_pixels
from danet_cli.predicted import KINDS, SOFTWARE, predicted_paths, refuse_replacing
from danet_cli.settings import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from danet_common import DANetConfig
    from danet_common.evaluation import Infer, Protocol

    Choose = Callable[[tuple[int, int]], Protocol]


def predict(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Photographs of any size, and folders of them, to any depth.")
    ],
    weights: Annotated[Path, typer.Option(metavar="CKPT", help="A checkpoint of any format.")],
    backend: Annotated[BackendName, typer.Option(help="Which of the three networks computes.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write; made if absent.")],
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="As `danet eval` has them; whole never cuts into windows.")
    ] = None,
    window: Annotated[
        str | None, typer.Option(metavar="HxW", help="Cut what is larger than this into windows of this size.")
    ] = None,
    beside: Annotated[
        bool, typer.Option("--side-by-side", help="Also a picture of photograph, mask and overlay, with a legend.")
    ] = False,
    winograd: Annotated[bool, typer.Option("--winograd", help="Fewer multiplications: faster on a CPU.")] = False,
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Of the colours in the overlay.")] = 0.5,
    force: Annotated[bool, typer.Option("--force", help="Replace files that danet predict did not write.")] = False,
    max_pixels: MaxPixels = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report.")] = False,
) -> int:
    """Write the class of every pixel: <stem>_mask.png, a palette PNG, and <stem>_overlay.png.

    A folder's own folders are made again below --out. Photographs of more than 1024x1024 pixels (at output stride 8)
    are cut into overlapping windows, as position attention takes time in the square of the pixels. What cannot be
    read or predicted is named and left out; the others are done and the exit code is 1. What danet predict wrote is
    no photograph in a folder, and is replaced; another file only with --force, a photograph of the command never.

    \b
    Examples:
      danet predict street.jpg --weights danet.safetensors --backend torch --out masks
      danet predict photos --weights danet.safetensors --backend tf --out masks --side-by-side --window 512x512
      danet predict a.jpg b.png --weights model_best.pth.tar --backend jax --out masks --json
    """
    limit_pixels(max_pixels)
    require_folder(out)
    photographs = find_photographs(paths, out)
    refuse_replacing(photographs, out, beside, force)
    checkpoint = read_network(weights)
    choose = protocol_for(checkpoint.config, protocol, window)
    model, infer = inferring(import_backend(backend), checkpoint, winograd)
    out.mkdir(parents=True, exist_ok=True)
    done: list[dict[str, Any]] = []
    with progress(len(photographs)) as step:
        for photograph in photographs:
            step(photograph.path.name)
            done.append(predict_one(infer, choose, model.config, photograph, out, opacity, beside, force))
    failed = sum("error" in entry for entry in done)
    if as_json:
        print_json({"weights": str(weights), "backend": backend, "failed": failed, "images": done})
    else:
        for entry in done:
            if "error" not in entry:
                print_line("  ".join(entry[kind] for kind in KINDS if kind in entry))
    return ExitCode.DISAGREE if failed else ExitCode.DONE


def protocol_for(config: DANetConfig, name: str | None, window: str | None) -> Choose:
    """What makes of a picture's height and width the protocol for it. Raises where it could be none for any picture."""
    from danet_common.evaluation import fitting_protocol, get_protocol
    from danet_common.evaluation.protocols import default_stride
    from danet_common.image import require_masks, require_photographs

    require_photographs(config)
    require_masks(config)
    size = None if window is None else parse_size(window, "--window")
    if name is None:
        return lambda picture: fitting_protocol(config, picture, size)
    named = get_protocol(name)
    if size is not None:
        named = named.replace(window=size, stride=default_stride(size))
    return lambda picture: named


def predict_one(
    infer: Infer,
    choose: Choose,
    config: DANetConfig,
    photograph: Photograph,
    out: Path,
    opacity: float,
    beside: bool,
    force: bool,
) -> dict[str, Any]:
    """Predict and write one photograph; what was written, or why nothing was."""
    from danet_common.evaluation import predict_labels
    from danet_common.image import ImageError, read_image

    try:
        pixels = read_image(photograph.path, say=note)
        protocol = choose((pixels.shape[0], pixels.shape[1]))
        labels = predict_labels(infer, pixels, protocol, config)
        written = write_all(pixels, labels, config, out / photograph.target, opacity, beside, force)
    except ImageError as error:
        complain(str(error))
        return {"image": str(photograph.path), "error": str(error)}
    except Exception as error:  # each framework has errors of its own for memory that is not there; others go on
        reason = first_line(error)
        complain(f"{photograph.path}: {reason}")
        return {"image": str(photograph.path), "error": reason}
    height, width = labels.shape
    facts = {"height": height, "width": width, "window": protocol.window, "classes": count_classes(config, labels)}
    return {"image": str(photograph.path), **{kind: str(path) for kind, path in written.items()}, **facts}


def write_all(
    pixels: np.ndarray,
    labels: np.ndarray,
    config: DANetConfig,
    target: Path,
    opacity: float,
    beside: bool,
    force: bool,
) -> dict[str, Path]:
    """Write what is made of one photograph, by kind. Raises Unable where another's file has come to its place."""
    from danet_common.atomic import always
    from danet_common.image import overlay, write_image, write_mask
    from danet_common.palettes import palette_of

    palette = palette_of(config)
    target.parent.mkdir(parents=True, exist_ok=True)
    written, replace = predicted_paths(target, beside), always if force else own_picture("predict")
    write_mask(written["mask"], labels, palette, SOFTWARE, replace)
    write_image(written["overlay"], overlay(pixels, labels, palette, opacity), SOFTWARE, replace)
    if beside:
        from danet_cli.side_by_side import side_by_side

        sheet = side_by_side(pixels, labels, palette, class_names(config), opacity)
        write_image(written["side_by_side"], sheet, SOFTWARE, replace)
    return written


def count_classes(config: DANetConfig, labels: np.ndarray) -> dict[str, int]:
    """Class name, or its number where the checkpoint names none -> pixels, the largest first."""
    names = class_names(config)
    return {names[label]: count for label, count in Counter(labels.reshape(-1).tolist()).most_common()}


def class_names(config: DANetConfig) -> tuple[str, ...]:
    """The checkpoint's, or numbers."""
    return config.class_names or tuple(map(str, range(config.num_classes)))
