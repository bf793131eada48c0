"""Every layout of every upstream project, there and back, strictly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import weights_convert
from danet_common import CheckpointError, parameters
from shared_tests.suites.upstream_networks import (
    NETWORKS,
    checkpoint_of,
    named_tensors,
    schema_of,
    write_upstream_checkpoint,
)
from weights_convert.formats import endings_of
from weights_convert.mapping.apply import from_canonical
from weights_convert.mapping.match import match
from weights_convert.schemas import SCHEMAS

LAYOUTS = pytest.mark.parametrize(("name", "layout"), NETWORKS)
BACKBONES = tuple({schema.name for schema in SCHEMAS if schema.backbone_only})


def test_no_layout_is_forgotten() -> None:
    assert {(schema.name, schema.layout) for schema in SCHEMAS} == {*NETWORKS, ("canonical", "")}


@LAYOUTS
def test_there_and_back(name: str, layout: str, tmp_path: Path) -> None:
    original, schema = checkpoint_of(name, layout), schema_of(name, layout)
    result = weights_convert.read(write_upstream_checkpoint(tmp_path, name, layout), schema=name)
    assert (result.source["schema"], result.source.get("layout", "")) == (name, layout)
    ours = {
        key: array for key, array in original.tensors.items() if key.startswith("backbone.") or name not in BACKBONES
    }
    for key, array in ours.items():
        if parameters(original.config)[key].kind != "count" or "count" in schema.norm_leaves:
            assert np.array_equal(result.tensors[key], array), key
    for field in ("block", "layers", "widths", "stem", "stem_widths", "avg_down", "avg_down_dilated"):
        assert getattr(result.config, field) == getattr(original.config, field)
    if name not in (*BACKBONES, "mmseg"):  # MMSegmentation's configuration is in the object left out here
        assert result.config == original.config
    again = from_canonical(schema, result, lambda line: None)
    first = named_tensors(name, layout)
    assert list(again) == list(first)
    assert all(again[key].tobytes() == array.tobytes() for key, array in first.items())


@pytest.mark.parametrize(("name", "layout"), [key for key in NETWORKS if schema_of(*key).formats])
def test_the_layout_is_remembered_through_a_canonical_file(name: str, layout: str, tmp_path: Path) -> None:
    weights_convert.convert(
        write_upstream_checkpoint(tmp_path, name, layout), tmp_path / "canonical.safetensors", schema=name
    )
    target = tmp_path / f"again{endings_of(schema_of(name, layout).formats)[0]}"
    weights_convert.convert(tmp_path / "canonical.safetensors", target, to_schema=name)
    again = weights_convert.read(target, schema=name)
    assert again.source.get("layout", "") == layout
    assert again.config == weights_convert.read(tmp_path / "canonical.safetensors").config


# Each key takes 10 ms: the quick tests take every fifth.
EVERY = pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])


def needed_keys(name: str, layout: str, every: int) -> list[str]:
    """Keys that a layout needs, sorted: the first of each `every` keys."""
    return sorted(named_tensors(name, layout).keys() - schema_of(name, layout).extra_tensors.keys())[::every]


@LAYOUTS
@EVERY
def test_each_missing_tensor_is_noticed(name: str, layout: str, every: int) -> None:
    schema, named = schema_of(name, layout), named_tensors(name, layout)
    for key in needed_keys(name, layout, every):
        assert match(schema, {other: array for other, array in named.items() if other != key}).errors, key


@LAYOUTS
@EVERY
def test_each_misshapen_tensor_is_noticed(name: str, layout: str, every: int) -> None:
    schema, named = schema_of(name, layout), named_tensors(name, layout)
    for key in needed_keys(name, layout, every):
        wrong = np.zeros((*named[key].shape, 2), named[key].dtype)
        assert match(schema, {**named, key: wrong}).errors, key


@LAYOUTS
def test_recognised_from_the_names(name: str, layout: str, tmp_path: Path) -> None:
    source = weights_convert.read(write_upstream_checkpoint(tmp_path, name, layout)).source
    expected = "torchvision" if (name, layout) == ("timm", "plain") else name  # whose names they are
    assert source["schema"] == expected


def test_the_same_number_twice_must_be_the_same() -> None:
    name = "features.features.features.stage1.stage{}.unit1.body.conv1.conv.conv.weight"
    schema = schema_of("imgclsmob", "tf2cv")
    assert schema.canonical_name(name.format(1)) == "backbone.layer1.0.conv1.weight"
    assert schema.canonical_name(name.format(2)) is None


@pytest.mark.parametrize(
    ("ending", "schema", "message"),
    [
        (".pdparams", None, "pickle files have no canonical layout. Add --to paddle_backbone or paddleseg"),
        (".params", None, "mxnet files have no canonical layout. Add --to gluoncv"),
        (".pth", "paddleseg", "torch files cannot hold schema paddleseg. Write .pdparams"),
        (".pdparams", "gluoncv", "pickle files cannot hold schema gluoncv. Write .params"),
        (".keras", "mmseg", "keras files cannot hold schema mmseg. Write .safetensors or .pth"),
    ],
)
def test_an_ending_that_the_owner_cannot_read(ending: str, schema: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        weights_convert.write(checkpoint_of("official"), tmp_path / f"model{ending}", schema)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "schema", "difference"),
    [
        ("paddleseg", "mmseg", "upsample_grid is asymmetric, theirs is half_pixel or corners"),
        ("mmseg", "paddleseg", "avg_down is false, theirs is true"),
        ("mmseg", "imgclsmob", "no place for auxiliary.hidden.conv.weight"),
        ("official", "paddleseg", "differs from head.channel_classifier.weight, but theirs has one tensor for both"),
    ],
)
def test_a_network_that_the_owner_does_not_have(name: str, schema: str, difference: str, tmp_path: Path) -> None:
    ending = endings_of(schema_of(schema).formats)[0]
    checkpoint = checkpoint_of(name)
    checkpoint.tensors = {**checkpoint.tensors, "head.position_classifier.bias": np.ones(5, np.float32)}
    with pytest.raises(CheckpointError, match=difference):
        weights_convert.write(checkpoint, tmp_path / f"model{ending}", schema)
    assert not list(tmp_path.iterdir())
