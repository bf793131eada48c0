"""danet predict: write masks and overlays of images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from danet_cli import options as opt
from danet_cli.backend import import_backend, inferring
from danet_cli.console import ExitCode, first_line, print_error, print_json, print_line, print_note, progress
from danet_cli.network import read_network
from danet_cli.output_paths import require_folder
from danet_cli.predict.inputs import InputImage, find_images, refuse_replacing
from danet_cli.predict.outputs import Outputs, class_names
from danet_cli.settings import protocol_changes

if TYPE_CHECKING:
    import numpy as np

    from danet_common import DANetConfig
    from danet_common.data.cityscapes import LabelIds
    from danet_common.evaluation import Infer, Protocol


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
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="Write a picture of image, mask, overlay and legend too.")
    ] = False,
    label_ids: Annotated[
        str | None, typer.Option(metavar="NAME", help="Write only label ids, for the test server of cityscapes.")
    ] = None,
    winograd: Annotated[bool, typer.Option("--winograd", hidden=True)] = False,
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Opacity of the colours in the overlay.")] = 0.5,
    force: Annotated[bool, typer.Option("--force", help="Replace files that danet predict did not write.")] = False,
    max_pixels: opt.MaxPixels = None,
    as_json: opt.AsJson = False,
) -> int:
    """Write the class of every pixel: <stem>_mask.png, a palette PNG, and <stem>_overlay.png.

    Subfolders of a folder are made again below --out. Images of more than 1024x1024 pixels (at output stride 8) are cut
    into overlapping windows, as the time of position attention grows with the square of the pixels. An image that
    fails is named, the others are predicted, and the exit code is 1. Earlier predictions are no input images, and are
    replaced; other files only with --force, input images never.

    \b
    Examples:
      danet predict street.jpg --weights danet.safetensors --backend torch --out masks
      danet predict photos --weights danet.safetensors --backend tf --out masks --side-by-side --window 512x512
      danet predict leftImg8bit/test --weights danet.safetensors --backend torch --out answer --label-ids cityscapes
      danet predict a.jpg b.png --weights model_best.pth.tar --backend jax --out masks --json
    """
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
    entries: list[dict[str, Any]] = []
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


def find_ids(name: str | None, side_by_side: bool) -> LabelIds | None:
    """Return the label ids of a benchmark. Raises BadParameter for an unknown one, or beside --side-by-side."""
    from danet_common.data.cityscapes import LABEL_IDS

    if name is None:
        return None
    if name not in LABEL_IDS:
        raise typer.BadParameter(f"--label-ids takes {', '.join(LABEL_IDS)}; got {name!r}")
    if side_by_side:
        raise typer.BadParameter("--label-ids writes nothing else; leave --side-by-side out")
    return LABEL_IDS[name]


def require_predictable(config: DANetConfig, outputs: Outputs) -> None:
    """Raise ValueError where the network does not predict classes of RGB images, or not those of the label ids."""
    from danet_common.data.image import require_masks, require_photographs

    require_photographs(config)
    require_masks(config)
    if outputs.label_ids is not None:
        outputs.label_ids.require(config)


def changed_protocol(name: str, window: str | None, long_side: int | None, short_side: int | None) -> Protocol:
    """Return the named protocol with the changes of the options."""
    from danet_common.evaluation import get_protocol

    changes = protocol_changes(window=window, long_side=long_side, short_side=short_side)
    return get_protocol(name).replace(**changes)


def predict_one(
    infer: Infer, protocol: Protocol, config: DANetConfig, image: InputImage, outputs: Outputs
) -> dict[str, Any]:
    """Predict and write one image; return the files and facts, or the error."""
    from danet_common.data.image import ImageError, read_image
    from danet_common.evaluation import predict_labels

    try:
        pixels = read_image(image.path, log=print_note)
        labels = predict_labels(infer, pixels, protocol, config)
        files = outputs.write(image.target, pixels, labels, config)
    except ImageError as error:
        print_error(str(error))
        return {"image": str(image.path), "error": str(error)}
    except Exception as error:  # out-of-memory errors differ by framework; the next image may be smaller
        reason = first_line(error)
        print_error(f"{image.path}: {reason}")
        return {"image": str(image.path), "error": reason}
    height, width = labels.shape
    window = window_of(protocol, config, (height, width))
    facts = {"height": height, "width": width, "window": window, "classes": count_classes(config, labels)}
    return {"image": str(image.path), **{kind: str(path) for kind, path in files.items()}, **facts}


def window_of(protocol: Protocol, config: DANetConfig, size: tuple[int, int]) -> tuple[int, int] | None:
    """Return the size of the windows that an image was cut into at its first scale; None without windows."""
    from danet_common.evaluation.protocols import cut_to_fit

    height, width = protocol.input_size(size, protocol.scales[0])
    window = cut_to_fit(protocol, config, (height, width)).window
    return None if window is None or (height <= window[0] and width <= window[1]) else window


def count_classes(config: DANetConfig, labels: np.ndarray) -> dict[str, int]:
    """Return class name -> number of pixels, in descending order."""
    names = class_names(config)
    return {names[label]: count for label, count in Counter(labels.reshape(-1).tolist()).most_common()}
