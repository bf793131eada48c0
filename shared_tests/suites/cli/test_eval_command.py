"""`danet eval`: table, JSON and picture, and what a user can get wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import danet_cli.evaluate.command
from danet_cli.main import run
from danet_common import VARIANTS, Checkpoint, write_checkpoint
from danet_common.config.recipe import TrainConfig
from danet_common.data import Augmentation, LabelSettings, open_dataset
from danet_common.data.image import normalise
from danet_common.evaluation import PROTOCOLS
from danet_common.evaluation.metrics import scores
from danet_common.extras import TRAINING
from danet_common.training.plan import Intervals, RunPlan
from shared_tests.fixtures.synthetic import synthetic_array, synthetic_tensors
from shared_tests.suites.cli.test_cli import assert_one_error

pytestmark = pytest.mark.needs(*TRAINING)

SCENES = open_dataset("scenes", "val")
CONFIG = VARIANTS["danet_tiny"].replace(num_classes=7, class_names=SCENES.names, palette=SCENES.palette)
MIXING = synthetic_array("eval command", (3, 7))
Streams = pytest.CaptureFixture[str]
SHORTAGES = (  # as NumPy, torch on a CPU and on a GPU, JAX and TensorFlow raise them
    MemoryError("Unable to allocate 27.9 GiB for an array"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: 288 bytes"),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has"),
    RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 15138905664 bytes."),
    Exception("Graph execution error:\n\nOOM when allocating tensor with shape[2,9] and type float"),
)
Evaluate = Callable[..., int]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    write_checkpoint(Checkpoint(CONFIG, synthetic_tensors(CONFIG)), path)
    return path


@pytest.fixture
def evaluate(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """The command with a product of matrices in the place of a framework's network."""

    def call(*arguments: str | Path, data: str = "scenes:4") -> int:
        network = SimpleNamespace(config=CONFIG)
        monkeypatch.setattr(danet_cli.evaluate.command, "import_backend", lambda name: ModuleType(name))
        monkeypatch.setattr(
            danet_cli.evaluate.command, "inferring", lambda *_: (network, lambda pictures: pictures @ MIXING)
        )
        return run(["eval", "--data", data, "--weights", str(weights), "--backend", "jax", *map(str, arguments)])

    return call


def test_a_table_for_people(evaluate: Evaluate, tmp_path: Path, capsys: Streams) -> None:
    assert evaluate("--out", tmp_path / "out", "--json", tmp_path / "report.json") == 0
    out, error = capsys.readouterr()
    assert error == ""
    report = json.loads((tmp_path / "report.json").read_text())
    for name, iou in report["iou"].items():
        assert any(line.split()[:2] == [name, f"{100 * iou:.2f}"] for line in out.splitlines()), name
    assert f"{100 * report['mean_iou']:.2f}" in out
    with Image.open(tmp_path / "out" / "confusion.png") as picture:
        assert min(picture.size) > 300


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "auto"),
        (["--flip"], "auto, flip=true"),
        (["--scales", "0.5,1", "--window", "96x96"], "auto, scales=0.5,1 window=96x96 stride=64x64"),
        (["--protocol", "whole", "--long-side", "64"], "whole, long_side=64"),
        (["--short-side", "32"], "auto, short_side=32"),
        (["--protocol", "mmseg", "--long-side", "96", "--short-side", "48"], "mmseg, long_side=96 short_side=48"),
        (["--protocol", "official", "--flip"], "official"),
    ],
)
def test_the_table_says_what_was_done(options: list[str], words: str, evaluate: Evaluate, capsys: Streams) -> None:
    assert evaluate("--limit", "1", *options) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("protocol"))
    assert line.removeprefix("protocol").strip() == words


def test_the_picture_says_of_how_many_it_is(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    monkeypatch.setattr(
        "danet_cli.evaluate.confusion.draw_confusion", lambda matrix, names, title, path: titles.append(title)
    )
    assert evaluate("--limit", "3", "--out", tmp_path) == 0
    assert evaluate("--out", tmp_path) == 0
    assert titles[0].startswith("scenes val, the first 3 of 4 images: mean IoU ")
    assert titles[1].startswith("scenes val: mean IoU ")


def test_json_says_what_was_done(evaluate: Evaluate, weights: Path, capsys: Streams) -> None:
    options = ["--protocol", "mmseg", "--scales", "0.5,1", "--flip", "--window", "96x96", "--limit", "3", "--json", "-"]
    assert evaluate(*options) == 0
    report = json.loads(capsys.readouterr().out)
    matrix = np.array(report["confusion"])
    assert report["mean_iou"] == scores(matrix).mean_iou
    assert report["pixels"] == matrix.sum() == sum(int((SCENES.item(i).labels != 255).sum()) for i in range(3))
    assert report["data"] | {"fingerprint": ""} == {"spec": "scenes:4", "split": "val", "images": 3, "fingerprint": ""}
    assert report["checkpoint"]["path"] == str(weights)
    expected = PROTOCOLS["mmseg"].replace(scales=(0.5, 1.0), flip=True, window=(96, 96), stride=(64, 64))
    assert report["protocol"] == {"name": "mmseg", **expected.to_dict()}
    assert report["images_per_second"] == pytest.approx(3 / report["seconds"])


def test_the_checkpoint_is_known_by_its_tensors(evaluate: Evaluate, weights: Path, capsys: Streams) -> None:
    """The same in any format, and another for other weights."""
    actual = []
    for path in (weights, weights.with_name("tiny.npz"), weights.with_name("other.safetensors")):
        if path.suffix == ".npz":
            assert run(["convert", str(weights), str(path)]) == 0
        elif path != weights:
            tensors = dict(synthetic_tensors(CONFIG))
            tensors["backbone.bn1.weight"] = tensors["backbone.bn1.weight"] * 2
            write_checkpoint(Checkpoint(CONFIG, tensors), path)
        capsys.readouterr()
        assert evaluate("--weights", path, "--limit", "1", "--json", "-") == 0
        actual.append(json.loads(capsys.readouterr().out)["checkpoint"]["sha256"])
    assert actual[0] == actual[1] != actual[2]


def test_other_classes_are_one_line(evaluate: Evaluate, tmp_path: Path, capsys: Streams) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("one\ntwo\n")
    Image.new("RGB", (4, 4)).save(tmp_path / "images" / "a.png")
    Image.new("L", (4, 4)).save(tmp_path / "labels" / "a.png")
    assert evaluate(data=f"folder:{tmp_path}") == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error == f"danet: the network has 7 classes, folder:{tmp_path} val has 2\n"


def write_folder(folder: Path, names: tuple[str, ...] = SCENES.names, label: int = 255) -> Path:
    """One image with one label everywhere."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    (folder / "classes.txt").write_text("\n".join(names))
    Image.new("RGB", (9, 6), (10, 200, 30)).save(folder / "images" / "a.png")
    Image.new("L", (9, 6), label).save(folder / "labels" / "a.png")
    return folder


def test_void_alone_is_refused_before_the_network_is_asked(evaluate: Evaluate, tmp_path: Path, capsys: Streams) -> None:
    folder = write_folder(tmp_path / "data")
    assert evaluate("--json", "-", data=f"folder:{folder}") == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert "all pixels of 1 label file are void: nothing to learn or judge; --set label_map=255:CLASS" in error
    assert evaluate("--json", "-", "--set", "label_map=255:3", data=f"folder:{folder}") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["pixels"], report["data"]["labels"]) == (54, ["label_map=255:3"])


def test_the_weights_of_a_run_are_judged_by_labels_as_the_run_read_them(
    evaluate: Evaluate, weights: Path, tmp_path: Path, capsys: Streams
) -> None:
    folder = write_folder(tmp_path / "data")
    intervals = Intervals(log=1, save=1, validate=1)
    plan = RunPlan(
        data="scenes", split="train", val=f"folder:{folder}", val_split="val", network="danet_tiny", backbone=None,
        recipe_name=None, config=CONFIG, recipe=TrainConfig(), augmentation=Augmentation(), intervals=intervals,
        version="0.1.0", labels=LabelSettings(label_map=((255, 2),)),
    )  # fmt: skip
    (weights.parent / "run.json").write_text(json.dumps(plan.to_dict()))
    assert evaluate("--json", "-", data=f"folder:{folder}") == 0
    out, error = capsys.readouterr()
    assert json.loads(out)["data"]["labels"] == ["label_map=255:2"]
    assert error.startswith(f"label_map=255:2, as the run {weights.parent} has it\n")
    assert evaluate("--set", "label_map=255:void", data=f"folder:{folder}") == 2
    other = write_folder(tmp_path / "other", label=3)
    assert evaluate("--json", "-", data=f"folder:{other}") == 0
    assert "labels" not in json.loads(capsys.readouterr().out)["data"]


@pytest.mark.parametrize("setting", ["label_map=x", "steps=3", "palette_labels=none", "label_map", "label_map=255:9"])
def test_a_setting_of_labels_that_there_is_not(
    setting: str, evaluate: Evaluate, tmp_path: Path, capsys: Streams
) -> None:
    assert evaluate("--set", setting, data=f"folder:{write_folder(tmp_path / 'data')}") == 2
    assert setting.partition("=")[0] in capsys.readouterr().err


def test_classes_without_a_labelled_pixel_are_named(evaluate: Evaluate, tmp_path: Path, capsys: Streams) -> None:
    """One class is labelled everywhere, one is predicted everywhere; the others are in neither."""
    folder = write_folder(tmp_path / "data", label=2)
    prediction = int(np.argmax(normalise(np.full((1, 1, 3), (10, 200, 30), np.uint8), CONFIG) @ MIXING))
    assert prediction != 2
    assert evaluate("--json", "-", data=f"folder:{folder}") == 0
    out, error = capsys.readouterr()
    report = json.loads(out)
    assert report["mean_iou"] == 0
    assert report["unlabelled_classes"] == [name for name in SCENES.names if name != SCENES.names[2]]
    wrong = SCENES.names[prediction]
    others = [name for name in SCENES.names if name not in (SCENES.names[2], wrong)]
    assert f"neither labelled nor predicted, and left out of the mean IoU: {', '.join(others)}\n" in error
    assert f"predicted but not labelled, with an IoU of 0 in the mean: {wrong}\n" in error


def test_a_split_without_labels_is_named_before_the_network_is_asked(
    evaluate: Evaluate, tmp_path: Path, capsys: Streams
) -> None:
    folder = write_folder(tmp_path / "data")
    (folder / "labels" / "a.png").unlink()
    assert evaluate(data=f"folder:{folder}") == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert "a.png: no such label file" in error
    assert len(error.splitlines()) == 1


def test_other_names_for_as_many_classes_are_noted(evaluate: Evaluate, tmp_path: Path, capsys: Streams) -> None:
    names = ("road", *SCENES.names[1:4], "sky", *SCENES.names[5:])
    assert evaluate("--json", "-", data=f"folder:{write_folder(tmp_path / 'data', names, 0)}") == 0
    assert "the network's class 0 is sky, the data's is road" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scales", "a,b"], ["--scales"]),
        (["--scales", "0"], ["scales"]),
        (["--scales", "1,nan"], ["scales"]),
        (["--window", "wide"], ["--window"]),
        (["--stride", "4x4"], ["window and stride"]),
        (["--window", "4x4", "--stride", "8x8"], ["stride"]),
        (["--protocol", "paper"], ["unknown protocol", "official"]),
        (["--split", "night"], ["night", "train, val, test"]),
        (["--limit", "0"], ["--limit"]),
        (["--long-side", "0"], ["--long-side"]),
        (["--json", "absent/report.json"], ["report.json"]),
        (["--out", __file__], ["--out", "is a file, not a folder"]),
        (["--data", "kitti:data"], ["unknown data set", "cityscapes:PATH"]),
        (["--weights", "absent.safetensors"], ["absent.safetensors"]),
    ],
    ids=" ".join,
)
def test_wrong_options_are_one_line(
    arguments: list[str], words: list[str], evaluate: Evaluate, capsys: Streams
) -> None:
    assert evaluate(*arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert len(error.splitlines()) == 1
    for word in words:
        assert word in error


def test_a_report_that_may_not_be_written_is_said_before_the_work(
    evaluate: Evaluate, tmp_path: Path, capsys: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    assert evaluate("--json", tmp_path / "report.json") == 2
    assert capsys.readouterr().err == f"danet: {tmp_path / 'report.json'}: {tmp_path}: permission denied\n"


def test_what_draws_is_looked_for_before_the_work(
    evaluate: Evaluate, tmp_path: Path, capsys: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("danet_cli.evaluate.steps.confusion", lambda *_: pytest.fail("evaluated first"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert evaluate("--out", tmp_path / "out") == 2
    assert_one_error(capsys, "matplotlib")


@pytest.mark.parametrize("output", SHORTAGES)
def test_too_little_memory_is_one_line(
    output: Exception, evaluate: Evaluate, capsys: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    def confusion(*arguments: object) -> None:
        raise output

    monkeypatch.setattr("danet_cli.evaluate.steps.confusion", confusion)
    assert evaluate() == 2
    assert_one_error(capsys, "out of memory", "--window")


def test_other_errors_are_bugs(evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch) -> None:
    def confusion(*arguments: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("danet_cli.evaluate.steps.confusion", confusion)
    with pytest.raises(RuntimeError, match="shapes differ"):
        evaluate()


def test_names_are_no_formulas(tmp_path: Path) -> None:
    from danet_cli.evaluate.confusion import draw_confusion

    names, path = [r"$\foo$", "$x_$", "a"], tmp_path / "confusion.png"
    draw_confusion(np.eye(3, dtype=np.int64), names, r"folder:/$\data$ val", path)
    assert path.exists()


@pytest.mark.parametrize("count", [1, 7, 41])
def test_the_picture_is_drawn_for_any_number_of_classes(count: int, tmp_path: Path) -> None:
    from danet_cli.evaluate.confusion import draw_confusion

    matrix = np.arange(count * count).reshape(count, count)
    draw_confusion(matrix, [f"class {label}" for label in range(count)], "title", tmp_path / "confusion.png")
    with Image.open(tmp_path / "confusion.png") as picture:
        assert min(picture.size) > 100
