"""danet predict: photographs in, palette masks and overlays out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from danet_cli.backend import BackendName, import_backend, inferring
from danet_cli.console import ExitCode, first_line, print_error, print_json, print_line, print_note, progress
from danet_cli.network import read_network
from danet_cli.output_paths import require_folder
from danet_cli.own_files import own_picture
from danet_cli.pixel_limit import MaxPixels, limit_pixels
from danet_cli.predict.inputs import Photograph, find_photographs
from danet_cli.predict.outputs import SOFTWARE, kinds_of, predicted_paths, refuse_replacing
from danet_cli.protocol_options import LongSide, ShortSide
from danet_cli.settings import protocol_changes
from danet_cli.weights_option import WeightsKey

if TYPE_CHECKING:
    import numpy as np

    from danet_common import DANetConfig
    from danet_common.data.label_ids import LabelIds
    from danet_common.evaluation import Infer, Protocol


def predict(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Photographs of any size, and folders of them, to any depth.")
    ],
    weights: Annotated[Path, typer.Option(metavar="CKPT", help="A checkpoint of any format.")],
    backend: Annotated[BackendName, typer.Option(help="Which of the three networks computes.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write; made if absent.")],
    protocol: Annotated[
        str, typer.Option(metavar="NAME", help="As `danet eval` has them; whole never cuts into windows.")
    ] = "auto",
    window: Annotated[
        str | None, typer.Option(metavar="HxW", help="Cut what is larger than this into windows of this size.")
    ] = None,
    long_side: LongSide = None,
    short_side: ShortSide = None,
    weights_key: WeightsKey = None,
    beside: Annotated[
        bool, typer.Option("--side-by-side", help="Also a picture of photograph, mask and overlay, with a legend.")
    ] = False,
    label_ids: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Write the label ids for the test server of cityscapes, and nothing else."),
    ] = None,
    winograd: Annotated[bool, typer.Option("--winograd", hidden=True)] = False,
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
      danet predict leftImg8bit/test --weights danet.safetensors --backend torch --out answer --label-ids cityscapes
      danet predict a.jpg b.png --weights model_best.pth.tar --backend jax --out masks --json
    """
    if winograd:
        raise typer.BadParameter("--winograd is gone; the command takes the fastest layers (layers='auto')")
    limit_pixels(max_pixels)
    require_folder(out)
    kinds = kinds_of(beside, label_ids)
    photographs = find_photographs(paths, out)
    refuse_replacing(photographs, out, kinds, force)
    checkpoint = read_network(weights, weights_key)
    ids = None if label_ids is None else find_ids(label_ids, checkpoint.config, beside)
    changes = protocol_changes(window=window, long_side=long_side, short_side=short_side)
    chosen = protocol_for(checkpoint.config, protocol, changes)
    model, infer = inferring(import_backend(backend), checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    done: list[dict[str, Any]] = []
    with progress(len(photographs)) as step:
        for photograph in photographs:
            step(photograph.path.name)
            done.append(predict_one(infer, chosen, model.config, photograph, out, opacity, kinds, ids, force))
    failed = sum("error" in entry for entry in done)
    if as_json:
        print_json({"weights": str(weights), "backend": backend, "failed": failed, "images": done})
    else:
        for entry in done:
            if "error" not in entry:
                print_line("  ".join(entry[kind] for kind in kinds))
    return ExitCode.DISAGREE if failed else ExitCode.DONE


def protocol_for(config: DANetConfig, name: str, changes: dict[str, Any]) -> Protocol:
    """The named protocol with what the options change. Raises where the network could predict no photograph."""
    from danet_common.data.image import require_masks, require_photographs
    from danet_common.evaluation import get_protocol

    require_photographs(config)
    require_masks(config)
    return get_protocol(name).replace(**changes)


def find_ids(name: str, config: DANetConfig, beside: bool) -> LabelIds:
    """The label ids of a benchmark. Raises BadParameter, or ValueError, where the network cannot give them."""
    from danet_common.data.label_ids import LABEL_IDS

    if name not in LABEL_IDS:
        raise typer.BadParameter(f"--label-ids takes {', '.join(LABEL_IDS)}; got {name!r}")
    if beside:
        raise typer.BadParameter("--label-ids writes nothing else; leave --side-by-side out")
    LABEL_IDS[name].require(config)
    return LABEL_IDS[name]


def windows_of(protocol: Protocol, config: DANetConfig, size: tuple[int, int]) -> tuple[int, int] | None:
    """The windows into which a photograph was cut at its first scale; None where it was not."""
    from danet_common.evaluation.protocols import cut_to_fit

    seen = protocol.input_size(size, protocol.scales[0])
    window = cut_to_fit(protocol, config, seen).window
    return None if window is None or (seen[0] <= window[0] and seen[1] <= window[1]) else window


def predict_one(
    infer: Infer,
    protocol: Protocol,
    config: DANetConfig,
    photograph: Photograph,
    out: Path,
    opacity: float,
    kinds: tuple[str, ...],
    ids: LabelIds | None,
    force: bool,
) -> dict[str, Any]:
    """Predict and write one photograph; what was written, or why nothing was."""
    from danet_common.data.image import ImageError, read_image
    from danet_common.evaluation import predict_labels

    try:
        pixels = read_image(photograph.path, log=print_note)
        labels = predict_labels(infer, pixels, protocol, config)
        written = write_all(pixels, labels, config, out / photograph.target, opacity, kinds, ids, force)
    except ImageError as error:
        print_error(str(error))
        return {"image": str(photograph.path), "error": str(error)}
    except Exception as error:  # each framework has errors of its own for memory that is not there; others go on
        reason = first_line(error)
        print_error(f"{photograph.path}: {reason}")
        return {"image": str(photograph.path), "error": reason}
    height, width = labels.shape
    window = windows_of(protocol, config, (height, width))
    facts = {"height": height, "width": width, "window": window, "classes": count_classes(config, labels)}
    return {"image": str(photograph.path), **{kind: str(path) for kind, path in written.items()}, **facts}


def write_all(
    pixels: np.ndarray,
    labels: np.ndarray,
    config: DANetConfig,
    target: Path,
    opacity: float,
    kinds: tuple[str, ...],
    ids: LabelIds | None,
    force: bool,
) -> dict[str, Path]:
    """Write what is made of one photograph, by kind. Raises Unable where another's file has come to its place."""
    from danet_common.config.palettes import palette_of
    from danet_common.data.image import overlay, write_grey, write_image, write_mask
    from danet_common.files.atomic import always

    palette = palette_of(config)
    target.parent.mkdir(parents=True, exist_ok=True)
    written, replace = predicted_paths(target, kinds), always if force else own_picture("predict")
    if ids is not None:
        write_grey(written["label_ids"], ids.apply(labels), SOFTWARE, replace)
        return written
    write_mask(written["mask"], labels, palette, SOFTWARE, replace)
    write_image(written["overlay"], overlay(pixels, labels, palette, opacity), SOFTWARE, replace)
    if "side_by_side" in written:
        from danet_cli.demo.side_by_side import side_by_side

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
