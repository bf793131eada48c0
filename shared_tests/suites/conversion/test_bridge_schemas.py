"""Every schema in both directions, strictly; keys are held against those of recorded files of the upstream projects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weights_convert
from danet_common import VARIANTS, Checkpoint, CheckpointError, DANetConfig, initial_tensors, parameters
from shared_tests.fixtures import recorded
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.suites.upstream_networks import checkpoint_of, named_tensors
from weights_convert.containers.source_file import open_source
from weights_convert.formats import safetensors_file, torch_file
from weights_convert.mapping.apply import from_canonical, match
from weights_convert.mapping.schema import Schema
from weights_convert.schemas import SCHEMAS

PLAIN = VARIANTS["danet_tiny"].replace(num_classes=5)
WITHOUT_POSITION = PLAIN.replace(query_channels=None)  # without position attention
DEEP = PLAIN.replace(block="bottleneck", stem="deep", stem_widths=(4, 4, 8))
TRAMAC = DEEP.replace(dropout="element")
NETWORKS: tuple[tuple[str, DANetConfig], ...] = (
    ("canonical", PLAIN),
    ("canonical", DEEP.replace(auxiliary="fcn", auxiliary_channels=10)),
    ("canonical", PLAIN.replace(auxiliary="linear", context=("position",))),
    ("canonical", PLAIN.replace(context=(), query_channels=None)),
    ("canonical", WITHOUT_POSITION.replace(context=("squeeze_excitation", "cbam"))),
    ("canonical", WITHOUT_POSITION.replace(context=("bam", "selective_kernel"), reduction=4, branch_classifiers=False)),
    ("canonical", WITHOUT_POSITION.replace(context=("selective_kernel",))),
    ("canonical", WITHOUT_POSITION.replace(context=("non_local", "joint_channel"))),
    ("canonical", PLAIN.replace(context=("non_local", "joint_position"), non_local_form="gaussian")),
    ("canonical", PLAIN.replace(context=("position", "non_local"), non_local_form="concatenation")),
    ("canonical", PLAIN.replace(context=("self_attention", "compact_channel"), reduction=4)),
    (
        "canonical",
        WITHOUT_POSITION.replace(context=("compact_position", "compact_channel"), reduction=4, decoder="gating"),
    ),
    ("official", PLAIN.replace(multi_grid=(1, 2, 4))),
    ("official", DEEP),
    ("tramac", TRAMAC),
    ("tramac", TRAMAC.replace(branch_classifiers=False)),
)
BY_NAME = {schema.name: schema for schema in SCHEMAS}


def upstream_checkpoint(name: str, config: DANetConfig, folder: Path) -> Path:
    """A file under the upstream names, with synthetic weights."""
    path = folder / f"{name}.safetensors"
    named = from_canonical(BY_NAME[name], Checkpoint(config, synthetic_tensors(config)), lambda line: None)
    safetensors_file.write_foreign(named, path)
    return path


def changed(path: Path, changes: Mapping[str, np.ndarray | None]) -> Path:
    """The file with some tensors replaced or added, or taken out (None)."""
    tensors = {**safetensors_file.read(open_source(path)).tensors, **changes}
    safetensors_file.write_foreign({key: array for key, array in tensors.items() if array is not None}, path)
    return path


@pytest.mark.parametrize(("name", "config"), NETWORKS)
def test_there_and_back(name: str, config: DANetConfig, tmp_path: Path) -> None:
    path = upstream_checkpoint(name, config, tmp_path)
    result = weights_convert.read(path)
    assert result.source["schema"] == name
    assert result.config == config
    assert result.hashes() == Checkpoint(config, synthetic_tensors(config)).hashes()
    if name != "canonical":
        weights_convert.convert(path, tmp_path / "again.pth", to_schema=name)
        again = weights_convert.read(tmp_path / "again.pth")
        assert (again.config, again.hashes()) == (result.config, result.hashes())
        assert again.extra_tensors.keys() == result.extra_tensors.keys()


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_tables_are_one_to_one(schema: Schema) -> None:
    for table in (schema.modules, schema.gammas):
        assert len(set(table.values())) == len(table)
    for config in (PLAIN, DEEP):
        for parameter in parameters(config).values():
            key = schema.upstream_name(parameter)
            assert key is None or schema.canonical_name(key) == parameter.name


@pytest.mark.parametrize("name", ["official", "tramac"])
def test_every_fault_is_listed(name: str, tmp_path: Path) -> None:
    config = TRAMAC if name == "tramac" else DEEP
    path = upstream_checkpoint(name, config, tmp_path)
    changed(
        path,
        {
            "pretrained.layer1.0.conv1.weight": None,
            "pretrained.bn1.bias": np.zeros(7, np.float32),
            "pretrained.layer2.00.conv1.weight": np.zeros((1, 1, 1, 1), np.float32),
            "extra.weight": np.zeros(3, np.float32),
            "pretrained.layer3.0.bn1.running_mean": np.zeros(16, np.int64),
        },
    )
    for schema in (name, None):
        with pytest.raises(CheckpointError) as caught:
            weights_convert.read(path, schema=schema)
        first, *listed = str(caught.value).splitlines()
        assert name in first
        assert "5 errors" in first
        assert sorted(line.strip() for line in listed) == [
            "missing: pretrained.layer1.0.conv1.weight [8, 8, 1, 1]",
            "unused: extra.weight [3]",
            "unused: pretrained.layer2.00.conv1.weight [1, 1, 1, 1]",
            "wrong dtype: pretrained.layer3.0.bn1.running_mean is int64, expected floating-point numbers",
            "wrong shape: pretrained.bn1.bias is [7], expected [8]",
        ]


@pytest.mark.parametrize(("name", "config"), [("official", PLAIN), ("tramac", TRAMAC)])
def test_each_missing_tensor_is_noticed(name: str, config: DANetConfig) -> None:
    schema = BY_NAME[name]
    named = from_canonical(schema, Checkpoint(config, synthetic_tensors(config)), lambda line: None)
    for key in named.keys() - schema.extra_tensors.keys():
        assert match(schema, {other: array for other, array in named.items() if other != key}).errors, key


def test_absent_counters_are_filled_and_said(tmp_path: Path) -> None:
    path = upstream_checkpoint("official", PLAIN, tmp_path)
    counters = {
        key: None for key in safetensors_file.read(open_source(path)).tensors if key.endswith("num_batches_tracked")
    }
    lines: list[str] = []
    result = weights_convert.read(changed(path, counters), report=lines.append)
    assert all(result.tensors[name] == 0 for name, kind in parameters(PLAIN).items() if kind.kind == "count")
    assert any("num_batches_tracked" in line and "filled with 0" in line for line in lines)


@pytest.mark.parametrize(
    ("config", "settings", "expected", "output"),
    [
        (PLAIN, {}, (1, 2, 4), "multi_grid=1,2,4: the file does not determine it"),
        (DEEP, {}, None, "multi_grid=none: the file does not determine it"),
        (PLAIN, {"multi_grid": "none"}, None, None),
        (DEEP, {"multi_grid": "1, 2,4"}, (1, 2, 4), None),
    ],
)
def test_multi_grid_of_official_files(
    config: DANetConfig, settings: dict[str, str], expected: tuple[int, ...] | None, output: str | None, tmp_path: Path
) -> None:
    lines: list[str] = []
    result = weights_convert.read(
        upstream_checkpoint("official", config, tmp_path), settings=settings, report=lines.append
    )
    assert result.config.multi_grid == expected
    assert [line for line in lines if line.startswith("multi_grid")] == [
        line for line in lines if output and line.startswith(output)
    ]
    assert len(lines) == (output is not None)
    assert dict(result.source["defaulted"]).keys() == ({"multi_grid"} if output else set())


def test_settings_reach_the_config_and_override_facts_aloud(tmp_path: Path) -> None:
    settings = {"upsample_grid": "half_pixel", "output_stride": "16", "class_names": "a,b,c,d,e", "multi_grid": "none"}
    lines: list[str] = []
    config = weights_convert.read(
        upstream_checkpoint("official", PLAIN, tmp_path), settings=settings, report=lines.append
    ).config
    assert (config.upsample_grid, config.output_stride) == ("half_pixel", 16)
    assert config.class_names == ("a", "b", "c", "d", "e")
    assert any("upsample_grid=half_pixel" in line and "corners" in line for line in lines)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"num_classes": "21"},
            r"num_classes=21 was set, but the tensors say 5 \(head.conv8.1.weight is \[5, 24, 1, 1\]\)",
        ),
        ({"stem": "deep"}, r"stem=deep was set, but the tensors say plain"),
        ({"layers": "3,4,6,3"}, r"layers=3,4,6,3 was set, but the tensors say 1,1,1,2"),
        ({"multigrid": "1,2,4"}, r"unknown setting 'multigrid'"),
        ({"multi_grid": "1,two"}, r"the setting multi_grid must be items with ',' between"),
        ({"multi_grid": "0,1"}, r"multi_grid must be None or positive factors"),
        ({"output_stride": "4"}, r"the setting output_stride must be 8 or 16 or 32; got '4'"),
        ({"class_names": "a,b"}, r"class_names must have num_classes = 5 entries; got 2"),
    ],
)
def test_wrong_settings(settings: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        weights_convert.read(upstream_checkpoint("official", PLAIN, tmp_path), settings=settings)


def test_settings_change_what_a_manifest_says_unless_the_tensors_do(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    weights_convert.write(Checkpoint(PLAIN, synthetic_tensors(PLAIN)), path)
    lines: list[str] = []
    assert weights_convert.read(path, settings={"multi_grid": "1,2"}, report=lines.append).config.multi_grid == (1, 2)
    assert lines == ["multi_grid=1,2: as set; the file says none"]
    with pytest.raises(CheckpointError, match="num_classes=19 was set, but the tensors say 5"):
        weights_convert.read(path, settings={"num_classes": "19"})


@pytest.mark.parametrize(
    ("schema", "config", "difference"),
    [
        ("tramac", PLAIN, "stem is plain, theirs is deep"),
        ("official", PLAIN.replace(upsample_grid="half_pixel"), "upsample_grid is half_pixel, theirs is corners"),
        ("official", PLAIN.replace(auxiliary="linear"), "no place for auxiliary.classifier.weight"),
    ],
)
def test_a_network_the_owner_does_not_have(schema: str, config: DANetConfig, difference: str, tmp_path: Path) -> None:
    weights_convert.write(Checkpoint(config, synthetic_tensors(config)), tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=difference):
        weights_convert.convert(tmp_path / "model.safetensors", tmp_path / "theirs.pth", to_schema=schema)
    assert not (tmp_path / "theirs.pth").exists()


def test_what_an_owners_file_cannot_hold_is_said(tmp_path: Path) -> None:
    config = PLAIN.replace(multi_grid=(1, 2), class_names=tuple("abcde"))
    weights_convert.write(Checkpoint(config, synthetic_tensors(config)), tmp_path / "model.safetensors")
    lines: list[str] = []
    weights_convert.convert(
        tmp_path / "model.safetensors", tmp_path / "theirs.pth", to_schema="official", report=lines.append
    )
    (line,) = lines
    settings = dict(part.split("=") for part in line.partition(": ")[2].split())
    assert settings == {"multi_grid": "1,2", "class_names": "a,b,c,d,e"}
    assert weights_convert.read(tmp_path / "theirs.pth", settings=settings).config == config


def test_what_goes_with_the_owners_object_is_said(tmp_path: Path) -> None:
    """MMSegmentation's meta has a place in a torch file and none beside safetensors."""
    original = checkpoint_of("mmseg", "ResNet")
    lines: dict[str, list[str]] = {".pth": [], ".safetensors": []}
    for ending, output in lines.items():
        weights_convert.write(original, tmp_path / f"theirs{ending}", "mmseg", output.append)
    assert lines[".pth"] == []
    assert weights_convert.read(tmp_path / "theirs.pth").config == original.config
    (line,) = lines[".safetensors"]
    settings = dict(part.split("=") for part in line.partition(": ")[2].split())
    assert settings.keys() == {"multi_grid", "upsample_grid", "class_names", "palette"}
    assert weights_convert.read(tmp_path / "theirs.safetensors", settings=settings).config == original.config


def test_the_order_of_two_branches_is_asked_for_where_it_matters(tmp_path: Path) -> None:
    """The gating decoder's first convolution has the first branch's channels first; a sum has no order."""
    for decoder in ("sum", "gating"):
        config = PLAIN.replace(context=("channel", "position"), decoder=decoder)
        lines: list[str] = []
        path = tmp_path / f"{decoder}.safetensors"
        safetensors_file.write_foreign(synthetic_tensors(config), path)
        actual = weights_convert.read(path, report=lines.append)
        assert actual.config == config.replace(context=("position", "channel"))
        assert any(line.startswith("context=position,channel: ") for line in lines) == (decoder == "gating")
        assert ("context" in actual.source["defaulted"]) == (decoder == "gating")
        assert weights_convert.read(path, settings={"context": "channel,position"}).config == config
        with pytest.raises(CheckpointError, match="context=channel was set, but the tensors say position,channel"):
            weights_convert.read(path, settings={"context": "channel"})


@pytest.mark.parametrize(
    ("backbone", "norm", "message"),
    [
        ({"multi_grid": (4.0, 8.0, 16.0)}, {}, r"the file says multi_grid=\(1.0, 2.0, 4.0\), which no config has"),
        ({}, {"eps": True}, r"the file says batch_norm_epsilon=True, which no config has"),
    ],
)
def test_a_meta_whose_values_are_of_other_types(
    backbone: Mapping[str, Any], norm: Mapping[str, Any], message: str, tmp_path: Path
) -> None:
    """They were taken, and written into a manifest that could not be read."""
    parts = {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4), "norm_cfg": norm, **backbone}
    model = {"backbone": parts, "decode_head": {"norm_cfg": norm}}
    meta = {"cfg": f"model = {model!r}"}
    torch_file.write_foreign({"meta": meta, "state_dict": named_tensors("mmseg")}, tmp_path / "theirs.pth")
    with pytest.raises(CheckpointError, match=message):
        weights_convert.read(tmp_path / "theirs.pth")


def test_a_backbone_gets_a_fresh_head(tmp_path: Path) -> None:
    lines: list[str] = []
    path = upstream_checkpoint("torchvision", PLAIN, tmp_path)
    changed(path, {"fc.weight": np.ones((1000, 32), np.float32)})
    result = weights_convert.read(path, settings={"num_classes": "7"}, report=lines.append)
    assert result.source["backbone_only"] is True
    assert (result.config.num_classes, result.config.multi_grid) == (7, None)
    assert any(line.startswith("head: ") and "freshly initialised" in line for line in lines)
    fresh = initial_tensors(result.config)
    for name, array in synthetic_tensors(result.config).items():
        expected = array if name.startswith("backbone.") else fresh[name]
        assert np.array_equal(result.tensors[name], expected), name
    weights_convert.write(result, tmp_path / "again.pth", to_schema="torchvision", report=lines.append)
    again = weights_convert.read(tmp_path / "again.pth")
    assert np.array_equal(again.extra_tensors["fc.weight"], result.extra_tensors["fc.weight"])
    assert any(line.startswith("dropped: the head") for line in lines)


def test_what_is_written_of_a_backbone_is_counted(tmp_path: Path) -> None:
    """The file's own tensors, and not those of the network that it is of; what it cannot tell is named."""
    config = PLAIN.replace(multi_grid=(1, 2, 4))
    weights_convert.write(Checkpoint(config, synthetic_tensors(config)), tmp_path / "model.safetensors")
    report = weights_convert.convert(
        tmp_path / "model.safetensors", tmp_path / "r.safetensors", to_schema="torchvision"
    )
    stored = safetensors_file.read(open_source(tmp_path / "r.safetensors")).tensors
    assert (report.tensors, report.bytes) == (len(stored), sum(array.nbytes for array in stored.values()))
    (line,) = (line for line in report.lines if "do not store" in line)
    assert line == "torchvision files do not store these settings; set them when reading the file: multi_grid=1,2,4"
    assert sum("torchvision files do not have it" in line for line in report.lines) == 1
    actual = weights_convert.inspect(tmp_path / "r.safetensors")
    assert len(actual.tensors) + len(actual.extra_tensors) == len(stored)
    weights_convert.convert(tmp_path / "r.safetensors", tmp_path / "whole.safetensors")
    assert len(weights_convert.inspect(tmp_path / "whole.safetensors").tensors) == len(synthetic_tensors(config))


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64])
def test_kernels_are_floating_point_numbers(dtype: type[np.generic], tmp_path: Path) -> None:
    path = upstream_checkpoint("official", PLAIN, tmp_path)
    shape = synthetic_tensors(PLAIN)["backbone.conv1.weight"].shape
    changed(path, {"pretrained.conv1.weight": np.ones(shape, dtype)})
    with pytest.raises(CheckpointError, match=f"1 error\n.*conv1.weight is {np.dtype(dtype)}, expected floating-point"):
        weights_convert.read(path, "official")


def test_absent_passengers_are_written_as_zeros_and_said(tmp_path: Path) -> None:
    lines: list[str] = []
    checkpoint = Checkpoint(TRAMAC, synthetic_tensors(TRAMAC))
    weights_convert.write(checkpoint, tmp_path / "theirs.pth", to_schema="tramac", report=lines.append)
    result = weights_convert.read(tmp_path / "theirs.pth")
    assert result.extra_tensors["pretrained.fc.weight"].shape == (1000, TRAMAC.stage_channels[3])
    assert not result.extra_tensors["pretrained.fc.weight"].any()
    assert sum("filled with zeros" in line for line in lines) == 2


def test_tramacs_other_network_is_refused_by_name(tmp_path: Path) -> None:
    path = changed(
        upstream_checkpoint("tramac", TRAMAC, tmp_path), {"jpu.conv5.0.weight": np.zeros((4, 4, 3, 3), np.float32)}
    )
    with pytest.raises(CheckpointError, match="JPU variant"):
        weights_convert.read(path)


@pytest.mark.parametrize(
    "name", ["official_r50_plain_mg", "official_r50_deep", "tramac_r50_aux", "torchvision_resnet50"]
)
def test_recorded_files_of_the_owners(name: str, tmp_path: Path) -> None:
    recording = recorded.load(recorded.FOLDER / f"{name}.npz")
    schema = BY_NAME[name.partition("_")[0]]
    safetensors_file.write_foreign(recording.state_dict, tmp_path / "theirs.safetensors")
    result = weights_convert.read(tmp_path / "theirs.safetensors")
    assert result.source["schema"] == schema.name
    assert list(result.config.block_dilations[3]) == recording.meta["config"]["dilations"]["layer4"]
    assert list(result.config.block_dilations[2]) == recording.meta["config"]["dilations"]["layer3"]
    again = from_canonical(schema, result, lambda line: None)
    assert again.keys() == recording.state_dict.keys()
    for key, array in recording.state_dict.items():
        assert again[key].dtype == array.dtype, key
        assert again[key].shape == array.shape, key
        assert np.array_equal(again[key], array), key
