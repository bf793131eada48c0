"""danet predict: photographs in, palette masks and overlays out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from danet_cli.backend import BackendName, import_backend
from danet_cli.console import ExitCode, Unable, complain, note, print_json, progress

if TYPE_CHECKING:
    from types import ModuleType

OPACITY = 0.5


def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Photographs of any size.")],
    weights: Annotated[Path, typer.Option(metavar="CKPT", help="A checkpoint of any format.")],
    backend: Annotated[BackendName, typer.Option(help="Which of the three networks computes.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write; made if absent.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report.")] = False,
) -> int:
    """Write the class of every pixel: <stem>_mask.png, a palette PNG, and <stem>_overlay.png.

    An image that cannot be read is named and left out; the others are done and the exit code is 1.

    \b
    Examples:
      danet predict street.jpg --weights danet.safetensors --backend torch --out masks
      danet predict a.jpg b.png --weights model_best.pth.tar --backend jax --out masks --json
    """
    import weights_convert

    refuse_same_names(images)
    checkpoint = weights_convert.read(weights, report=lambda line: note(f"{weights}: {line}"))
    module = import_backend(backend)
    model = module.from_checkpoint(checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    done: list[dict[str, Any]] = []
    with progress(len(images)) as step:
        for image in images:
            step(image.name)
            done.append(predict_one(module, model, image, out))
    failed = sum("error" in entry for entry in done)
    if as_json:
        print_json({"weights": str(weights), "backend": backend, "failed": failed, "images": done})
    else:
        for entry in done:
            if "error" not in entry:
                print(f"{entry['mask']}  {entry['overlay']}")
    return ExitCode.DISAGREE if failed else ExitCode.DONE


def predict_one(module: ModuleType, model: Any, image: Path, out: Path) -> dict[str, Any]:
    """Predict and write one image; what was written, or why nothing was."""
    from danet_common.image import ImageError, overlay, read_image, write_image, write_mask
    from danet_common.palettes import palette_of

    try:
        pixels = read_image(image)
    except ImageError as error:
        complain(str(error))
        return {"image": str(image), "error": str(error)}
    labels, palette = module.predict(model, pixels), palette_of(model.config)
    mask, overlaid = out / f"{image.stem}_mask.png", out / f"{image.stem}_overlay.png"
    write_mask(mask, labels, palette)
    write_image(overlaid, overlay(pixels, labels, palette, OPACITY))
    return {"image": str(image), "mask": str(mask), "overlay": str(overlaid), "classes": count_classes(model, labels)}


def count_classes(model: Any, labels: Any) -> dict[str, int]:
    """Class name, or its number where the checkpoint names none -> pixels, the largest first."""
    names = model.config.class_names
    counts = Counter(labels.reshape(-1).tolist())
    return {names[label] if names else str(label): count for label, count in counts.most_common()}


def refuse_same_names(images: list[Path]) -> None:
    """Raise Unable where two images would be written under one name."""
    by_stem: dict[str, Path] = {}
    for image in images:
        other = by_stem.setdefault(image.stem, image)
        if other is not image:
            raise Unable(f"{other} and {image} would both be written as {image.stem}_mask.png; predict them apart")
