"""Files that hold a network's weights within other dictionaries, under prefixes, or several times."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weights_convert
from danet_cli.main import run
from danet_common import VARIANTS, Checkpoint, CheckpointError, initial_tensors, parameters, write_checkpoint
from danet_common.checkpoint.parameter_layouts import FLAX, native_name, to_channels_last
from danet_common.config.recipe import TrainConfig
from danet_common.files.atomic import always
from danet_common.training.training_checkpoint import initial_state, write_training
from shared_tests.fixtures.synthetic import synthetic_tensors
from weights_convert.contents import Contents
from weights_convert.formats import safetensors_file, torch_file
from weights_convert.weight_sets.find import find_places, speaks_of_averages

Tensors = Mapping[str, np.ndarray]
Streams = pytest.CaptureFixture[str]

CONFIG = VARIANTS["danet_tiny"]
TABLE = parameters(CONFIG)
RAW: Tensors = synthetic_tensors(CONFIG)
WITNESS = "backbone.bn1.weight"  # tells the sets apart


def scaled(tensors: Tensors, factor: float) -> dict[str, np.ndarray]:
    """Weights that stand for moving averages of these: the counters are the same."""
    return {name: array if array.dtype.kind == "i" else array * np.float32(factor) for name, array in tensors.items()}


EMA: Tensors = scaled(RAW, 0.5)
LEARNED = {name: array for name, array in EMA.items() if TABLE[name].trainable}
OPTIMIZER = {"state": {"0": {"momentum_buffer": np.ones(3, np.float32)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}


def under(prefix: str, tensors: Tensors = RAW) -> dict[str, np.ndarray]:
    return {prefix + name: array for name, array in tensors.items()}


def save(content: Mapping[str, Any], path: Path) -> Path:
    """Write the content with torch.save."""
    torch_file.write_foreign(content, path, always)
    return path


def read(content: Mapping[str, Any], path: Path, key: str | None = None) -> tuple[Checkpoint, list[str]]:
    lines: list[str] = []
    checkpoint = weights_convert.read(save(content, path), report=lines.append, weights_key=key)
    return checkpoint, [line for line in lines if "does not determine" not in line]


def assert_raw(checkpoint: Checkpoint) -> None:
    assert checkpoint.hashes() == Checkpoint(CONFIG, RAW).hashes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.pth"


PREFIXES = (
    "module.",
    "_orig_mod.",
    "module._orig_mod.",
    "_fsdp_wrapped_module.",
    "model.",
    "net.",
    "student.",
    "a.b.c.",
)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_any_one_prefix_of_all_keys(prefix: str, path: Path) -> None:
    assert_raw(read(under(prefix), path)[0])


@pytest.mark.parametrize("inner", ["_fsdp_wrapped_module", "_orig_mod", "module", "my_wrapper.inner"])
def test_wrappers_within_the_network(inner: str, path: Path) -> None:
    named = {name.replace("backbone.layer1.", f"backbone.layer1.{inner}."): array for name, array in RAW.items()}
    checkpoint, lines = read(under("model.", named), path)
    assert_raw(checkpoint)
    assert f"{inner.replace('.', ', ')}: names of wrappers, removed from the keys" in lines


CONTAINERS: dict[str, Any] = {
    **{key: {"epoch": 3, key: RAW} for key in ("state_dict", "model", "net", "network", "module", "params", "weights")},
    "nested": {"state": {"model": under("module.")}, "rng": [1, 2]},
    "in a list": {"models": [under("module.")]},
    "lightning": {"state_dict": under("model."), "hyper_parameters": {"lr": 0.1}, "pytorch-lightning_version": "2.5.0"},
    "a dictionary of modules": {
        part: {name.removeprefix(f"{part}."): array for name, array in RAW.items() if name.startswith(f"{part}.")}
        for part in ("backbone", "head")
    },
    "a dictionary of wrapped modules and an optimizer": {
        **{
            part: {f"module.{name.removeprefix(f'{part}.')}": RAW[name] for name in RAW if name.startswith(f"{part}.")}
            for part in ("backbone", "head")
        },
        "optimizer": OPTIMIZER,
    },
    "a module that is trained itself": {"state_dict": {**RAW, "loss.weight": np.ones(19), "mean": np.ones(3)}},
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_wherever_the_weights_are(name: str, path: Path) -> None:
    assert_raw(read(CONTAINERS[name], path)[0])


def test_a_parametrized_weight_is_no_wrapped_one(path: Path) -> None:
    """torch computes the weight from the original, so the original alone is another weight."""
    new = "backbone.conv1.parametrizations.weight.original"
    tensors = {new if name == "backbone.conv1.weight" else name: array for name, array in RAW.items()}
    assert "missing: backbone.conv1.weight" in refused(tensors, path)


def test_a_convolution_beside_the_network_may_be_part_of_it(path: Path) -> None:
    assert "unused: pyramid.weight [1, 1, 1, 1]" in refused({**RAW, "pyramid.weight": np.ones((1, 1, 1, 1))}, path)


def test_what_lies_beside_the_weights_is_said(path: Path) -> None:
    content = {"state_dict": {**under("model."), "criterion.weight": np.ones(19, np.float32)}, "optimizer": OPTIMIZER}
    checkpoint, lines = read(content, path)
    assert_raw(checkpoint)
    assert lines == [
        "weights: taken from state_dict.model",
        "left out: state_dict.criterion.weight",
        "left out: optimizer.state.0.momentum_buffer",
    ]


def test_averages_that_torch_keeps(path: Path) -> None:
    """Return the names of AveragedModel's state dict."""
    checkpoint, lines = read({"n_averaged": np.array(3), **under("module.")}, path)
    assert_raw(checkpoint)
    assert "left out: n_averaged" in lines


# Name of the file's kind -> its content, and keys by which the averages are taken.
TWO_SETS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "timm": ({"state_dict": RAW, "state_dict_ema": EMA}, ("state_dict_ema", "ema")),
    "model_ema": ({"model": RAW, "model_ema": EMA}, ("model_ema", "ema")),
    "ema": ({"model": RAW, "ema": EMA}, ("ema",)),
    "detectron2": ({"model": RAW, "ema_state": {"state": EMA}}, ("ema_state", "ema_state.state")),
    "student and teacher": ({"student": under("module."), "teacher": under("module.", EMA)}, ("teacher",)),
    "AveragedModel": ({"model": RAW, "swa": {"n_averaged": np.array(3), **under("module.", EMA)}}, ("swa",)),
    "prefixes": (
        {"state_dict": {**under("model."), **under("model_ema.", EMA)}},
        ("model_ema", "state_dict.model_ema"),
    ),
    "beside the plain": ({**RAW, **under("ema.", EMA)}, ("ema",)),
    "callbacks": ({"state_dict": under("model."), "callbacks": {"EMA": {"weights": under("model.", EMA)}}}, ("EMA",)),
    "parameters": ({"model": RAW, "ema": {"decay": 0.9, "shadow": LEARNED}}, ("ema", "ema.shadow")),
    "MMCV": ({"state_dict": {**RAW, **{"ema_" + n.replace(".", "_"): a for n, a in LEARNED.items()}}}, ("ema",)),
    "LitEma": (
        {**under("model."), **{"model_ema." + n.replace(".", ""): a for n, a in LEARNED.items()}},
        ("model_ema", "ema"),
    ),
}


@pytest.mark.parametrize("name", TWO_SETS)
def test_the_trained_weights_are_taken_and_the_averages_named(name: str, path: Path) -> None:
    content, keys = TWO_SETS[name]
    checkpoint, lines = read(content, path)
    assert_raw(checkpoint)
    (line,) = (line for line in lines if "moving averages, by its name" in line)
    key = line.rpartition("--weights-key ")[2].removesuffix(" takes it")
    for each in (key, *keys):
        taken, lines = read(content, path, each)
        assert np.array_equal(taken.tensors[WITNESS], EMA[WITNESS]), each
        assert any(line.startswith("weights: taken from") for line in lines)
        assert any(line.startswith("left out: ") and "--weights-key" in line for line in lines)


@pytest.mark.parametrize("name", ["parameters", "MMCV", "LitEma"])
def test_statistics_that_were_not_averaged_are_those_of_the_weights(name: str, path: Path) -> None:
    checkpoint, lines = read(TWO_SETS[name][0], path, "ema")
    for tensor, array in checkpoint.tensors.items():
        assert np.array_equal(array, (EMA if TABLE[tensor].trainable else RAW)[tensor]), tensor
    assert any(line.startswith("BatchNorm's statistics: taken from ") for line in lines)


EXCHANGED: dict[str, tuple[Any, str]] = {
    "MMEngine": (
        {"state_dict": EMA, "ema_state_dict": {"steps": np.array(3), **under("module.")}, "message_hub": {}},
        "ema_state_dict",
    ),
    "Lightning": (
        {
            "state_dict": under("model.", EMA),
            "current_model_state": under("model."),
            "averaging_state": {"n_averaged": np.array(3)},
        },
        "current_model_state",
    ),
}


@pytest.mark.parametrize("trainer", EXCHANGED)
def test_trainers_that_exchange_the_two_as_they_save(trainer: str, path: Path) -> None:
    content, key = EXCHANGED[trainer]
    checkpoint, lines = read(content, path)
    assert np.array_equal(checkpoint.tensors[WITNESS], EMA[WITNESS])
    assert trainer in lines[0]
    assert "stores the moving averages" in lines[0]
    assert_raw(read(content, path, key)[0])


def test_equal_sets_are_one(path: Path) -> None:
    checkpoint, lines = read({"model": RAW, "best": RAW}, path)
    assert_raw(checkpoint)
    assert any("equal weights" in line for line in lines)


def refused(content: Mapping[str, Any], path: Path, key: str | None = None) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(content, path, key)
    return str(caught.value).removeprefix(f"{path}: ")


def test_sets_that_no_word_tells_apart_are_listed(path: Path) -> None:
    content = {"first": RAW, "second": EMA}
    line = "holds 2 different sets of weights; choose one with --weights-key first or --weights-key second"
    assert refused(content, path) == line
    assert_raw(read(content, path, "first")[0])


@pytest.mark.parametrize("content", [{"ema": {"shadow_params": [*LEARNED.values()]}, "model": RAW}])
def test_averages_without_names_are_named(content: Mapping[str, Any], path: Path) -> None:
    _, lines = read(content, path)
    assert f"left out: {len(LEARNED)} tensors of ema without names, perhaps moving averages; cannot be taken" in lines
    assert refused(content, path, "ema").startswith(
        f"ema.shadow_params has {len(LEARNED)} tensors in a list, without names"
    )
    alone = content["ema"]
    assert refused(alone, path).startswith(f"shadow_params has {len(LEARNED)} tensors in a list")


class Network:
    """A class of a trainer, whose objects are never made."""


def test_an_object_for_averages_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.pdparams"
    path.write_bytes(pickle.dumps({"model": dict(RAW), "ema": Network()}, 4))
    lines: list[str] = []
    assert_raw(weights_convert.read(path, report=lines.append))
    assert any("ema, a pickled object of class" in line and "never run" in line for line in lines)
    with pytest.raises(CheckpointError, match=r"ema is a pickled object of class .*Network, which is never run"):
        weights_convert.read(path, weights_key="ema")


def test_a_key_that_is_not_there_lists_those_that_are(path: Path) -> None:
    content = {"model": RAW, "ema": EMA}
    assert refused(content, path, "teacher") == "has no weights at 'teacher'; it has model, ema"
    broken = {name: array for name, array in EMA.items() if name != "head.fused_classifier.bias"}
    assert "at ema: the tensors fit no known schema" in refused({"model": RAW, "ema": broken}, path, "ema")
    assert_raw(read({"model": RAW, "ema": broken}, path)[0])


def test_a_damaged_network_is_not_taken_for_its_backbone(path: Path) -> None:
    tensors = {name: array for name, array in RAW.items() if name != "head.fused_classifier.bias"}
    assert "missing: head.fused_classifier.bias" in refused({"state_dict": tensors}, path)


def test_the_backbone_of_a_danet_with_other_names_is_not_taken_alone(path: Path) -> None:
    """Else its trained head would be lost."""
    tensors = {name.replace("backbone.", "backbone.body."): array for name, array in RAW.items()}
    assert "the tensors fit no known schema" in refused(tensors, path)


def test_a_backbone_under_a_prefix(path: Path) -> None:
    tensors = {name: array for name, array in RAW.items() if name.startswith("backbone.")}
    checkpoint, _ = read({"state_dict": under("module.encoder_q.", tensors)}, path)
    assert checkpoint.source["backbone_only"]
    assert np.array_equal(checkpoint.tensors[WITNESS], RAW[WITNESS])


def test_a_backbone_with_the_prefix_of_its_own_schema_is_one(path: Path) -> None:
    """mmseg's files of a backbone begin every key so; what is left without it is another's backbone."""
    tensors = {name: array for name, array in RAW.items() if name.startswith("backbone.")}
    checkpoint, _ = read({"state_dict": tensors}, path)
    assert checkpoint.source["backbone_only"]
    assert "weights_key" not in checkpoint.source


BACKBONE = {name.removeprefix("backbone."): RAW[name] for name in RAW if name.startswith("backbone.")}
SLOW = scaled(BACKBONE, 0.5)
PROJECTION = {"0.weight": np.ones((3, 8), np.float32), "0.bias": np.ones(3, np.float32)}
KERNEL = {"weight": np.zeros((21, 8, 1, 1), np.float32)}
# Where the backbone lies in a network of another kind -> content, label of the backbone.
OTHER_NETWORKS: dict[str, tuple[Any, str]] = {
    "torchvision's FCN": ({**under("backbone.", BACKBONE), **under("classifier.4.", KERNEL)}, "backbone"),
    "with an auxiliary head": (
        {**under("backbone.", BACKBONE), **under("classifier.4.", KERNEL), **under("aux_classifier.4.", KERNEL)},
        "backbone",
    ),
    "SimCLR": (
        {"state_dict": {**under("backbone.", BACKBONE), **under("backbone.fc.", PROJECTION)}},
        "state_dict.backbone",
    ),
    "Barlow Twins": (
        {"model": {**under("module.backbone.", BACKBONE), **under("module.projector.", PROJECTION)}},
        "model.module.backbone",
    ),
    "DINO": (
        {
            "student": {**under("module.backbone.", BACKBONE), **under("module.head.mlp.", PROJECTION)},
            "teacher": {**under("backbone.", SLOW), **under("head.mlp.", PROJECTION)},
        },
        "student.module.backbone",
    ),
    "mmseg's FCN": (
        {
            "state_dict": {
                **under("backbone.", BACKBONE),
                **under("decode_head.convs.0.conv.", KERNEL),
                **under("decode_head.convs.1.conv.", KERNEL),
                **under("decode_head.conv_seg.", KERNEL),
            }
        },
        "state_dict.backbone",
    ),
}


@pytest.mark.parametrize("name", OTHER_NETWORKS)
def test_of_another_network_the_backbone_is_taken(name: str, path: Path) -> None:
    content, label = OTHER_NETWORKS[name]
    checkpoint, lines = read(content, path)
    assert checkpoint.source["backbone_only"]
    assert all(np.array_equal(checkpoint.tensors[f"backbone.{key}"], BACKBONE[key]) for key in BACKBONE)
    assert f"weights: taken from {label}" in lines
    assert any(line.startswith("left out: ") for line in lines)
    named = [line for line in lines if line.startswith("weights: only the backbone is taken: it is another network")]
    assert len(named) == (name in ("with an auxiliary head", "mmseg's FCN"))


def test_two_encoders_are_chosen_by_key(path: Path) -> None:
    content = {"state_dict": {**under("module.encoder_q.", BACKBONE), **under("module.encoder_k.", SLOW)}}
    assert "--weights-key state_dict.module.encoder_q" in refused(content, path)
    checkpoint, _ = read(content, path, "encoder_q")
    assert np.array_equal(checkpoint.tensors[WITNESS], RAW[WITNESS])


def test_a_backbone_with_other_blocks_is_not_taken(path: Path) -> None:
    content = {**BACKBONE, "layer1.0.se.fc1.weight": np.zeros((2, 8, 1, 1), np.float32), **under("fc.", PROJECTION)}
    assert "unused: layer1.0.se.fc1.weight" in refused(content, path)


def test_moments_of_an_optimizer_are_no_averages(path: Path) -> None:
    content = {"model": RAW, "optimizer": {"exp_avg": LEARNED, "exp_avg_sq": LEARNED, "momentum": LEARNED}}
    checkpoint, lines = read(content, path)
    assert_raw(checkpoint)
    assert lines == [f"left out: {3 * len(LEARNED)} tensors of optimizer"]
    assert "it has model" in refused(content, path, "exp_avg")


def test_words_of_averages() -> None:
    for prefix in ("ema.", "model_ema.", "modelEMA.", "EMAModel.", "ema_", "teacher.module.", "swa_state."):
        assert speaks_of_averages(prefix), prefix
    for prefix in ("", "model.", "schema.", "emanet.", "exp_avg.", "state_dict.", "cinema."):
        assert not speaks_of_averages(prefix), prefix


# Other formats.
def flax_tree(tensors: Tensors, trainable: bool | None = None) -> dict[str, Any]:
    """Nested dictionaries as Flax has them; only what is learned, or only what is not, where that is asked for."""
    tree: dict[str, Any] = {}
    for name, array in tensors.items():
        parameter = TABLE[name]
        if trainable is None or parameter.trainable == trainable:
            *path, leaf = native_name(parameter, FLAX).split(".")
            branch = tree
            for part in path:
                branch = branch.setdefault(part, {})
            branch[leaf] = to_channels_last(parameter, array)
    return tree


def joined(tree: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    """The leaves by their paths, with slashes between."""
    leaves: dict[str, np.ndarray] = {}
    for key, value in tree.items():
        leaves |= joined(value, f"{prefix}{key}/") if isinstance(value, Mapping) else {prefix + key: np.asarray(value)}
    return leaves


TREES: dict[str, Any] = {
    "whole networks": {"model": flax_tree(RAW), "ema": flax_tree(EMA), "step": np.array(3)},
    "collections": {
        "params": flax_tree(RAW, True),
        "batch_stats": flax_tree(RAW, False),
        "ema_params": flax_tree(EMA, True),
        "opt_state": {"0": {"mu": flax_tree(EMA, True), "count": np.array(1)}},
    },
    "both averaged": {
        "params": flax_tree(RAW, True),
        "batch_stats": flax_tree(RAW, False),
        "ema_params": flax_tree(EMA, True),
        "ema_batch_stats": flax_tree(EMA, False),
        "step": np.array(3),
    },
    "optax.ema": {
        "params": flax_tree(RAW, True),
        "batch_stats": flax_tree(RAW, False),
        "opt_state": {"1": {"ema": flax_tree(EMA, True), "count": np.array(1)}},
    },
}


def write_npz(tree: Mapping[str, Any], path: Path) -> Path:
    np.savez(path.with_suffix(".npz"), **joined(tree))  # type: ignore[arg-type]
    return path.with_suffix(".npz")


def write_msgpack(tree: Mapping[str, Any], path: Path) -> Path:
    serialization = pytest.importorskip("flax.serialization")
    path = path.with_suffix(".msgpack")
    path.write_bytes(serialization.msgpack_serialize(tree))
    return path


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("write", [write_npz, pytest.param(write_msgpack, marks=pytest.mark.slow)])
def test_trees_of_flax(write: Callable[[Mapping[str, Any], Path], Path], name: str, path: Path) -> None:
    file = write(TREES[name], path)
    lines: list[str] = []
    assert_raw(weights_convert.read(file, report=lines.append))
    assert any("moving averages" in line for line in lines)
    averages = weights_convert.read(file, weights_key="ema")
    assert np.array_equal(averages.tensors[WITNESS], EMA[WITNESS])
    statistics = RAW if name in ("collections", "optax.ema") else EMA
    assert np.array_equal(averages.tensors["backbone.bn1.running_var"], statistics["backbone.bn1.running_var"])


def test_prefixes_in_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors_file.write_foreign({**under("model."), **under("ema.", EMA)}, path)
    assert_raw(weights_convert.read(path))
    assert np.array_equal(weights_convert.read(path, weights_key="ema").tensors[WITNESS], EMA[WITNESS])


@pytest.mark.parametrize("ending", [".safetensors", ".npz", ".pth"])
def test_a_runs_own_averages(ending: str, tmp_path: Path) -> None:
    recipe = TrainConfig(ema_decay=0.9)
    training = initial_state(CONFIG, recipe, RAW)
    slots = {
        name: array * np.float32(0.5) if name.startswith("average.") else array
        for name, array in training.slots.items()
    }
    training.slots = slots
    write_training(training, tmp_path / "last.safetensors")
    path = tmp_path / f"copy{ending}"
    weights_convert.convert(tmp_path / "last.safetensors", path)
    lines: list[str] = []
    assert_raw(weights_convert.read(path, report=lines.append))
    assert any("--weights-key average takes" in line for line in lines)
    averages = weights_convert.read(path, weights_key="average")
    assert np.array_equal(averages.tensors[WITNESS], EMA[WITNESS])
    assert np.array_equal(averages.tensors["backbone.bn1.running_var"], RAW["backbone.bn1.running_var"])
    assert not averages.extra_tensors
    assert "training" not in averages.source
    with pytest.raises(CheckpointError, match="it has the trained ones and average"):
        weights_convert.read(path, weights_key="ema")


# The command, and what is built on it.
def test_every_command_takes_the_key(path: Path, tmp_path: Path, capsys: Streams) -> None:
    save({"model": RAW, "ema": EMA}, path)
    out = tmp_path / "out.safetensors"
    assert run(["convert", str(path), str(out), "--json", "--weights-key", "ema"]) == 0
    assert np.array_equal(weights_convert.read(out).tensors[WITNESS], EMA[WITNESS])
    assert "weights: taken from ema, moving averages, by its name" in json.loads(capsys.readouterr().out)["lines"]
    assert run(["convert", str(path), str(out), "--force"]) == 0
    assert "left out: ema, moving averages, by its name; --weights-key ema takes it" in capsys.readouterr().err
    assert run(["inspect", str(path)]) == 0
    assert "model (taken), ema" in capsys.readouterr().out
    assert run(["inspect", str(path), "--json", "--weights-key", "ema"]) == 0
    actual = {each["key"]: each["taken"] for each in json.loads(capsys.readouterr().out)["weights"]}
    assert actual == {"model": False, "ema": True}
    for command in (["check", str(path)], ["predict", str(path), "--weights", str(path), "--out", str(tmp_path)]):
        backend = [] if command[0] == "check" else ["--backend", "torch"]
        assert run([*command, *backend, "--weights-key", "nothing"]) == 2
        assert "has no weights at 'nothing'; it has model, ema" in capsys.readouterr().err


def test_inspect_shows_sets_of_which_none_is_taken(path: Path, capsys: Streams) -> None:
    save({"best": RAW, "last": EMA}, path)
    with pytest.raises(CheckpointError, match="choose one with --weights-key best or --weights-key last"):
        weights_convert.read(path)
    assert run(["inspect", str(path)]) == 0
    out, error = capsys.readouterr()
    assert re.search("weights +best, last", out)
    choose = "holds 2 different sets of weights; choose one with --weights-key best or --weights-key last"
    assert error.splitlines()[0] == f"{choose}. The rest describes best"
    assert run(["inspect", str(path), "--json"]) == 0
    actual = json.loads(capsys.readouterr().out)
    assert [(each["key"], each["taken"]) for each in actual["weights"]] == [("best", False), ("last", False)]
    save({"a": {"net": RAW}, "b": {"net": EMA}}, path)
    assert run(["inspect", str(path), "--weights-key", "net"]) == 2
    assert "choose one with --weights-key a.net or --weights-key b.net" in capsys.readouterr().err


def test_training_begins_from_the_set_that_is_named(path: Path, tmp_path: Path, capsys: Streams) -> None:
    pytest.importorskip("grain")
    from danet_cli.train.plan import RunOptions, make_plan

    save({"model": RAW, "ema": EMA}, path)
    fields: dict[str, Any] = dict.fromkeys(RunOptions.__dataclass_fields__)
    fields |= {"data": "scenes:2", "settings": ["crop=32x32"], "weights_key": "ema"}
    for option in ({"network": str(path)}, {"network": "danet_tiny", "backbone": path}):
        _, draw = make_plan(RunOptions(**{**fields, **option}))
        assert np.array_equal(draw().tensors[WITNESS], EMA[WITNESS])
    write_checkpoint(Checkpoint(CONFIG, initial_tensors(CONFIG)), tmp_path / "one.safetensors")
    arguments = ["--network", str(path), "--backbone", str(tmp_path / "one.safetensors"), "--weights-key", "ema"]
    common = ["train", "--data", "scenes:2", "--backend", "torch", "--out", str(tmp_path / "run")]
    capsys.readouterr()
    assert run([*common, *arguments]) == 2
    assert "--weights-key is for one file" in capsys.readouterr().err


def test_averages_of_a_keras_optimizer_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    weights_convert.write(Checkpoint(CONFIG, RAW), path)
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    model = json.loads(records["config.json"])
    model["compile_config"] = {"optimizer": {"class_name": "SGD", "config": {"use_ema": True}}}
    records["config.json"] = json.dumps(model).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, record in records.items():
            archive.writestr(name, record)
    lines: list[str] = []
    assert_raw(weights_convert.read(path, report=lines.append))
    assert any("moving averages (use_ema)" in line and "finalize_variable_values" in line for line in lines)
    with pytest.raises(CheckpointError, match="has no weights at 'ema'"):
        weights_convert.read(path, weights_key="ema")


def test_the_blocks_of_a_deep_network_are_no_beginnings_of_their_own() -> None:
    table = parameters(VARIANTS["danet_r101"])
    zeros = np.zeros((), np.float32), np.zeros((), np.int64)
    tensors = {name: np.broadcast_to(zeros[each.kind == "count"], each.shape) for name, each in table.items()}
    learned = {name: tensors[name] for name, each in table.items() if each.trainable}
    squeezed = {"ema_" + name.replace(".", "_"): array for name, array in learned.items()}
    actual = find_places(Contents({**tensors, **squeezed, **under("second.ema.", tensors)})).sets
    assert [place.label for place in actual] == [".", "second.ema", "ema"]
