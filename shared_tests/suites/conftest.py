"""One fixture for every backend: a process each, started when first asked for and kept for the session."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from danet_cli.main import run
from danet_common import Checkpoint, DANetConfig, write_checkpoint
from danet_common.extras import missing_packages
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.suites.environment import session_environment
from shared_tests.suites.training.fake_framework import FakeDistributed, fake_framework
from shared_tests.workers.backends import BACKENDS, Worker

NETWORKS = ("torch", "tf", "jax")  # the three packages; keras_jax runs danet_tf a second time

Start = Callable[[str], Worker]
Train = Callable[..., int]


def pytest_configure(config: pytest.Config) -> None:
    """Set the session's environment before any process starts and any framework is imported."""
    gc.set_threshold(50_000, 20, 100)  # modules of three frameworks make full collections slow
    settings = ExitStack()
    settings.enter_context(session_environment())
    config.add_cleanup(settings.close)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test on a laptop without the optional packages that it uses; in CI it fails."""
    missing = missing_packages(package for mark in item.iter_markers("needs") for package in mark.args)
    if missing and not os.environ.get("CI"):
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.fixture(scope="session")
def start() -> Iterator[Start]:
    """Backend name -> its running process. A missing framework skips on a laptop and fails in CI."""
    workers: dict[str, Worker] = {}

    def get(name: str) -> Worker:
        missing = BACKENDS[name].missing
        if missing and os.environ.get("CI"):
            pytest.fail(f"{name} needs {', '.join(missing)}, and CI must test every framework")
        if missing:
            pytest.skip(f"{name} needs {', '.join(missing)}")
        if name not in workers:
            workers[name] = Worker(BACKENDS[name])
        return workers[name]

    yield get
    for worker in workers.values():
        worker.close()


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Train:
    """`danet train` with a fake framework; its keywords are those of `fake_framework`."""

    def go(*arguments: str, **options: Any) -> int:
        joined = lambda backend: (fake_framework(name=backend, **options), FakeDistributed())  # noqa: E731
        monkeypatch.setattr("danet_cli.train.drive.join", joined)
        return run(["train", *arguments])

    monkeypatch.setattr("danet_common.training.loop.draw_curves", lambda records, path: path.touch())
    return go


@pytest.fixture(params=NETWORKS)
def worker(request: pytest.FixtureRequest, start: Start) -> Worker:
    """Each of the three networks in turn."""
    return start(request.param)


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[DANetConfig], str]:
    """Config -> the path of its canonical checkpoint with synthetic weights, written once."""
    folder: Path = tmp_path_factory.mktemp("checkpoints")
    written: dict[DANetConfig, str] = {}

    def get(config: DANetConfig) -> str:
        if config not in written:
            path = folder / f"{len(written)}.safetensors"
            write_checkpoint(Checkpoint(config, synthetic_tensors(config)), path)
            written[config] = str(path)
        return written[config]

    return get
