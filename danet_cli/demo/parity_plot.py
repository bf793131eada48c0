"""Draw the parity of all backends: their masks of a photograph, and their differences from the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from danet_cli.output_paths import software
from danet_common.config.palettes import palette_of
from danet_common.data.image import overlay
from danet_common.files.atomic import atomic_file
from shared_tests.parity.check import CheckResult

LEAST = 1e-8  # relative difference; smaller ones are drawn as this


def draw_parity(result: CheckResult, photograph: np.ndarray, path: Path) -> None:
    """Write a PNG: photograph and masks above; the reference's mask and the differences of the logits below."""
    palette = palette_of(result.config)
    largest = np.abs(result.fused).max()
    columns = 1 + len(result.runs)
    height, width = photograph.shape[:2]
    figure = Figure(figsize=(3 * columns + 0.6, 6.4 * height / width + 0.8), layout="constrained")
    axes = figure.subplots(2, columns, squeeze=False)
    axes[0, 0].imshow(photograph)
    axes[0, 0].set_title("photograph")
    axes[1, 0].imshow(overlay(photograph, result.fused[0].argmax(axis=0), palette, 0.7))
    axes[1, 0].set_title("float64 reference")
    image = None
    for column, (name, run) in enumerate(result.runs.items(), start=1):
        axes[0, column].imshow(overlay(photograph, run.fused[0].argmax(axis=0), palette, 0.7))
        axes[0, column].set_title(f"{name}\n{run.differing} of {run.pixels} pixels differ")
        relative = np.abs(run.fused[0].astype(np.float64) - result.fused[0]).max(axis=0) / largest
        image = axes[1, column].imshow(np.log10(np.maximum(relative, LEAST)), vmin=-8, vmax=-4, cmap="magma")
        axes[1, column].set_title(f"{name}: at most {relative.max():.1e}")
    if image is not None:
        bar = figure.colorbar(image, ax=axes[1, :], location="bottom", shrink=0.6)
        bar.set_label("log10 of the difference from the reference's logits, relative to the largest logit")
    for axis in axes.flat:
        axis.set_axis_off()
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": software("demo")})
