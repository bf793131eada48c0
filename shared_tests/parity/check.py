"""Check that checkpoints are one network, and that every backend computes it: the work behind `danet check`.

Each network runs through the float64 reference, which gives the expected arrays, and through each backend in a
process of its own. Networks with the same tensors and config, whatever their files, are run once.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from danet_common import Checkpoint, DANetConfig, tap_names, write_checkpoint
from danet_common.extras import explain_missing
from danet_common.files.regular_file import PROGRAM, open_regular
from danet_common.files.unfinished import temporary_folder
from shared_tests.fixtures.synthetic import synthetic_input
from shared_tests.parity.compare import ComparisonReport, compare
from shared_tests.parity.profiles import PROFILES, Profile, ProfileName, reference_run, tolerances, unfit_flags
from shared_tests.workers.backends import BACKENDS, Backend, BackendError, Worker
from shared_tests.workers.protocol import Request

Input = Callable[[DANetConfig], NDArray[Any]]  # config -> x (N, C, H, W), normalised as that config says
Step = Callable[[str], None]

# Fields that say how to train a network or how to show its classes: one network may have them either way.
UNUSED = ("dropout", "dropout_rate", "batch_norm_momentum", "class_names", "palette")


@dataclass
class Trainer:
    """One backend on one network.

    fused      its fused logits (N, num_classes, H, W)
    differing  pixels whose class is not the reference's
    """

    report: ComparisonReport
    fused: NDArray[Any]
    differing: int
    seconds: float
    flags: Mapping[str, Any]

    @property
    def pixels(self) -> int:
        """Number of classified pixels."""
        return self.fused[:, 0].size


@dataclass
class CheckResult:
    """One checkpoint.

    same_as      path of an earlier checkpoint with the same tensors and config, whose runs stand for this one's
    as_first     comparison of its float64 reference with the first checkpoint's; None for the first and its equals
    changed      what of the first checkpoint's tensors and config is different here
    runs         backend -> what it made of this network
    fused        the float64 reference's fused logits (N, num_classes, H, W)
    """

    path: str
    config: DANetConfig
    same_as: str | None = None
    as_first: ComparisonReport | None = None
    changed: tuple[str, ...] = ()
    runs: dict[str, Trainer] = field(default_factory=dict)
    fused: NDArray[Any] = field(default_factory=lambda: np.zeros((0, 1, 0, 0)))

    @property
    def agrees(self) -> bool:
        """True if every backend agrees with the reference, and the reference with the first checkpoint's."""
        same = self.as_first is None or self.as_first.agrees
        return same and all(run.report.agrees for run in self.runs.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "path": self.path,
            "agrees": self.agrees,
            "config": self.config.to_dict(),
            "same_as": self.same_as,
            "as_first": None if self.as_first is None else self.as_first.to_dict(),
            "changed": list(self.changed),
            "backends": {
                name: {
                    **run.report.to_dict(),
                    "differing_pixels": run.differing,
                    "pixels": run.pixels,
                    "seconds": round(run.seconds, 3),
                    "flags": dict(run.flags),
                }
                for name, run in self.runs.items()
            },
        }


@dataclass
class Network:
    """A distinct network at work: its input, expected arrays and tolerances."""

    result: CheckResult
    file: str
    x: NDArray[Any]
    expected: Mapping[str, NDArray[Any]]
    tolerance: Mapping[str, float]


def find_backends(names: Sequence[str]) -> list[Backend]:
    """Backends by name, or by the path of an adapter's Python file. Raises BackendError for unknown or absent ones."""
    actual = []
    for name in names:
        if name.endswith(".py"):
            try:
                open_regular(name, PROGRAM).close()
            except OSError as error:
                raise BackendError(f"{name}: no adapter: {error.strerror or error}") from None
            actual.append(Backend(Path(name).stem, name, ()))
        elif name in BACKENDS:
            actual.append(BACKENDS[name])
        else:
            raise BackendError(f"unknown backend {name!r}; known: {', '.join(BACKENDS)}, or the path of an adapter")
    for backend in actual:
        if backend.missing:
            raise BackendError(explain_missing(f"backend {backend.name}", backend.missing))
    return actual


def built_in_input(height: int, width: int) -> Input:
    """Noise of variance 1, two images: every pixel different, and nothing that a rounding could hide."""
    return lambda config: synthetic_input(config, 2, height, width)


def check_checkpoints(
    checkpoints: Mapping[str, Checkpoint],
    make_input: Input,
    backends: Sequence[Backend],
    profile_name: ProfileName,
    step: Step = lambda description: None,
) -> list[CheckResult]:
    """Check every checkpoint; `checkpoints` is by path, and `step` is called with what begins.

    Raises BackendError where a backend cannot run, or does not say what a profile needs to know.
    """
    profile = PROFILES[profile_name]
    hashes = {path: checkpoint.hashes() for path, checkpoint in checkpoints.items()}
    results: dict[str, CheckResult] = {}
    networks: list[Network] = []
    with temporary_folder() as folder:
        for path, checkpoint in checkpoints.items():
            result = results[path] = CheckResult(path, checkpoint.config)
            equal = [other.result.path for other in networks if not _changes(checkpoints, hashes, other, path)]
            if equal:
                result.same_as = equal[0]
            else:
                step(f"reference: {Path(path).name}")
                file = folder / f"{len(networks)}.safetensors"
                networks.append(_prepare(result, checkpoint, make_input, profile, file))
                _compare_with_first(networks, checkpoints, hashes)
        for backend in backends:
            with Worker(backend) as worker:
                for network in networks:
                    step(f"{backend.name}: {Path(network.result.path).name}")
                    network.result.runs[backend.name] = _run(worker, network, profile)
    for result in results.values():
        if result.same_as is not None:
            original = results[result.same_as]
            result.as_first, result.changed = original.as_first, original.changed
            result.runs, result.fused = original.runs, original.fused
    return list(results.values())


def _prepare(result: CheckResult, checkpoint: Checkpoint, make_input: Input, profile: Profile, file: Path) -> Network:
    config, tensors = checkpoint.config, checkpoint.tensors
    x = make_input(config)
    expected = reference_run(config, tensors, x)
    result.fused = expected["fused"]
    write_checkpoint(checkpoint, file)
    return Network(result, str(file), x, expected, tolerances(profile, config, tensors, x, expected))


def _compare_with_first(
    networks: Sequence[Network], checkpoints: Mapping[str, Checkpoint], hashes: Mapping[str, Mapping[str, str]]
) -> None:
    """Compare the expected arrays of the newest network with the first's."""
    first, newest = networks[0], networks[-1]
    if newest is first:
        return
    allowed = {name: first.tolerance.get(name, 0.0) for name in {**first.expected, **newest.expected}}
    newest.result.as_first = compare(first.expected, newest.expected, allowed)
    newest.result.changed = tuple(_changes(checkpoints, hashes, first, newest.result.path))


def _changes(
    checkpoints: Mapping[str, Checkpoint], hashes: Mapping[str, Mapping[str, str]], network: Network, path: str
) -> list[str]:
    """Config fields and tensors in which the checkpoint at `path` differs from that of `network`."""
    mine, theirs = checkpoints[path].config, network.result.config
    names = [item.name for item in dataclasses.fields(DANetConfig) if item.name not in UNUSED]
    changed = [f"config {name}" for name in names if getattr(mine, name) != getattr(theirs, name)]
    ours, other = hashes[path], hashes[network.result.path]
    return changed + [name for name in {**other, **ours} if ours.get(name) != other.get(name)]


def _run(worker: Worker, network: Network, profile: Profile) -> Trainer:
    config = network.result.config
    request = Request(
        checkpoint=network.file,
        x=network.x.astype(profile.dtype),
        dtype=profile.dtype,
        device=profile.device,
        precision=profile.precision,
        taps=tap_names(config),
    )
    begun = time.perf_counter()
    response = worker.run(request)
    seconds = time.perf_counter() - begun
    unfit = unfit_flags(profile, response.flags)
    if unfit is not None:
        raise BackendError(f"backend {worker.backend.name} cannot pass this profile: {unfit}")
    actual = {**response.taps, **response.outputs}
    if "fused" not in response.outputs:
        raise BackendError(f"backend {worker.backend.name} returned no logits named fused")
    tolerance = {name: network.tolerance.get(name, 0.0) for name in {**network.expected, **actual}}
    report = compare(network.expected, actual, tolerance)
    fused, expected_values = response.outputs["fused"], network.result.fused
    differing = expected_values[:, 0].size
    if fused.shape == expected_values.shape:
        differing = int(np.count_nonzero(fused.argmax(axis=1) != expected_values.argmax(axis=1)))
    return Trainer(report, fused, differing, seconds, response.flags)
