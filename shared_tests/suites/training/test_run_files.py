"""Each wrong value in a run's files is named in one line, with its file and field."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from danet_common import CheckpointError
from danet_common.checkpoint.lazy import open_checkpoint
from danet_common.config.recipe import TrainConfig
from danet_common.config.typed_json import from_json
from danet_common.data import Augmentation
from danet_common.extras import TRAINING
from danet_common.files.strict_json import parse_json
from danet_common.training.folder import RunFolder
from danet_common.training.lock import RunError
from danet_common.training.metrics_file import MetricsFile
from danet_common.training.plan import Intervals, RunPlan
from danet_common.training.training_checkpoint import training_of, write_training
from shared_tests.suites.training.test_resume import PLAN, begin

DEEP: Any = 1
for _ in range(200):
    DEEP = [DEEP]
WRONG: tuple[Any, ...] = (
    *(None, True, "x", "", "\x1b[2J\n", "a\0b", "9" * 20_000, -1, 0, 0.5, 1e300, -1e300, 10**30, 10**300),
    *([], [1], {}, {"a": 1}, [[["x"]]], DEEP, {"\x1b]0;": 0}),
)
BAD_TEXTS: tuple[bytes, ...] = (
    *(b"", b"\xff\xfe{}", b"[" * 100_000, b'{"a":' * 100_000, b"null", b"[]", b'"text"', b"{}"),
    *(b'{"step": NaN}', b'{"step": Infinity}', b'{"step": 1, "step": 1}', b'{"step": ' + b"9" * 100_000 + b"}"),
)

Path_ = tuple[str | int, ...]


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The path of every field of a JSON value, and of the first item of every list."""
    if path:
        yield path
    items: list[Any] = list(value.items()) if isinstance(value, dict) else []
    if isinstance(value, list):
        items = list(enumerate(value))[:1]
    for name, item in items:
        yield from places(item, (*path, name))


def changed(value: Any, path: Path_, new: Any) -> Any:
    """A copy with one field changed."""
    result = copy.deepcopy(value)
    inner = result
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = new
    return result


def wrong_values(value: Any) -> Iterator[tuple[Path_, Any]]:
    """Every field with every wrong value, with an unknown field beside it, and without it."""
    for path in places(value):
        for new in WRONG:
            yield path, changed(value, path, new)
        if isinstance(path[-1], str):
            yield path, changed(value, (*path[:-1], "unheard_of"), 1)
            gone = copy.deepcopy(value)
            inner = gone
            for name in path[:-1]:
                inner = inner[name]
            del inner[path[-1]]
            yield path, gone


def field_of(path: Path_) -> str:
    """The last name of a path: what the error must say."""
    return next(str(name) for name in reversed(path) if isinstance(name, str))


def refused(read: Callable[[], Any], file: Path, path: Path_) -> bool:
    """True if reading ends in one printable line that begins with the file and names the field or the one around it."""
    try:
        read()
    except ValueError as error:
        text = str(error)
        assert text.startswith(f"{file}: "), (path, text)
        assert text.isprintable(), (path, text)
        assert len(text) < len(str(file)) + 1500, (path, text)
        named = [str(name) for name in path if isinstance(name, str)]
        named = [*named[-2:], "unheard_of", "class_weights"]  # one of config's depends on the classes
        assert any(name in text.removeprefix(str(file)) for name in named), (path, text)
        return True
    return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of which every field that may be absent is there."""
    recipe = TrainConfig(steps=11, batch_size=2, class_weights=(1.0,) * 7, clip_norm=1.0, ohem_threshold=0.7)
    names = tuple("abcdefg")
    palette = tuple((index, 0, 0) for index in range(7))
    config = PLAN.config.replace(class_names=names, palette=palette, multi_grid=(1, 2))
    microbatches: dict[str, Any] = {"config": config, "recipe": recipe}
    microbatches["augmentation"] = Augmentation(crop=(9, 11), base=(14, 12))
    plan = dataclasses.replace(PLAN, **microbatches, recipe_name="x", backbone="y")
    folder = begin(tmp_path_factory.mktemp("runs") / "run", plan)
    training = folder.read_last(plan)
    losses = [dict.fromkeys(("loss", *config.outputs), 1.5)] * 2
    training.data = {**training.data, "best": {"step": 5, "mean_iou": 0.25}, "validated": 5, "losses": losses}
    training.data["loader"]["step"] = training.step = 6
    training.source = {"backend": "torch"}
    write_training(training, folder.last)
    return folder


def includes(read: Any, given: Any) -> bool:
    """True if what was read is what was given; fields that were left out have their defaults."""
    if isinstance(given, dict):
        return all(name in read and includes(read[name], value) for name, value in given.items())
    if isinstance(given, list):
        return len(read) == len(given) and all(map(includes, read, given))
    return bool(read == (float(given) if type(read) is float else given))


@pytest.mark.needs(*TRAINING)
def test_every_field_of_the_plan(folder: RunFolder, tmp_path: Path) -> None:
    other, count = RunFolder(tmp_path), 0
    for path, content in wrong_values(json.loads(folder.plan.read_text())):
        if count % 20 == 0:  # through the file; the rest only what is made of its text
            other.plan.write_text(json.dumps(content))
        read = other.read_plan if count % 20 == 0 else partial(as_in_a_file, content, other.plan)
        count += 1
        if not refused(read, other.plan, path):  # such as null for what may be absent
            assert includes(json.loads(json.dumps(read().to_dict())), content), path
    assert count > 1500


def as_in_a_file(content: Any, file: Path) -> RunPlan:
    try:
        return RunPlan.from_dict(content)
    except ValueError as error:
        raise RunError(f"{file}: {error}") from None


def test_every_field_of_the_state(folder: RunFolder) -> None:
    plan, stored = folder.read_plan(), open_checkpoint(folder.last)
    accepted: list[tuple[Path_, Any]] = []
    count = 0
    whole = json.loads(json.dumps(stored.source))
    for path, source in wrong_values(whole):
        count += 1

        def read(source: Any = source) -> Any:
            return folder.of_this_run(training_of(dataclasses.replace(stored, source=source), folder.last), plan)

        if not refused(read, folder.last, path):
            accepted.append((path, source))
    assert count > 1200
    free = {"backend", "validation", "dataset", "steps", "best", "mean_iou", "losses", "loss", "validated"}
    for path, source in accepted:
        if field_of(path) not in {*free, *plan.config.outputs}:  # left out, and the default; or 0 for 0.0
            assert value_at(source, path) in (None, value_at(whole, path)), path


def value_at(value: Any, path: Path_) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else value[name]
    return value


def test_the_state_must_agree_with_the_plan(folder: RunFolder) -> None:
    plan, stored = folder.read_plan(), open_checkpoint(folder.last)
    source = json.loads(json.dumps(stored.source))
    data = ("training", "data")
    differing: list[tuple[Path_, Any, str]] = [
        (("training", "step"), 12, "training.step must be from 0 to recipe.steps, 11; got 12"),
        (("training", "step"), 5, "training.data.loader.step is 6; the run's step is 5"),
        ((*data, "loader", "seed"), 1, "training.data.loader.seed is 1; the recipe's seed is 0"),
        ((*data, "loader", "global_batch"), 4, "training.data.loader.global_batch is 4; the recipe's batch_size is 2"),
        ((*data, "loader", "augmentation", "flip"), 0.25, "loader.augmentation is not the run's augmentation"),
        ((*data, "validated"), 7, "training.data.validated is 7; the run's step is 6"),
        ((*data, "validated"), 4, "training.data.best.step is 5; the last validation was at step 4"),
        ((*data, "best"), None, "training.data.best is missing; the last validation was at step 5"),
        ((*data, "best", "mean_iou"), 1.5, "training.data.best.mean_iou must be from 0 to 1; got 1.5"),
        ((*data, "validation"), None, "training.data.validation is null; the run's val says otherwise"),
        ((*data, "losses"), source["training"]["data"]["losses"] * 2, "losses are of 4 steps; the run's step is 6"),
        ((*data, "losses", 0), {"loss": 1}, "training.data.losses[0] must have channel, fused, loss, position"),
        (("training", "recipe", "seed"), 1, "of another network or recipe than run.json says: recipe.seed"),
        (("backend",), "mxnet", "backend must be torch or tf or jax; got 'mxnet'"),
    ]
    for path, value, text in differing:
        wrong = dataclasses.replace(stored, source=changed(source, path, value))
        with pytest.raises((RunError, CheckpointError)) as error:
            folder.of_this_run(training_of(wrong, folder.last), plan)
        assert str(error.value).startswith(f"{folder.last}: "), error.value
        assert text in str(error.value)
    assert folder.of_this_run(training_of(stored, folder.last), plan).step == 6


def lines_of(folder: RunFolder) -> list[dict[str, Any]]:
    config = folder.read_plan().config
    losses = dict.fromkeys(("loss", *config.outputs), 2.5)
    iou: dict[str, float | None] = dict.fromkeys(config.class_names or (), 0.5)
    trained = {"losses": losses, "learning_rate": 0.1, "images_per_second": 3.5, "backend": "tf"}
    validated = {"mean_iou": 0.5, "pixel_accuracy": 0.75, "iou": iou | {"c": None}, "backend": "jax"}
    return [{"step": 4, **trained}, {"step": 5, **validated}]


def test_every_field_of_the_metrics(folder: RunFolder, tmp_path: Path) -> None:
    path, plan = tmp_path / "metrics.jsonl", folder.read_plan()

    def open_lines(lines: list[dict[str, Any]]) -> None:
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        MetricsFile(path, plan, 8, 8).close()

    lines = lines_of(folder)
    open_lines(lines)
    accepted: set[str] = set()
    for index, line in enumerate(lines):
        for place, content in wrong_values(line):
            given = [content if index == number else whole for number, whole in enumerate(lines)]
            if not refused(partial(open_lines, given), path, place):
                accepted.add(field_of(place))
    figures = {"step", "learning_rate", "images_per_second", "mean_iou", "pixel_accuracy", "iou"}
    assert accepted <= {*figures, *lines[0]["losses"], *lines[1]["iou"]}


@pytest.mark.parametrize("text", BAD_TEXTS, ids=lambda text: repr(text[:16]))
def test_texts_that_are_no_json(text: bytes, folder: RunFolder, tmp_path: Path) -> None:
    other = RunFolder(tmp_path)
    other.plan.write_bytes(text)
    with pytest.raises(RunError) as error:
        other.read_plan()
    other.metrics.write_bytes(text + b"\n")
    with pytest.raises(ValueError, match="no metrics file") as another:
        MetricsFile(other.metrics, folder.read_plan(), 8, 8)
    for file, actual in ((other.plan, error), (other.metrics, another)):
        assert str(actual.value).startswith(f"{file}: ")
        assert len(str(actual.value)) < 300
        assert "\n" not in str(actual.value)


@pytest.mark.parametrize("kind", [TrainConfig, Augmentation, Intervals])
def test_every_declared_field_is_read_by_its_type(kind: Any) -> None:
    """New fields of these classes are covered by their declaration."""
    whole = {"log": 1, "save": 1, "validate": 1} if kind is Intervals else {}
    for field in dataclasses.fields(kind):
        with pytest.raises(ValueError, match=rf"^place\.{field.name} must be .*; got an object of 1 items$"):
            from_json(kind, {**whole, field.name: {"a": 1}}, "place")
    with pytest.raises(ValueError, match=r"^place\.unheard_of is an unknown field; known: "):
        from_json(kind, {**whole, "unheard_of": 1}, "place")


def test_whole_numbers_of_any_length_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="more than 310 digits"):
        parse_json("1" * 4000)
    assert parse_json("1" * 300) == int("1" * 300)
