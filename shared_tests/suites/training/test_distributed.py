"""A run over two processes or two devices is the run on one: losses, weights, momenta, averages and statistics."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from danet_common import DANetConfig
from danet_common.config.recipe import TrainConfig
from danet_common.data.sampler import Sampler
from danet_common.training.sharing import check_shares, describe, microbatches
from danet_common.training.training_checkpoint import read_training
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.suites.devices.running import KERAS_WARNING
from shared_tests.suites.environment import cpu_devices
from shared_tests.suites.training.test_training import (
    AGREEMENT,
    CONFIG,
    RECIPE,
    UNSEEN,
    initial_state,
    mismatch,
    pictures,
)
from shared_tests.workers.backends import BACKENDS, Worker
from shared_tests.workers.protocol import Groups, load_arrays, save_arrays

SPREAD = "shared_tests.workers.trainers.spread"
STEPS = 3
TIMEOUT = 500  # seconds; a run takes less even where its processes share a processor
FIRST_PORT, PORTS = 20_000, 12_000  # below 32768, from where Linux takes those of connections, and macOS too

# On top of test_training's: parts of the batch, and hard pixels, so few below the threshold that the minimum counts.
EVERYTHING = RECIPE.replace(batch_size=8, gradient_accumulation_steps=2, ohem_threshold=0.01, ohem_min_kept=600)


@dataclass(frozen=True)
class Spread:
    """Layout of a run: a number of processes, or of simulated devices in one process."""

    backend: str
    processes: int = 1
    devices: int = 1

    def __str__(self) -> str:
        kind = f"{self.processes} processes" if self.processes > 1 else f"{self.devices} devices"
        return f"{self.backend}, {kind}"


SPREADS = (
    Spread("torch", processes=2),
    Spread("tf", devices=2),
    Spread("tf", processes=2),
    Spread("jax", devices=2),
    Spread("jax", processes=2),
)


def batches() -> Groups:
    """Test_training's pictures; the first process has nothing but void in the first step."""
    arrays = pictures(12)
    arrays["batch"]["labels"][: EVERYTHING.batch_size // 2] = 255
    return arrays


@contextlib.contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
    """Yield free TCP ports of this machine. Other tests do not take them until the end.

    Another test could take a free port before it is used. So the same number is bound for UDP, which marks it.
    """
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = FIRST_PORT + secrets.randbelow(PORTS)
            with contextlib.suppress(OSError):
                held.enter_context(socket.socket(type=socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
                socket.create_server(("127.0.0.1", port)).close()
                ports.append(port)
        yield ports


def environments(spread: Spread, ports: list[int]) -> list[dict[str, str]]:
    """Return the environment by which each process finds the others, as its framework's launcher sets it."""
    places = range(spread.processes)
    if spread.backend == "torch":
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(ports[0]), "WORLD_SIZE": str(spread.processes)}
        return [{**where, "RANK": str(place), "LOCAL_RANK": str(place)} for place in places]
    if spread.backend == "tf" and spread.processes > 1:
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        tasks = [{"cluster": cluster, "task": {"type": "worker", "index": place}} for place in places]
        return [{"TF_CONFIG": json.dumps(task)} for task in tasks]
    if spread.backend == "jax" and spread.processes > 1:
        where = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{ports[0]}", "JAX_NUM_PROCESSES": str(spread.processes)}
        return [{**where, "JAX_PROCESS_ID": str(place)} for place in places]
    if spread.backend == "jax":
        return [{"XLA_FLAGS": cpu_devices(spread.devices)}]
    return [{}]


def launch(spread: Spread, folder: Path, job: Mapping[str, object]) -> list[tuple[int, str]]:
    """Each process's exit code and last words. A missing framework skips on a laptop and fails in CI."""
    backend = BACKENDS[spread.backend]
    if backend.missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{spread} needs {', '.join(backend.missing)}")
    folder.mkdir()
    settings = {"steps": STEPS, "dtype": "float64", "devices": spread.devices, "dies": None, "local": []}
    (folder / "job.json").write_text(json.dumps({**settings, **job}))
    save_arrays(folder / "arrays.npz", batches())
    program = ["-W", "error", "-W", KERAS_WARNING, "-m", SPREAD, spread.backend, str(folder)]
    started, logs = [], []
    with free_ports(spread.processes) as ports:
        for place, environment in enumerate(environments(spread, ports)):
            logs.append(folder / f"{place}.log")
            with logs[-1].open("w") as log:
                everything = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **backend.environment, **environment}
                started.append(subprocess.Popen([sys.executable, *program], stdout=log, stderr=log, env=everything))
        try:
            codes = [process.wait(TIMEOUT) for process in started]
        finally:
            for process in started:
                process.kill()
    return list(zip(codes, (log.read_text()[-4000:] for log in logs), strict=True))


def tensors(path: Path) -> dict[str, np.ndarray]:
    """All of a run's, but what adamw makes of rounding noise."""
    training = read_training(path)
    noise = UNSEEN if training.recipe.optimizer == "adamw" else "nothing"
    return {name: array for name, array in {**training.tensors, **training.slots}.items() if noise not in name}


def on_one(start: Start, backend: str, folder: Path, config: DANetConfig, recipe: TrainConfig) -> np.ndarray:
    """The losses of the run on one device, which is left in the folder."""
    first = initial_state(folder / "0.safetensors", config, recipe)
    fields = {"start": str(first), "steps": STEPS, "folder": str(folder), "dtype": "float64"}
    return start(backend).call_function("train", fields, batches())["losses"]["loss"]


def furthest(spread: Spread, folder: Path, start: Path, expected: np.ndarray, local: tuple[str, ...] = ()) -> float:
    """The largest mismatch of any loss or tensor of any step from the run on one device.

    Infinite where two processes do not hold the same, bit for bit.
    """
    ended = launch(spread, folder, {"start": str(start / "0.safetensors"), "local": local})
    assert [code for code, _ in ended] == [0] * spread.processes, "\n".join(words for _, words in ended)
    mismatches = [0.0]
    for place in range(spread.processes):
        actual = load_arrays(folder / f"{place}.npz")
        mismatches.append(float(np.abs(actual["losses"]["loss"] - expected).max() / np.abs(expected).max()))
        assert actual["distributed"]["sum"].tolist() == [[2**40 * spread.processes + sum(range(spread.processes)), 1]]
        kind = f"{2 if spread.processes > 1 else 1} process{'es' if spread.processes > 1 else ''}, 2 cpu devices"
        assert (folder / f"{place}.txt").read_text() == kind
    for step in range(1, STEPS + 1):
        first, *others = [tensors(folder / f"{place}-{step}.safetensors") for place in range(spread.processes)]
        one = tensors(start / f"{step}.safetensors")
        mismatches.append(mismatch(one, first)[0])
        mismatches += [np.inf for other in others if any(not np.array_equal(other[n], a) for n, a in first.items())]
    return max(mismatches)


def test_ports_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that take ports in the same order get different ports, and none on which a server listens."""
    numbers, base = iter([0, 1, 0, 1, 2, 3, 0, 1]), secrets.randbelow(PORTS - 3)
    monkeypatch.setattr(secrets, "randbelow", lambda count: base + next(numbers))
    first = FIRST_PORT + base
    with socket.create_server(("127.0.0.1", first + 2)):
        with free_ports(2) as ports, free_ports(1) as others:
            assert (ports, others) == ([first, first + 1], [first + 3])
        with free_ports(2) as ports:
            assert ports == [first, first + 1]


@pytest.mark.parametrize(
    "spread",
    [pytest.param(s, marks=() if s.backend == "torch" else pytest.mark.slow, id=str(s)) for s in SPREADS],
)  # the others compile for seconds
def test_two_are_one(spread: Spread, start: Start, tmp_path: Path) -> None:
    expected = on_one(start, spread.backend, tmp_path, CONFIG, EVERYTHING)
    assert furthest(spread, tmp_path / "spread", tmp_path, expected) <= AGREEMENT


VARIATIONS = {
    "adamw, element": (
        CONFIG.replace(dropout="element", auxiliary="linear"),
        EVERYTHING.replace(optimizer="adamw", learning_rate=1e-7, gradient_accumulation_steps=1, ema_decay=None),
    ),
    "frozen_batch_norm": (CONFIG, EVERYTHING.replace(frozen_batch_norm=True, ohem_threshold=None, clip_norm=None)),
    "remat": (
        CONFIG.replace(dropout_rate=0.0, auxiliary="none", context=("channel",)),
        EVERYTHING.replace(gradient_accumulation_steps=4, class_weights=None, ohem_threshold=None, remat=True),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("variation", VARIATIONS)
@pytest.mark.parametrize("spread", [s for s in SPREADS if s.backend == "torch" or s.devices > 1], ids=str)
def test_variations(spread: Spread, variation: str, start: Start, tmp_path: Path) -> None:
    config, recipe = VARIATIONS[variation]
    expected = on_one(start, spread.backend, tmp_path, config, recipe)
    assert furthest(spread, tmp_path / "spread", tmp_path, expected) <= AGREEMENT


@pytest.mark.slow
@pytest.mark.parametrize("local", ["losses.all_reduce_mean", "losses.all_gather", "primitives.all_reduce_mean"])
@pytest.mark.parametrize("spread", SPREADS[:2], ids=str)
def test_what_is_only_local_is_seen(spread: Spread, local: str, start: Start, tmp_path: Path) -> None:
    """A loss, a threshold or statistics of a device's own rows alone are far from the run on one."""
    expected = on_one(start, spread.backend, tmp_path, CONFIG, EVERYTHING)
    assert furthest(spread, tmp_path / "spread", tmp_path, expected, (local,)) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("spread", [s for s in SPREADS if s.processes > 1], ids=str)
def test_a_dead_process_ends_the_others(spread: Spread, tmp_path: Path) -> None:
    first = initial_state(tmp_path / "0.safetensors", CONFIG, EVERYTHING)
    (alive, _), (dead, _) = launch(spread, tmp_path / "spread", {"start": str(first), "dies": [1, 1]})
    assert dead == 3
    assert alive not in (0, 3)


@pytest.mark.slow
@pytest.mark.parametrize("spread", SPREADS, ids=str)
def test_a_batch_that_cannot_be_shared(spread: Spread, tmp_path: Path) -> None:
    recipe = EVERYTHING.replace(batch_size=6)
    first = initial_state(tmp_path / "0.safetensors", CONFIG, recipe)
    for code, words in launch(spread, tmp_path / "spread", {"start": str(first)}):
        assert code != 0
        assert "ValueError: batch_size must be a multiple of 2 devices times 2 microbatches; got 6" in words


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "environment", "message"),
    [
        ("torch", {"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR"),
        ("tf", {"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}'}, "got 'ps'"),
        ("jax", {"JAX_COORDINATOR_ADDRESS": "127.0.0.1:1"}, "needs JAX_NUM_PROCESSES and JAX_PROCESS_ID"),
    ],
)
def test_an_environment_that_makes_no_sense(backend: str, environment: dict[str, str], message: str) -> None:
    program = f"from danet_{backend}.training.distributed import init_distributed; init_distributed()"
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True)
    last = done.stderr.decode().strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("ValueError: ")
    assert message in last


def test_no_reducer_outlives_the_group(tmp_path: Path) -> None:
    """Gone last, it would wait for Gloo's threads while it has the interpreter, and they for the interpreter: for ever,
    in one of twenty runs."""
    torch, engine = pytest.importorskip("torch"), pytest.importorskip("danet_torch.training.distributed")
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    network = engine.replicate(torch.nn.Linear(2, 1))
    network(torch.ones(3, 2)).sum().backward()
    engine.Distributed(process_count=2).close()
    assert not torch.distributed.is_initialized()
    assert not hasattr(network, "reducer")
    assert not hasattr(network, "logger")
    assert not engine.networks


@pytest.mark.slow
def test_torchrun(start: Start, tmp_path: Path) -> None:
    """torchrun itself starts the processes, not only its environment."""
    expected = on_one(start, "torch", tmp_path, CONFIG, EVERYTHING)
    folder = tmp_path / "spread"
    folder.mkdir()
    job = {"start": str(tmp_path / "0.safetensors"), "steps": 1, "dtype": "float64", "devices": 1, "dies": None}
    (folder / "job.json").write_text(json.dumps({**job, "local": []}))
    save_arrays(folder / "arrays.npz", batches())
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*torchrun, "-m", SPREAD, "torch", str(folder)], check=True, timeout=TIMEOUT)
    losses = load_arrays(folder / "1.npz")["losses"]["loss"]
    assert np.abs(losses - expected[:1]).max() <= AGREEMENT * np.abs(expected).max()


@pytest.mark.slow
def test_the_sharded_step_lowers_for_tpu() -> None:
    environment = {"XLA_FLAGS": cpu_devices(8)}
    backend = dataclasses.replace(BACKENDS["jax"], environment=environment)
    if backend.missing:
        pytest.skip(f"needs {', '.join(backend.missing)}")
    with Worker(backend) as worker:
        actual = worker.call_function("lower_step", {"variant": "danet_r18", "rows": 16, "size": 65}, {})["result"]
    assert actual["platforms"].tolist() == ["tpu"]
    assert actual["devices"] == 8
    assert not actual["float64"]  # a TPU would emulate it, slowly


def test_sync_batch_norm_keeps_the_names(start: Start) -> None:
    """The network that torch converts for several GPUs has the same tensors and computes the same."""
    actual = start("torch").call_function("synchronise", {"variant": "danet_tiny"}, {})["result"]
    assert actual["converted"] > 10
    assert actual["same_names"]
    assert actual["same_outputs"]


@pytest.mark.parametrize("gradient_accumulation_steps", [1, 2, 4])
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_parts_are_the_same_pictures_for_any_number_of_processes(
    processes: int, gradient_accumulation_steps: int
) -> None:
    rows = 16
    check_shares(TrainConfig(batch_size=rows, gradient_accumulation_steps=gradient_accumulation_steps), processes)
    shares = {"count": 100, "batch_size": rows // processes, "shard_count": processes, "shuffle": False}
    turns = [Sampler(**shares, shard_index=index).indices(step=2) for index in range(processes)]  # type: ignore[arg-type]
    for number, part in enumerate(microbatches(rows // processes, gradient_accumulation_steps)):
        items = {process[row].item for process in turns for row in part}
        assert items == set(range(2 * rows + number, 3 * rows, gradient_accumulation_steps))


def test_unequal_shares() -> None:
    with pytest.raises(ValueError, match="5 rows are not 2 equal microbatches"):
        microbatches(5, 2)
    with pytest.raises(ValueError, match="batch_size must be a multiple of 3 devices; got 8"):
        check_shares(TrainConfig(batch_size=8), 3)
    with pytest.raises(ValueError, match="batch_size must be a multiple of 4 devices times 4 microbatches; got 8"):
        check_shares(TrainConfig(batch_size=8, gradient_accumulation_steps=4), 4)


def test_description() -> None:
    assert describe(1, 1, "cpu") == "1 process, 1 cpu device"
    assert describe(1, 8, "gpu") == "1 process, 8 gpu devices"
    assert describe(2, 4, "cuda") == "2 processes, 4 cuda devices"


def test_every_backend_is_spread() -> None:
    assert {spread.backend for spread in SPREADS} == set(NETWORKS)
