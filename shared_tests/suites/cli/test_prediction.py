"""`danet predict` on real folders: images of every kind and size, damaged ones among them, with the folders kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import danet_cli.predict.command
from danet_cli.backend import import_backend, inferring
from danet_cli.main import run
from danet_cli.predict.inputs import find_images
from danet_cli.predict.side_by_side import LARGEST, MARGIN, SMALLEST, side_by_side
from danet_common import VARIANTS, Checkpoint, write_checkpoint
from danet_common.config.palettes import palette_of
from danet_common.data.cityscapes import CITYSCAPES, LABEL_IDS
from danet_common.data.image import read_image
from danet_common.evaluation.prediction import predict_function
from shared_tests.fixtures.synthetic import synthetic_array, synthetic_tensors
from shared_tests.suites.cli.test_cli import assert_one_error
from shared_tests.suites.conftest import Start

CONFIG = VARIANTS["danet_tiny"].replace(num_classes=3, class_names=("red", "green", "blue"))
Streams = pytest.CaptureFixture[str]
Predict = Callable[..., int]


def write_photograph(path: Path, height: int = 12, width: int = 20, mode: str = "RGB", **options: Any) -> Path:
    """A red half and a green half."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 1] = 250
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


def brightest(pictures: np.ndarray) -> np.ndarray:
    """The largest channel is the class."""
    return pictures * np.asarray(CONFIG.std, np.float32) + np.asarray(CONFIG.mean, np.float32)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights" / "tiny.safetensors"
    path.parent.mkdir()
    write_checkpoint(Checkpoint(CONFIG, synthetic_tensors(CONFIG)), path)
    return path


@pytest.fixture
def predict(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """The command with `brightest`, or what is given, in the place of a framework's network."""

    def call(
        *arguments: str | Path, infer: Callable[[np.ndarray], np.ndarray] = brightest, out: Path = tmp_path / "out"
    ) -> int:
        monkeypatch.setattr(danet_cli.predict.command, "import_backend", lambda name: ModuleType(name))
        monkeypatch.setattr(danet_cli.predict.command, "inferring", lambda *_: (SimpleNamespace(config=CONFIG), infer))
        common = ["--weights", str(weights), "--backend", "torch", "--out", str(out)]
        return run(["predict", *map(str, arguments), *common])

    return call


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_folders_are_walked_and_kept(predict: Predict, tmp_path: Path) -> None:
    for name in ("a.jpg", "b/a.png", "b/c/a.JPEG", ".hidden.png", ".cache/x.png"):
        write_photograph(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("none")
    (tmp_path / "photos" / "b" / "list.csv").write_text("none")
    assert predict(tmp_path / "photos") == 0
    kinds = ("mask", "overlay")
    assert files_in(tmp_path / "out") == sorted(f"{a}a_{kind}.png" for a in ("", "b/", "b/c/") for kind in kinds)
    with Image.open(tmp_path / "out" / "b" / "c" / "a_mask.png") as mask:
        assert np.array_equal(np.asarray(mask), np.repeat([[0] * 10 + [1] * 10], 12, axis=0))


def test_damaged_files_are_named_and_the_others_done(predict: Predict, tmp_path: Path, capsys: Streams) -> None:
    photos = tmp_path / "photos"
    whole = write_photograph(photos / "a.png", 64, 64)
    (photos / "damaged.png").write_bytes(whole.read_bytes()[:60])
    (photos / "text.jpg").write_text("no image")
    (photos / "empty.tif").touch()
    write_photograph(photos / "z.png")
    assert predict(photos, tmp_path / "absent.jpg", "--json") == 1
    out, error = capsys.readouterr()
    report = json.loads(out)
    failing = {Path(entry["image"]).name for entry in report["images"] if "error" in entry}
    assert failing == {"damaged.png", "text.jpg", "empty.tif", "absent.jpg"}
    assert report["failed"] == 4
    lines = error.splitlines()
    assert len(lines) == 4
    for name in failing:
        assert any(line.startswith("danet: ") and name in line for line in lines), name
    assert files_in(tmp_path / "out") == ["a_mask.png", "a_overlay.png", "z_mask.png", "z_overlay.png"]


def test_a_failure_in_the_middle_is_named_and_the_others_done(
    predict: Predict, tmp_path: Path, capsys: Streams
) -> None:
    for name, width in (("a", 20), ("large", 30), ("z", 20)):
        write_photograph(tmp_path / "photos" / f"{name}.png", width=width)

    def short_of_memory(pictures: np.ndarray) -> np.ndarray:
        if pictures.shape[2] == 30:
            raise RuntimeError("out of memory: tried to allocate 2 GiB\n  in a kernel")
        return brightest(pictures)

    assert predict(tmp_path / "photos", infer=short_of_memory) == 1
    out, error = capsys.readouterr()
    assert error.splitlines() == [f"danet: {tmp_path / 'photos' / 'large.png'}: out of memory: tried to allocate 2 GiB"]
    assert len(out.splitlines()) == 2


def test_nothing_to_do_is_an_error(predict: Predict, tmp_path: Path, capsys: Streams) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "notes.txt").write_text("none")
    assert predict(tmp_path / "photos") == 2
    assert "no image in" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_equal_names_are_refused_before_any_work(predict: Predict, tmp_path: Path, capsys: Streams) -> None:
    write_photograph(tmp_path / "photos" / "a.png")
    write_photograph(tmp_path / "photos" / "a.jpg")
    assert predict(tmp_path / "photos") == 2
    assert "a_mask.png" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_written_is_not_read(predict: Predict, tmp_path: Path, capsys: Streams) -> None:
    """The output folder may lie within the photographs', and a second run finds the same."""
    write_photograph(tmp_path / "a.png")
    for _ in range(2):
        assert predict(tmp_path) == 0
        assert files_in(tmp_path / "out") == ["a_mask.png", "a_overlay.png"]
    assert predict(tmp_path / "out") == 2
    assert "--out" in capsys.readouterr().err


def test_photographs_may_lie_below_the_output(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice: what the first run wrote is replaced, and is no photograph of the folder above."""
    write_photograph(tmp_path / "work" / "photos" / "a.png")
    monkeypatch.chdir(tmp_path / "work")
    for _ in range(2):
        assert predict("photos", out=Path()) == 0
        assert files_in(tmp_path / "work") == ["a_mask.png", "a_overlay.png", "photos/a.png"]
    assert predict(".") == 0
    assert files_in(tmp_path / "out") == ["photos/a_mask.png", "photos/a_overlay.png"]


def test_photographs_in_the_output_folder_are_not_left_out(predict: Predict, tmp_path: Path, capsys: Streams) -> None:
    write_photograph(tmp_path / "photos" / "a.png")
    below = write_photograph(tmp_path / "photos" / "sub" / "a.png")
    assert predict(tmp_path / "photos", out=below.parent) == 2
    assert_one_error(capsys, f"--out {below.parent} is a folder of input images")
    assert files_in(tmp_path) == ["photos/a.png", "photos/sub/a.png", "weights/tiny.safetensors"]
    below.unlink()
    assert predict(tmp_path / "photos", out=below.parent) == 0
    assert files_in(below.parent) == ["a_mask.png", "a_overlay.png"]


def test_a_photograph_of_the_command_is_never_replaced(predict: Predict, tmp_path: Path, capsys: Streams) -> None:
    photos = tmp_path / "photos"
    paths = [write_photograph(photos / "p_overlay.png"), write_photograph(photos / "p.jpg")]
    before = [path.read_bytes() for path in paths]
    for force in ([], ["--force"]):
        assert predict(*paths, *force, out=photos) == 2
        assert_one_error(capsys, f"{paths[0]} would be replaced by the overlay of {paths[1]}")
    assert files_in(photos) == ["p.jpg", "p_overlay.png"]
    assert [path.read_bytes() for path in paths] == before


def test_other_peoples_files_are_replaced_only_by_force(predict: Predict, tmp_path: Path, capsys: Streams) -> None:
    photograph = write_photograph(tmp_path / "photos" / "a.jpg")
    mine = write_photograph(tmp_path / "photos" / "a_mask.png")
    before = mine.read_bytes()
    assert predict(photograph, out=mine.parent) == 2
    assert_one_error(capsys, str(mine), "--force")
    assert files_in(mine.parent) == ["a.jpg", "a_mask.png"]
    assert mine.read_bytes() == before
    assert predict(photograph, "--force", out=mine.parent) == 0
    assert mine.read_bytes() != before
    assert predict(photograph, out=mine.parent) == 0  # it is ours now


def test_a_folder_that_can_be_none_is_refused(predict: Predict, tmp_path: Path, capsys: Streams) -> None:
    photograph = write_photograph(tmp_path / "photo.jpg")
    for out in (photograph, photograph / "below"):
        assert predict(photograph, out=out) == 2
        assert_one_error(capsys, f"--out {out}: {photograph} is a file, not a folder")


def test_a_folder_that_may_not_be_written_in_is_refused(
    predict: Predict, tmp_path: Path, capsys: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    assert predict(write_photograph(tmp_path / "photo.jpg")) == 2
    assert_one_error(capsys, f"{tmp_path}: permission denied")


def test_more_classes_than_a_mask_holds_are_refused(predict: Predict, tmp_path: Path, capsys: Streams) -> None:
    config = CONFIG.replace(num_classes=257, class_names=None)
    weights = tmp_path / "many.safetensors"
    write_checkpoint(Checkpoint(config, synthetic_tensors(config)), weights)
    command = ["predict", str(write_photograph(tmp_path / "a.png")), "--weights", str(weights), "--backend", "torch"]
    assert run([*command, "--out", str(tmp_path / "out")]) == 2
    assert_one_error(capsys, "256 classes", "257")
    assert not (tmp_path / "out").exists()


def test_a_link_to_a_folder_above_is_no_endless_walk(tmp_path: Path) -> None:
    write_photograph(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "loop").symlink_to(tmp_path / "photos")
    assert [str(actual.target) for actual in find_images([tmp_path / "photos"], tmp_path / "out")] == ["a"]


# An image that is upright once its EXIF orientation is followed, and what a viewer shows of it.
def rotated(path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6
    return write_photograph(path, exif=exif.tobytes())


def sixteen_bits(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((12, 20), 40_000, np.uint16)).save(path)
    return path


KINDS: dict[str, tuple[Callable[[Path], Path], tuple[int, int]]] = {
    "rotated.jpg": (rotated, (20, 12)),
    "grey.png": (lambda path: write_photograph(path, mode="L"), (12, 20)),
    "alpha.png": (lambda path: write_photograph(path, mode="RGBA"), (12, 20)),
    "palette.png": (lambda path: write_photograph(path, mode="P"), (12, 20)),
    "black and white.png": (lambda path: write_photograph(path, mode="1"), (12, 20)),
    "inks.jpg": (lambda path: write_photograph(path, mode="CMYK"), (12, 20)),
    "16 bits.png": (sixteen_bits, (12, 20)),
    "pixel.png": (lambda path: write_photograph(path, 1, 1), (1, 1)),
    "column.png": (lambda path: write_photograph(path, 700, 3), (700, 3)),
    "row.png": (lambda path: write_photograph(path, 8, 3000), (8, 3000)),
}


def test_images_of_every_kind(predict: Predict, tmp_path: Path, capsys: Streams) -> None:
    for name, (write, _) in KINDS.items():
        write(tmp_path / "photos" / name)
    assert predict(tmp_path / "photos", "--side-by-side", "--json") == 0
    for entry in json.loads(capsys.readouterr().out)["images"]:
        size = KINDS[Path(entry["image"]).name][1]
        assert (entry["height"], entry["width"]) == size
        assert sum(entry["classes"].values()) == size[0] * size[1]
        with Image.open(entry["mask"]) as mask, Image.open(entry["overlay"]) as overlay:
            assert (mask.mode, mask.size[::-1]) == ("P", size)
            assert (overlay.mode, overlay.size[::-1]) == ("RGB", size)
        assert Path(entry["side_by_side"]).is_file()


def test_a_real_network_takes_every_kind(start: Start, weights: Path, tmp_path: Path) -> None:
    start("torch")
    for name, (write, _) in KINDS.items():
        write(tmp_path / "photos" / name)
    arguments = ["predict", tmp_path / "photos", "--weights", weights, "--backend", "torch", "--out", tmp_path / "out"]
    command = [sys.executable, "-m", "danet_cli.main", *map(str, arguments), "--window", "64x512"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(files_in(tmp_path / "out")) == 2 * len(KINDS)


def test_large_images_are_cut_into_windows(predict: Predict, tmp_path: Path, capsys: Streams) -> None:
    seen: list[tuple[int, ...]] = []

    def watching(pictures: np.ndarray) -> np.ndarray:
        seen.append(pictures.shape[1:3])
        return brightest(pictures)

    write_photograph(tmp_path / "large.png", 300, 400)
    assert predict(tmp_path / "large.png", "--window", "128x96", "--json", infer=watching) == 0
    assert set(seen) == {(128, 96)}
    assert json.loads(capsys.readouterr().out)["images"][0]["window"] == [128, 96]
    with Image.open(tmp_path / "out" / "large_mask.png") as mask:
        assert np.array_equal(np.asarray(mask), np.repeat([[0] * 200 + [1] * 200], 300, axis=0))
    seen.clear()
    assert predict(tmp_path / "large.png", infer=watching) == 0
    assert seen == [(300, 400)]
    write_photograph(tmp_path / "huge.png", 1030, 1024)
    seen.clear()
    assert predict(tmp_path / "huge.png", infer=watching) == 0
    assert set(seen) == {(1024, 1024)}
    seen.clear()
    assert predict(tmp_path / "huge.png", "--protocol", "whole", infer=watching) == 0
    assert seen == [(1030, 1024)]


def windowed(pictures: np.ndarray) -> np.ndarray:
    """Logits that depend on all that is in a window, so that windows show in the mask."""
    means = pictures.mean(axis=(1, 2), dtype=np.float64)[:, None, None]
    return pictures[..., [1, 2, 0]] - 0.9 * means


def test_the_function_and_the_command_are_one_procedure(predict: Predict, tmp_path: Path) -> None:
    """On a picture that is cut into windows, whose masks another procedure would not give."""
    image = (synthetic_array("large photograph", (1040, 1100, 3)) * 127 + 128).astype(np.uint8)
    image[:520] //= 2  # windows have other means
    Image.fromarray(image).save(tmp_path / "large.png")
    assert predict(tmp_path / "large.png", infer=windowed) == 0
    with Image.open(tmp_path / "out" / "large_mask.png") as mask:
        commands = np.asarray(mask)
    model = SimpleNamespace(config=CONFIG)
    function = predict_function(lambda model, pictures: windowed(pictures), lambda model: model)
    assert np.array_equal(function(model, image), commands)
    assert not np.array_equal(function(model, image, "whole"), commands)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's count of a process's pages")
@pytest.mark.parametrize("backend", ["torch", "tf", "jax"])
def test_memory_does_not_grow_from_picture_to_picture(backend: str, start: Start) -> None:
    """JAX compiles a program for each size and TensorFlow's oneDNN keeps primitives for it: both must forget some.

    128 MiB is half of what 128 sizes add where JAX's caches are not cleared (2.3 MB a size).
    """
    start(backend)
    program = [sys.executable, "-m", "shared_tests.suites.cli.many_sizes", backend, "192", "64"]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    memory = json.loads(done.stdout.splitlines()[-1])
    assert memory["largest"] - memory["first"] < 128 << 20, memory


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "tf", "jax"])
def test_real_networks_and_the_command_are_one_procedure(backend: str, start: Start, tmp_path: Path) -> None:
    start(backend)
    config = CONFIG.replace(num_classes=21, class_names=None)  # of 3 classes one wins everywhere
    weights = tmp_path / "weights.safetensors"
    write_checkpoint(Checkpoint(config, synthetic_tensors(config)), weights)
    image = (synthetic_array("large photograph", (1030, 1030, 3)) * 127 + 128).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "large.png")
    program = (
        "import sys, numpy as np; from danet_cli.main import run; from PIL import Image; "
        f"import danet_{backend} as package; weights, picture, out = sys.argv[1:]; "
        f"assert run(['predict', picture, '--weights', weights, '--backend', '{backend}', '--out', out]) == 0; "
        "labels = package.predict(package.load(weights), np.asarray(Image.open(picture))); "
        "assert len(np.unique(labels)) > 1; "
        "assert np.array_equal(labels, np.asarray(Image.open(out + '/large_mask.png')))"
    )
    arguments = [str(weights), str(tmp_path / "large.png"), str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_sides_are_options_of_predict(predict: Predict, tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    def watching(pictures: np.ndarray) -> np.ndarray:
        seen.append(pictures.shape[1:3])
        return brightest(pictures)

    photograph = write_photograph(tmp_path / "a.png", 30, 50)
    for options in (["--short-side", "12"], ["--long-side", "100"], ["--long-side", "100", "--short-side", "30"]):
        assert predict(photograph, *options, infer=watching) == 0
    assert seen == [(12, 20), (60, 100), (30, 50)]
    with Image.open(tmp_path / "out" / "a_mask.png") as mask:
        assert mask.size == (50, 30)


def test_label_ids_for_a_test_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Streams) -> None:
    """Files that cityscapesScripts finds by the name of the picture, with its ids and nothing beside them."""
    config = VARIANTS["danet_tiny"].replace(num_classes=19, class_names=CITYSCAPES.names)
    monkeypatch.setattr(danet_cli.predict.command, "import_backend", lambda name: ModuleType(name))
    labels = np.arange(19)

    def one_class_a_column(pictures: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.eye(19)[None, None, labels], (len(pictures), pictures.shape[1], 19, 19))

    monkeypatch.setattr(
        danet_cli.predict.command, "inferring", lambda *_: (SimpleNamespace(config=config), one_class_a_column)
    )
    write_checkpoint(Checkpoint(config, synthetic_tensors(config)), tmp_path / "weights.safetensors")
    name = "berlin_000000_000019_leftImg8bit"
    write_photograph(tmp_path / "test" / "berlin" / f"{name}.png", 4, 19)
    common = ["--weights", str(tmp_path / "weights.safetensors"), "--backend", "torch", "--label-ids"]
    arguments = ["predict", str(tmp_path / "test"), "--out", str(tmp_path / "out"), *common]
    assert run([*arguments, "cityscapes"]) == 0
    assert run([*arguments, "cityscapes"]) == 0  # what it wrote is replaced
    assert files_in(tmp_path / "out") == [f"berlin/{name}_label_ids.png"]
    with Image.open(tmp_path / "out" / "berlin" / f"{name}_label_ids.png") as image:
        assert image.mode == "L"
        assert np.asarray(image)[3].tolist() == [7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33]
    capsys.readouterr()
    for options, words in (
        (["kitti"], "--label-ids takes cityscapes; got 'kitti'"),
        (["cityscapes", "--side-by-side"], "leave --side-by-side out"),
    ):
        assert run([*arguments, *options]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_classes": 7}, "these label ids are of 19 classes; the network has 7"),
        (
            {"num_classes": 19, "class_names": ("sidewalk", "road", *CITYSCAPES.names[2:])},
            "label 0 is 'road' in these label ids, and 'sidewalk' in the network",
        ),
    ],
)
def test_other_classes_have_no_label_ids(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LABEL_IDS["cityscapes"].require(VARIANTS["danet_tiny"].replace(**changes))


def test_rows_of_windows_are_joined_as_they_come(predict: Predict, tmp_path: Path) -> None:
    """A tall image is read by rows of windows."""
    largest = 0

    def watching(pictures: np.ndarray) -> np.ndarray:
        nonlocal largest
        largest = max(largest, pictures.size)
        return brightest(pictures)

    write_photograph(tmp_path / "tall.png", 4000, 30)
    assert predict(tmp_path / "tall.png", "--window", "16x16", infer=watching) == 0
    assert largest <= 16 * 16 * 3 * 3
    with Image.open(tmp_path / "out" / "tall_mask.png") as mask:
        assert np.array_equal(np.asarray(mask), np.repeat([[0] * 15 + [1] * 15], 4000, axis=0))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--window", "big"], "--window"),
        (["--protocol", "none"], "unknown protocol"),
        (["--opacity", "2"], "--opacity"),
    ],
)
def test_wrong_options_are_one_line(
    arguments: list[str], word: str, predict: Predict, tmp_path: Path, capsys: Streams
) -> None:
    assert predict(write_photograph(tmp_path / "a.png"), *arguments) == 2
    error = capsys.readouterr().err
    assert word in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_opacity_is_that_of_the_colours(predict: Predict, tmp_path: Path) -> None:
    photograph = write_photograph(tmp_path / "a.png")
    palette = np.asarray(palette_of(CONFIG), np.uint8)
    for opacity, expected in (
        ("0", read_image(photograph)),
        ("1", palette[np.repeat([[0] * 10 + [1] * 10], 12, axis=0)]),
    ):
        assert predict(photograph, "--opacity", opacity) == 0
        assert np.array_equal(read_image(tmp_path / "out" / "a_overlay.png"), expected)


@pytest.mark.parametrize("size", [(1, 1), (8, 3000), (3000, 8), (480, 640), (200, 200)])
def test_side_by_side_has_three_panels_and_a_legend(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), (9, 99, 199), np.uint8)
    labels = np.ones(size, np.uint8)
    palette = ((1, 1, 1), (200, 100, 50), (2, 2, 2))
    sheet = side_by_side(image, labels, palette, ("nothing", "the class", "other"), 0.5)
    longest = max(SMALLEST, min(LARGEST, *[max(size)]))
    stacked = size[1] > 2 * size[0]
    assert sheet.shape[0 if not stacked else 1] >= min(longest, longest * size[0] // max(size))
    assert tuple(sheet[MARGIN, MARGIN]) == (9, 99, 199)
    colours = {tuple(colour) for colour in sheet.reshape(-1, 3)}
    assert {(9, 99, 199), (200, 100, 50), (104, 100, 124)} <= colours  # photograph, mask, half of each
    assert not {(1, 1, 1), (2, 2, 2)} & colours  # no class that was not found


def test_torch_computes_on_the_gpu_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its networks are made on the CPU; the other frameworks put theirs on the accelerator unasked."""
    torch = pytest.importorskip("torch")
    moved: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.nn.Module, "cuda", lambda module: moved.append(module))
    config = VARIANTS["danet_tiny"]
    model, _ = inferring(import_backend("torch"), Checkpoint(config, synthetic_tensors(config)))
    assert moved == [model]


def test_the_fastest_layers_are_taken_unasked(weights: Path, tmp_path: Path, capsys: Streams) -> None:
    """And the option that asked for them says so."""
    pytest.importorskip("torch")
    model, _ = inferring(import_backend("torch"), Checkpoint(CONFIG, synthetic_tensors(CONFIG)))
    assert model.layer_set.name == "cpu_inference"
    photograph = write_photograph(tmp_path / "photo.png")
    command = ["predict", str(photograph), "--weights", str(weights), "--backend", "torch", "--out"]
    assert run([*command, str(tmp_path / "fast"), "--winograd"]) == 2
    assert "layers='auto'" in capsys.readouterr().err


def test_what_a_folder_leaves_out_is_named_and_counted(predict: Predict, tmp_path: Path, capsys: Streams) -> None:
    folder = tmp_path / "photos"
    write_photograph(folder / "a.png")
    write_photograph(folder / ".b.png")
    for name in ("notes.txt", "deep/c.heic", "d\x1b[2J.xyz"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"something")
    os.mkfifo(folder / "pipe.png")
    assert predict(folder) == 0
    error = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2] for line in error] == [
        r"4 left out, not image files: d\x1b[2J.xyz, deep/c.heic, notes.txt, pipe.png"
    ]


def test_the_limit_of_pixels_is_an_option(
    predict: Predict, tmp_path: Path, capsys: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DANET_MAX_PIXELS", "1000")  # restored afterwards: the option sets it
    small, large = write_photograph(tmp_path / "small.png"), write_photograph(tmp_path / "large.png", 13, 20)
    assert predict(small, large, "--max-pixels", "240") == 1
    out, error = capsys.readouterr()
    assert "small_mask.png" in out
    assert "large.png: has 20x13 pixels; the limit is 240 (--max-pixels sets another)" in error


def test_further_pages_are_noted(predict: Predict, tmp_path: Path, capsys: Streams) -> None:
    pages = [Image.new("RGB", (20, 12), colour) for colour in ("red", "blue")]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert predict(tmp_path / "a.tif") == 0
    assert "has more than one frame or page; the first is read" in capsys.readouterr().err


def test_an_elongated_picture_is_cut_though_it_has_few_pixels(predict: Predict, tmp_path: Path) -> None:
    """Whole, 60000x3 pixels would be resized by a matrix of 60000x7500: 1.8 GB."""
    sizes: list[tuple[int, ...]] = []

    def infer(pictures: np.ndarray) -> np.ndarray:
        sizes.append(pictures.shape[1:3])
        return brightest(pictures)

    long = write_photograph(tmp_path / "long.png", 3, 60000)
    assert predict(long, infer=infer) == 0
    assert set(sizes) == {(3, 1024)}
    with Image.open(tmp_path / "out" / "long_mask.png") as mask:
        labels = np.array(mask)
    assert (labels[:, :30000] == 0).all()
    assert (labels[:, 30000:] == 1).all()
