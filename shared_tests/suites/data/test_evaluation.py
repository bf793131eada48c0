"""Evaluation by the published protocols: against their definitions in plain loops, and the same in every framework."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import danet_common.evaluation
from danet_common import VARIANTS
from danet_common.data import DataError, Dataset, Sample, open_dataset
from danet_common.data.dataset import log_remark
from danet_common.evaluation import (
    PROTOCOLS,
    Protocol,
    evaluate,
    fitting_window,
    get_protocol,
    predict_labels,
    prediction,
)
from danet_common.evaluation.metrics import scores
from danet_common.evaluation.protocols import MMSEG_SCALES, cut_to_fit
from danet_common.evaluation.windows import batch_size, place_windows
from danet_common.numerics import interpolation
from shared_tests.fixtures.synthetic import synthetic_array
from shared_tests.reference import operations
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.suites.data import slow_evaluation

TINY = VARIANTS["danet_tiny"]
SCENES = open_dataset("scenes:6", "val")
CONFIG = TINY.replace(num_classes=7, class_names=SCENES.names, palette=SCENES.palette)
CLASSES = 5
TOY = TINY.replace(num_classes=CLASSES)
GRIDS = ("corners", "half_pixel", "asymmetric")

MIXING = synthetic_array("evaluation mixing", (3, 3, 3, CLASSES)).astype(np.float64)
CONTEXT = synthetic_array("evaluation context", (3, CLASSES)).astype(np.float64)


def toy(picture: np.ndarray) -> np.ndarray:
    """A network in NumPy: an uneven 3x3 filter, and the mean of all it sees. Windows and mirroring change it."""
    padded = np.pad(picture.astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    near = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    return np.einsum("hwcij,ijck->hwk", near, MIXING) + picture.mean(axis=(0, 1)) @ CONTEXT


def toy_infer(pictures: np.ndarray) -> np.ndarray:
    return np.stack([toy(picture) for picture in pictures])


def even_infer(pictures: np.ndarray) -> np.ndarray:
    """Scores from the pixel alone: neither windows nor mirroring change them."""
    return pictures.astype(np.float64) @ CONTEXT


def noise(height: int, width: int) -> np.ndarray:
    """An image with structure at every scale."""
    return (synthetic_array(f"evaluation {height}x{width}", (height, width, 3)) * 127 + 128).astype(np.uint8)


SIZES = ((13, 22), (22, 13), (9, 9), (30, 11), (7, 24))


# Named protocols in small, and their definitions with the same numbers. 24 and 10 stand for 2048 and 768, and so on.
def small(name: str) -> Protocol:
    """A named protocol with small numbers in the place of its large ones."""
    protocol = PROTOCOLS[name]
    changes: dict[str, Any] = {}
    if protocol.long_side is not None:
        changes["long_side"] = 24
    if protocol.short_side is not None:
        changes["short_side"] = 12
    if name.startswith("official"):
        changes |= {"window": (10, 10), "stride": (5, 5) if halves(protocol) else (6, 6)}
    elif protocol.window is not None:
        changes |= {"window": (9, 9), "stride": (6, 6)}
    if len(protocol.scales) > 1:
        changes["scales"] = (0.4, 1.0, 1.3)
    return protocol.replace(**changes)


def halves(protocol: Protocol) -> bool:
    """True where the windows move by half of themselves."""
    assert protocol.window is not None
    assert protocol.stride is not None
    return 2 * protocol.stride[0] == protocol.window[0]


def defined(name: str, image: np.ndarray) -> np.ndarray:
    """The scores of `small(name)` from its definition."""
    several = (0.4, 1.0, 1.3) if name.endswith("multi-scale") else (1.0,)
    flips = (False, True) if name.endswith(("multi-scale", "flip")) else (False,)
    if name.startswith("official"):
        rate = 1.0 / 2.0 if halves(PROTOCOLS[name]) else 2.0 / 3.0
        return slow_evaluation.official(toy, image, 24, 10, several, flip=True, rate=rate)
    if name.startswith("mmseg"):
        window, stride = ((9, 9), (6, 6)) if "769" in name else (None, None)
        return slow_evaluation.mmseg(toy, image, (24, 12), several, flips, True, window, stride)
    if name.startswith("paddleseg"):
        return slow_evaluation.paddleseg(toy, image, several, flips)
    exponential = np.exp(toy(slow_evaluation.normalised(image)))
    return exponential / exponential.sum(axis=2, keepdims=True)


OTHERS = {  # what no publication does under a name of its own
    "paddleseg with windows": (
        PROTOCOLS["paddleseg"].replace(scales=(0.6, 1.0), flip=True, window=(8, 10), stride=(5, 7)),
        lambda image: slow_evaluation.paddleseg(toy, image, (0.6, 1.0), (False, True), (8, 10), (5, 7)),
    ),
    "official without flip": (
        small("official").replace(flip=False),
        lambda image: slow_evaluation.official(toy, image, 24, 10, (1.0,), flip=False, rate=2.0 / 3.0),
    ),
}
Definition = Callable[[np.ndarray], np.ndarray]
CASES: dict[str, tuple[Protocol, Definition]] = OTHERS | {
    name: (small(name), lambda image, name=name: defined(name, image)) for name in PROTOCOLS
}


@cache
def expected(case: str, height: int, width: int) -> np.ndarray:
    """The scores of a case's definition, computed once."""
    return CASES[case][1](noise(height, width))


def assert_as_defined(case: str, height: int, width: int, module: Any = prediction) -> None:
    """Scores and labels are those of the definition, but for float32 pictures."""
    image, expected_values, protocol = noise(height, width), expected(case, height, width), CASES[case][0]
    views = 1 if protocol.merge == "exponentials" else protocol.views  # the authors sum, the others average
    actual = module.summed_views(toy_infer, image, protocol, TOY) / views
    np.testing.assert_allclose(actual, expected_values, rtol=1e-4, atol=1e-5)
    labels = module.predict_labels(toy_infer, image, protocol, TOY)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, expected_values.argmax(axis=2))


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("case", CASES)
def test_every_protocol_is_as_its_source_defines_it(case: str, height: int, width: int) -> None:
    assert_as_defined(case, height, width)


# Bugs: file of danet_common.evaluation, what stands there, what would be wrong.
MUTATIONS = {
    "the stride is one more": ("windows", "min(index * step, last)", "min(index * (step + 1), last)"),
    "the last window is not moved back": ("windows", 'length - side if edge == "shift" else length', "length"),
    "windows are counted as one": ("prediction", "windows.counts(top, next_top, width)", "np.ones((1, 1))"),
    "what windows below share is lost": ("prediction", "band[: len(left_over)] += left_over", "pass"),
    "the mirrored scores are not turned back": ("prediction", "scores[:, ::-1] if mirrored else scores", "scores"),
    "the mirrored picture is not mirrored": ("prediction", "picture[:, ::-1] if mirrored else picture", "picture"),
    "the mirrored window's logits are not turned back": ("prediction", "[:, :, ::-1]))[:, :, ::-1]", "[:, :, ::-1]))"),
    "windows are mirrored upside down": ("prediction", "pictures[:, :, ::-1]", "pictures[:, ::-1]"),
    "exponentials are not taken": ("prediction", "np.exp(np.minimum(", "np.abs(np.minimum("),
    "probabilities are not taken": ("prediction", 'protocol.merge == "probabilities"', "False"),
    "the picture is filled with grey": ("prediction", "black = -np", "black = 0 * np"),
    "bytes are cut, not rounded": ("interpolation", " + denominator) // (2 * denominator)", ") // (2 * denominator)"),
    "bytes are never rounded": ("prediction", "if protocol.bytes_first:", "if False:"),
    "pictures are resized on the scores' grid": (
        "prediction",
        "*size, protocol.image_grid)\n\n",
        "*size, 'corners')\n\n",
    ),
    "scores are resized on the network's grid": ("prediction", "protocol.score_grid or config", "config"),
    "the weights are exchanged": ("interpolation", "denominator - rest, rest,", "rest, denominator - rest,"),
}


def mutated(file: str, old: str, new: str) -> Any:
    """`prediction` with a bug in one of the files that it is made of."""
    packages = {"interpolation": "numerics", "windows": "evaluation", "prediction": "evaluation"}
    modules = {name: types.ModuleType(name) for name in packages}
    for name, module in modules.items():
        text = Path(str(import_module(f"danet_common.{packages[name]}.{name}").__file__)).read_text()
        if name == file:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        for other in ("interpolation", "windows"):
            text = text.replace(f"danet_common.{packages[other]}.{other}", f"mutated_{other}")
        sys.modules[f"mutated_{name}"] = module
        exec(compile(text, name, "exec"), module.__dict__)
    for name in modules:
        del sys.modules[f"mutated_{name}"]
    return modules["prediction"]


@pytest.mark.parametrize("bug", MUTATIONS)
def test_every_seeded_bug_is_seen(bug: str) -> None:
    module, seen = mutated(*MUTATIONS[bug]), False
    for case in CASES:
        try:
            assert_as_defined(case, 13, 22, module)
        except (AssertionError, ValueError, IndexError):
            seen = True
            break
    assert seen


def test_the_mutation_machine_itself_changes_nothing() -> None:
    module = mutated("prediction", "import numpy as np", "import numpy as np")
    for case in CASES:
        assert_as_defined(case, 13, 22, module)


def test_named_protocols_have_the_published_numbers() -> None:
    official, slide = PROTOCOLS["official"], PROTOCOLS["mmseg-769"]
    assert (official.long_side, official.window, official.stride) == (2048, (768, 768), (int(768 * (2.0 / 3.0)),) * 2)
    assert (slide.long_side, slide.short_side, slide.window, slide.stride) == (2048, 1024, (769, 769), (513, 513))
    several = PROTOCOLS["official-multi-scale"]
    assert several.scales == (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.2)
    assert (several.long_side, several.window, several.stride) == (2048, (1024, 1024), (512, 512))
    assert official.flip
    assert several.flip
    for name, base, crop in (("official-520-480", 520, 480), ("official-608-576", 608, 576)):
        assert (PROTOCOLS[name].long_side, PROTOCOLS[name].window) == (base, (crop, crop))
        assert PROTOCOLS[name].stride == (int(crop * (2.0 / 3.0)),) * 2
    assert (PROTOCOLS["mmseg-2048x512"].long_side, PROTOCOLS["mmseg-2048x512"].short_side) == (2048, 512)
    assert MMSEG_SCALES == (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    frame = place_windows((1024, 2048), official)
    assert (frame.tops, frame.lefts, frame.covered) == ([0, 512], [0, 512, 1024, 1536], (1280, 2304))
    frame = place_windows((1024, 2048), slide)
    assert (frame.tops, frame.lefts) == ([0, 255], [0, 513, 1026, 1279])


@pytest.mark.parametrize("edge", ["shift", "pad"])
def test_windows_cover_every_pixel(edge: Any) -> None:
    generator = np.random.default_rng(0)

    def draw(first: int, last: int) -> int:
        return int(generator.integers(first, last + 1))

    for _ in range(400):
        window = draw(1, 11), draw(1, 11)
        stride = draw(1, window[0]), draw(1, window[1])
        near = max(1, window[0] + draw(-2, 2)), max(1, window[1] + draw(-2, 2))  # smaller, equal, one more
        size = near if draw(0, 1) else (draw(1, 40), draw(1, 40))
        placed = place_windows(size, Protocol(window=window, stride=stride, edge=edge))
        counted = np.zeros(placed.covered, int)
        for top in placed.tops:
            for left in placed.lefts:
                counted[top : top + placed.size[0], left : left + placed.size[1]] += 1
        assert counted.min() >= 1
        assert all(covered >= side for covered, side in zip(placed.covered, size, strict=True))
        assert np.array_equal(placed.counts(0, placed.covered[0], placed.covered[1]), counted)
        if edge == "shift":
            assert placed.covered == size
        else:
            assert placed.size == window
            assert all(start < side for start, side in ((placed.tops[-1], size[0]), (placed.lefts[-1], size[1])))


@pytest.mark.parametrize("merge", ["logits", "probabilities", "exponentials"])
@pytest.mark.parametrize("edge", ["shift", "pad"])
def test_what_sees_single_pixels_is_changed_by_no_window_and_no_mirror(merge: Any, edge: Any) -> None:
    image, once = noise(17, 23), Protocol(merge=merge)
    expected_values = prediction.summed_views(even_infer, image, once, TOY)
    every = once.replace(window=(6, 8), stride=(4, 3), edge=edge, flip=True)
    actual = prediction.summed_views(even_infer, image, every, TOY)
    if merge == "exponentials":  # of the sum of two equal logits
        expected_values = expected_values**2
    np.testing.assert_allclose(actual / every.views, expected_values, rtol=1e-12)


@pytest.mark.parametrize("merge", ["logits", "probabilities", "exponentials"])
def test_mirroring_the_image_mirrors_the_labels(merge: Any) -> None:
    image, protocol = noise(14, 20), Protocol(merge=merge, flip=True)
    labels = predict_labels(toy_infer, image, protocol, TOY)
    assert np.array_equal(predict_labels(toy_infer, image[:, ::-1], protocol, TOY), labels[:, ::-1])
    alone = protocol.replace(flip=False)
    assert not np.array_equal(
        predict_labels(toy_infer, image[:, ::-1], alone, TOY), predict_labels(toy_infer, image, alone, TOY)[:, ::-1]
    )


@pytest.mark.parametrize("window", [(12, 19), (12, 40), (50, 19), (100, 100)])
def test_one_window_is_the_whole(window: tuple[int, int]) -> None:
    image, whole = noise(12, 19), Protocol(merge="logits")
    slid = whole.replace(window=window, stride=window)
    first, second = (prediction.summed_views(toy_infer, image, protocol, TOY) for protocol in (whole, slid))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("grid", GRIDS)
def test_resizing_is_that_of_the_reference(grid: str) -> None:
    generator = np.random.default_rng(1)
    for height, width, rows, columns in [(5, 7, 5, 7), (5, 7, 150, 9), (13, 8, 4, 3), (1, 1, 6, 5), (6, 5, 1, 1)]:
        x = generator.normal(size=(height, width, 3))
        expected_values = operations.resize(x.transpose(2, 0, 1)[None], rows, columns, grid)[0].transpose(1, 2, 0)
        np.testing.assert_allclose(
            interpolation.resize(x, rows, columns, grid), expected_values, rtol=1e-12, atol=1e-12
        )


def test_batches_divide_windows_evenly_and_stay_small() -> None:
    assert batch_size(8, (769, 769), TINY) == 2  # three would fit, and leave two
    assert batch_size(7, (769, 769), TINY) == 1
    assert batch_size(8, (4096, 4096), TINY) == 1
    assert batch_size(12, (64, 64), TINY) == 12
    seen: list[int] = []

    def counting(pictures: np.ndarray) -> np.ndarray:
        seen.append(len(pictures))
        return even_infer(pictures)

    predict_labels(counting, noise(20, 33), Protocol(window=(8, 8), stride=(8, 8)), TOY)
    assert seen == [5, 5, 5]


def test_large_logits_stay_in_order() -> None:
    def large(pictures: np.ndarray) -> np.ndarray:
        return (even_infer(pictures) * 40).astype(np.float32)  # exp of them is infinite in float32

    image = noise(9, 11)
    labels = predict_labels(large, image, Protocol(merge="exponentials", flip=True), TOY)
    assert np.array_equal(labels, predict_labels(even_infer, image, Protocol(), TOY))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"merge": "votes"}, "merge must be one of"),
        ({"edge": "reflect"}, "edge must be one of"),
        ({"image_grid": "nearest"}, "image_grid must be one of"),
        ({"score_grid": "nearest"}, "score_grid must be one of None"),
        ({"scales": ()}, "scales must be"),
        ({"scales": (1.0, 0.0)}, "scales must be"),
        ({"scales": (float("nan"),)}, "scales must be"),
        ({"scales": (float("inf"),)}, "scales must be"),
        ({"long_side": 0}, "long_side must be"),
        ({"window": (4, 4)}, "window and stride go together"),
        ({"window": (4, 4), "stride": (5, 4)}, "stride must be from 1 to the side of the window"),
        ({"window": (4, 4), "stride": (4, 0)}, "stride must be from 1 to the side of the window"),
    ],
)
def test_what_is_no_protocol_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Protocol(**fields)


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(ValueError, match="unknown protocol 'offical'; known: auto, whole, official"):
        get_protocol("offical")


def test_a_renamed_function_names_the_new_one() -> None:
    with pytest.raises(AttributeError, match="it is fitting_window now"):
        danet_common.evaluation.fitting_protocol  # noqa: B018


def test_pictures_that_fit_are_whole() -> None:
    assert fitting_window(TINY, (1024, 1024)) is fitting_window(TINY, (8, 4096)) is None
    assert fitting_window(TINY, (8, 4097)) == (1024, 1024)
    assert fitting_window(TINY, (1024, 1025)) == (1024, 1024)
    assert fitting_window(TINY.replace(output_stride=16), (2048, 2048)) is None
    auto = PROTOCOLS["auto"]
    assert cut_to_fit(auto, TINY, (1024, 1024)) == auto
    assert cut_to_fit(auto, TINY, (1024, 1025)).stride == (682, 682)
    assert cut_to_fit(auto.replace(window=(64, 64), stride=(42, 42)), TINY, (2048, 2048)).window == (64, 64)
    assert cut_to_fit(PROTOCOLS["whole"], TINY, (4096, 4096)).window is None


@pytest.mark.parametrize(
    ("fields", "scale", "expected_values"),
    [
        ({"short_side": 12}, 1.0, (12, 20)),
        ({"short_side": 12}, 0.5, (6, 10)),
        ({"long_side": 40}, 1.0, (24, 40)),
        ({"long_side": 40, "short_side": 12}, 1.0, (12, 20)),
        ({"long_side": 10, "short_side": 12}, 1.0, (6, 10)),
    ],
)
def test_sides(fields: dict[str, int], scale: float, expected_values: tuple[int, int]) -> None:
    protocol = Protocol(**fields)  # type: ignore[arg-type]
    assert protocol.input_size((30, 50), scale) == expected_values
    assert protocol.input_size((50, 30), scale) == expected_values[::-1]


# What evaluate makes of a data set, with the toy in a network's place.
def scenes_infer(pictures: np.ndarray) -> np.ndarray:
    return np.concatenate([toy_infer(pictures), even_infer(pictures)[..., :2]], axis=3)


@pytest.mark.needs("grain")
def test_shards_sum_to_the_whole_and_limit_is_of_all() -> None:
    whole = evaluate(scenes_infer, SCENES, Protocol(), CONFIG)
    labelled = sum(int((SCENES.item(index).labels != 255).sum()) for index in range(len(SCENES)))
    assert whole.sum() == labelled
    parts = [evaluate(scenes_infer, SCENES, Protocol(), CONFIG, shard_index=i, shard_count=4) for i in range(4)]
    assert np.array_equal(sum(parts), whole)
    limited = [
        evaluate(scenes_infer, SCENES, Protocol(), CONFIG, shard_index=i, shard_count=4, limit=3) for i in range(4)
    ]
    assert limited[3].sum() == 0
    names: list[str] = []
    first = evaluate(scenes_infer, SCENES, Protocol(), CONFIG, limit=3, report=lambda name, matrix: names.append(name))
    assert np.array_equal(sum(limited), first)
    assert names == list(SCENES.item_names[:3])
    assert np.array_equal(evaluate(scenes_infer, SCENES, Protocol(), CONFIG, limit=100), whole)


class Void(Dataset):
    """Two items without a label."""

    def __init__(self) -> None:
        super().__init__("void", SCENES.classes, ["a", "b"])

    def item(self, index: int) -> Sample:
        sample = SCENES.item(index)
        return replace(sample, labels=np.full_like(sample.labels, 255))

    def check(self, limit: int | None = None, log: Callable[[str], None] = log_remark) -> None:
        pass


@pytest.mark.needs("grain")
def test_void_alone_gives_zeros() -> None:
    matrix = evaluate(scenes_infer, Void(), Protocol(), CONFIG)
    assert matrix.dtype == np.int64
    assert not matrix.any()
    assert scores(matrix).mean_iou == 0


def test_other_classes_are_refused_naming_both() -> None:
    with pytest.raises(ValueError, match="the network has 19 classes, scenes val has 7"):
        evaluate(scenes_infer, open_dataset("scenes", "val"), Protocol(), TINY)


@pytest.mark.needs("grain")
def test_an_item_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    (tmp_path / "classes.txt").write_text("\n".join(SCENES.names))
    (tmp_path / "images" / "broken.jpg").write_bytes(b"none")
    with pytest.raises(DataError, match=r"broken\.jpg"):
        evaluate(scenes_infer, open_dataset(f"folder:{tmp_path}", "val"), Protocol(), CONFIG)


# The three networks.
EVERYWHERE = {
    "whole": Protocol(),
    "official": PROTOCOLS["official"].replace(long_side=112, window=(64, 64), stride=(42, 42)),
    "mmseg": PROTOCOLS["mmseg"].replace(long_side=128, short_side=80, scales=(0.5, 1.0), flip=True),
}
PRACTICE = "shared_tests.suites.data.evaluating"


def asked(backend: str, weights: str, *names: str) -> dict[str, Any]:
    """Return the work of a framework, for the protocols of these names."""
    protocols = {name: EVERYWHERE[name].to_dict() for name in names}
    return {"backend": backend, "weights": weights, "data": "scenes:2", "protocols": protocols}


@pytest.mark.needs("grain")
def test_frameworks_give_the_same_figures(start: Start, checkpoint_of: Any) -> None:
    """By windows of one size, for which each framework compiles once."""
    assert_same_figures(start, checkpoint_of(CONFIG), "official")


@pytest.mark.slow
def test_frameworks_give_the_same_figures_by_every_procedure(start: Start, checkpoint_of: Any) -> None:
    assert_same_figures(start, checkpoint_of(CONFIG), *EVERYWHERE)


def assert_same_figures(start: Start, weights: str, *names: str) -> None:
    """In float32: mean IoU and accuracies are equal to four decimals."""
    actual = {
        backend: start(backend).call_function("confusion", asked(backend, weights, *names), {}, PRACTICE)["matrix"]
        for backend in NETWORKS
    }
    for name in names:
        torch = actual["torch"][name]
        for other in (actual["tf"][name], actual["jax"][name]):
            assert other.sum() == torch.sum() > 0
            for figure in ("mean_iou", "mean_accuracy", "pixel_accuracy"):
                assert abs(getattr(scores(other), figure) - getattr(scores(torch), figure)) < 5e-5, figure


@pytest.mark.slow
def test_frameworks_give_the_same_labels_in_float64(start: Start, checkpoint_of: Any) -> None:
    actual = {}
    for backend in NETWORKS:
        fields = asked(backend, checkpoint_of(CONFIG), "official") | {"dtype": "float64"}
        images = {"images": {"street": noise(45, 70)}}
        actual[backend] = start(backend).call_function("labels", fields, images, PRACTICE)["official"]["street"]
    assert len(np.unique(actual["torch"])) > 1
    assert np.array_equal(actual["torch"], actual["tf"])
    assert np.array_equal(actual["torch"], actual["jax"])
