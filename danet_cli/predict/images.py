"""Predict images one by one, by the protocol that the options ask for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import typer

from danet_cli.console import first_line, print_error, print_note
from danet_cli.predict.inputs import InputImage
from danet_cli.predict.outputs import Outputs, class_names
from danet_cli.settings import protocol_changes
from danet_common import DANetConfig
from danet_common.data.cityscapes import LABEL_IDS, LabelIds
from danet_common.data.image import ImageError, read_image, require_masks, require_photographs
from danet_common.evaluation import PredictLogits, Protocol, get_protocol, predict_labels
from danet_common.evaluation.protocols import cut_to_fit


def find_ids(name: str | None, side_by_side: bool) -> LabelIds | None:
    """Return the label ids of a benchmark. Raises BadParameter for an unknown one, or beside --side-by-side."""
    if name is None:
        return None
    if name not in LABEL_IDS:
        raise typer.BadParameter(f"--label-ids takes {', '.join(LABEL_IDS)}; got {name!r}")
    if side_by_side:
        raise typer.BadParameter("--label-ids writes nothing else; leave --side-by-side out")
    return LABEL_IDS[name]


def require_predictable(config: DANetConfig, outputs: Outputs) -> None:
    """Raise ValueError where the network does not predict classes of RGB images, or not those of the label ids."""
    require_photographs(config)
    require_masks(config)
    if outputs.label_ids is not None:
        outputs.label_ids.require(config)


def changed_protocol(name: str, window: str | None, long_side: int | None, short_side: int | None) -> Protocol:
    """Return the named protocol with the changes of the options."""
    changes = protocol_changes(window=window, long_side=long_side, short_side=short_side)
    return get_protocol(name).replace(**changes)


def predict_one(
    infer: PredictLogits, protocol: Protocol, config: DANetConfig, image: InputImage, outputs: Outputs
) -> dict[str, Any]:
    """Predict and write one image; return the files and facts, or the error."""
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
    height, width = protocol.input_size(size, protocol.scales[0])
    window = cut_to_fit(protocol, config, (height, width)).window
    return None if window is None or (height <= window[0] and width <= window[1]) else window


def count_classes(config: DANetConfig, labels: np.ndarray) -> dict[str, int]:
    """Return class name -> number of pixels, in descending order."""
    names = class_names(config)
    return {names[label]: count for label, count in Counter(labels.reshape(-1).tolist()).most_common()}
