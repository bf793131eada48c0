"""DRANet's files in the authors' layouts, today's and the older one: run in all three, and back bit for bit.

Today's is held to the authors' own program too, by the outputs in `dranet_r50`. The older one is held to their table of
renamed modules only: the program that wrote it is not public.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import weights_convert
from danet_common import CheckpointError
from shared_tests.fixtures.cases import Case
from shared_tests.parity.check_case import check_case
from shared_tests.suites.network.test_precision import QUICK_FIRST
from shared_tests.suites.upstream_networks import DRANET, checkpoint_of, named_tensors, schema_of
from shared_tests.workers.backends import Worker
from weights_convert.formats import safetensors_file
from weights_convert.mapping.apply import from_canonical

LAYOUTS = ("today", "older")
RENAMED = {
    "head.de_s.key_conv2.weight": "head.cpam_dec.conv_key.weight",
    "head.de_s.scale": "head.cpam_dec.scale",
    "head.conv51.0.weight": "head.conv_ccam_e.0.weight",
    "head.conv51_c.0.weight": "head.ccam_enc.0.weight",
    "head.fusion2.1.running_var": "head.clgd.conv_out.1.running_var",
    "head.fusion.1.running_var": "head.clgd.conv_cat.1.running_var",
    "head.gamma": "head.clgd.gamma",
    "head.conv6.1.bias": "cls_seg.1.bias",
    "head.conv7.4.bias": "cls_aux.4.bias",
}


def upstream_checkpoint(layout: str, folder: Path) -> Path:
    """The small network as the authors' trainer saves it."""
    path = folder / "dran.pth.tar"
    weights_convert.write(checkpoint_of("dranet", layout), path, "dranet")
    return path


@pytest.mark.parametrize("worker", QUICK_FIRST, indirect=True)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_runs_and_goes_back(layout: str, worker: Worker, tmp_path: Path) -> None:
    source, ours, back = (
        upstream_checkpoint(layout, tmp_path),
        tmp_path / "danet.safetensors",
        tmp_path / "back.pth.tar",
    )
    weights_convert.convert(source, ours)
    report = check_case(Case(DRANET, height=17, width=23), worker, lambda config: str(ours))
    assert report.agrees, (report.first_mismatch, report.cause)
    weights_convert.convert(ours, back, to_schema="dranet")
    assert back.read_bytes() == source.read_bytes()


def test_linear_layers_are_matrices() -> None:
    named = named_tensors("dranet", "today")
    assert named["head.cpam_dec.conv_key.weight"].shape == (6, 24)
    assert named["head.cpam_dec.conv_value.weight"].shape == (24, 24)
    assert named["head.cpam_dec.conv_query.weight"].shape == (6, 24, 1, 1)


def test_older_names() -> None:
    today, older = (named_tensors("dranet", layout) for layout in LAYOUTS)
    assert len(older) == len(today) + 8  # the unused auxiliary head
    for old, new in RENAMED.items():
        assert np.array_equal(older[old], today[new]), old


def test_the_unused_head_travels_along(tmp_path: Path) -> None:
    """In its own layout it comes back as it was; in today's it has no place."""
    tensors = {**named_tensors("dranet", "older"), "auxlayer.conv5.4.bias": np.arange(5, dtype=np.float32)}
    safetensors_file.write_foreign(tensors, tmp_path / "dran.safetensors")
    actual = weights_convert.read(tmp_path / "dran.safetensors")
    assert np.array_equal(actual.extra_tensors["auxlayer.conv5.4.bias"], np.arange(5))
    assert from_canonical(schema_of("dranet", "older"), actual, lambda line: None).keys() == tensors.keys()
    lines: list[str] = []
    from_canonical(schema_of("dranet", "today"), actual, lines.append)
    assert any("dropped: extra tensor auxlayer.conv5.4.bias" in line for line in lines)


def test_without_the_auxiliary_head(tmp_path: Path) -> None:
    tensors = {key: array for key, array in named_tensors("dranet", "today").items() if not key.startswith("cls_aux")}
    safetensors_file.write_foreign(tensors, tmp_path / "dran.safetensors")
    actual = weights_convert.read(tmp_path / "dran.safetensors")
    assert actual.config == DRANET.replace(auxiliary="none", auxiliary_channels=256)
    assert actual.source["defaulted"] == {"multi_grid": "1,2,4"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_fault_is_named(layout: str, tmp_path: Path) -> None:
    tensors = named_tensors("dranet", layout)
    lost = next(key for key in tensors if key.endswith("gamma"))
    safetensors_file.write_foreign({k: a for k, a in tensors.items() if k != lost}, tmp_path / "cut.safetensors")
    with pytest.raises(CheckpointError, match=rf"dranet is nearest, with 1 error:\s+missing: {lost} \[1\]"):
        weights_convert.read(tmp_path / "cut.safetensors")


def test_a_danet_is_no_dranet(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"decoder is sum, theirs is gating"):
        weights_convert.write(checkpoint_of("official"), tmp_path / "model.pth", "dranet")
    with pytest.raises(CheckpointError, match=r"no place for head.merged.conv.weight"):
        weights_convert.write(checkpoint_of("dranet", "today"), tmp_path / "model.pth", "official")
