"""`context` names the head's branches: which values make a network, and files from before it had the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weights_convert
from danet_common import DANetConfig, open_checkpoint, parameters
from shared_tests.fixtures.cases import TINY
from shared_tests.fixtures.synthetic import synthetic_tensors
from weights_convert.settings import format_setting, parse_setting

# Written by the version that had two switches; the archive was compressed afterwards.
FILES = Path(__file__).parents[2] / "fixtures" / "files"
BEFORE = DANetConfig(
    block="basic",
    layers=(1, 1, 1, 1),
    widths=(2, 2, 2, 2),
    stem_widths=(2,),
    head_channels=2,
    query_channels=1,
    num_classes=2,
    context=("position",),
)


@pytest.mark.parametrize("context", [("position", "position"), ("mask",), "position", ("position", "channel", "cbam")])
def test_what_is_no_context(context: Any) -> None:
    with pytest.raises(ValueError, match=r"^context must be at most two different kinds of position, channel"):
        TINY.replace(context=context)


def test_branches_and_outputs_are_in_its_order() -> None:
    turned = TINY.replace(context=("channel", "position"))
    assert turned.outputs == ("fused", "channel", "position")
    assert parameters(turned).keys() == parameters(TINY).keys()
    assert TINY.replace(context=()).outputs == ("fused",)


@pytest.mark.parametrize("context", [(), ("channel",), ("position", "channel")])
def test_as_a_setting(context: tuple[str, ...]) -> None:
    text = format_setting(context)
    assert text == (",".join(context) or "none")
    assert parse_setting("context", text) == context


@pytest.mark.parametrize("ending", ["safetensors", "keras"])
def test_files_from_before(ending: str) -> None:
    checkpoint = weights_convert.read(FILES / f"before_context.{ending}")
    assert checkpoint.config == BEFORE
    for name, array in synthetic_tensors(BEFORE).items():
        assert np.array_equal(checkpoint.tensors[name], array), name


@pytest.mark.parametrize("backend", ["torch", "tf", "jax"])
def test_networks_from_before(backend: str) -> None:
    package = pytest.importorskip(f"danet_{backend}")
    assert package.load(FILES / "before_context.safetensors").config == BEFORE
    assert open_checkpoint(FILES / "before_context.safetensors").config == BEFORE


def test_keras_reads_its_own_archive_from_before() -> None:
    pytest.importorskip("danet_tf")
    keras = pytest.importorskip("keras")
    assert keras.saving.load_model(FILES / "before_context.keras").config == BEFORE


def test_fields_from_before() -> None:
    fields = {name: value for name, value in TINY.to_dict().items() if name != "context"}
    for position, channel, context in (
        (True, True, ("position", "channel")),
        (False, True, ("channel",)),
        (False, False, ()),
    ):
        switches = {"position_attention": position, "channel_attention": channel}
        assert DANetConfig.from_dict(fields | switches) == TINY.replace(context=context)
    for wrong in ({"position_attention": 1}, {"position_attention": True, "context": []}):
        with pytest.raises(ValueError, match=r"^unknown config fields: position_attention$"):
            DANetConfig.from_dict(fields | wrong)
