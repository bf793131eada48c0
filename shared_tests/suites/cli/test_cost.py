"""`danet cost`: its counts are those of the layers, its memory is measured, and what cannot be is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from danet_cli.console import CommandError
from danet_cli.contexts import ablation, chosen_contexts, name_of
from danet_cli.cost.memory import measure_memory
from danet_cli.cost.operations import count_operations
from danet_cli.main import run
from danet_common import VARIANTS
from danet_common.config import ContextKind
from danet_common.numerics import chunks
from shared_tests.suites.cli.test_cli import assert_one_error
from shared_tests.suites.conftest import NETWORKS, Start

Streams = pytest.CaptureFixture[str]

TINY = VARIANTS["danet_tiny"]
MIB = 1 << 20
SMALL = ("--variant", "danet_tiny", "--size", "65x97")


def no_memory(config: Any, backend: str, height: int, width: int) -> int:
    raise CommandError("there is too little of it")


def costs(capsys: Streams, *arguments: str) -> list[dict[str, Any]]:
    """The rows of a run that measures all."""
    assert run(["cost", *SMALL, *arguments, "--json"]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["rows"]
    return rows


def test_the_ablation_has_every_kind_once_and_the_pair() -> None:
    rows = ablation()
    assert [name_of(context) for context in rows[:4]] == ["none", "position", "channel", "position+channel"]
    assert sorted(kind for context in rows for kind in context if len(context) == 1) == sorted(get_args(ContextKind))


def test_contexts_are_taken_once() -> None:
    assert chosen_contexts(["none", "cbam, bam", "none"]) == [(), ("cbam", "bam")]


def test_rows_and_their_counts(start: Start, capsys: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    start("torch")
    monkeypatch.setattr("danet_cli.cost.memory.measure_memory", lambda config, backend, height, width: MIB)
    none, channel, position = costs(capsys, "--context", "none", "--context", "channel", "--context", "position")
    assert [none["context"], channel["context"]] == [[], ["channel"]]
    classifier = TINY.inner_channels * TINY.num_classes + TINY.num_classes
    convolution = 9 * TINY.inner_channels**2 + 2 * TINY.inner_channels
    assert channel["parameters"] - none["parameters"] == classifier + convolution + 1  # the branch's first, its own
    assert none["parameters"] - none["head_parameters"] == channel["parameters"] - channel["head_parameters"]
    positions, inner, query = 9 * 13, TINY.inner_channels, TINY.attention_channels
    first = 2 * 9 * positions * inner * TINY.stage_channels[3]  # of a branch, or of the plain head
    second = 2 * 9 * positions * inner**2
    assert channel["operations"] - none["operations"] == second + 2 * 2 * positions * inner**2
    projections = 2 * positions * inner * (2 * query + inner)
    assert position["operations"] - none["operations"] == second + projections + 2 * positions**2 * (query + inner)
    assert none["head_operations"] > first


def test_chunks_are_counted_as_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in them is multiplied twice, where no numbers can be looked at either."""
    pytest.importorskip("torch")
    counts = []
    for entries in (64, chunks.LARGEST_CHUNK):
        monkeypatch.setattr(chunks, "CHUNK_SIZE", entries)
        counts.append(count_operations("danet_tiny", 1, 64, 96))  # 96 positions: blocks are all whole
    chunked, whole = counts
    assert chunked == whole


def test_memory_is_measured(start: Start, capsys: Streams) -> None:
    start("torch")
    (row,) = costs(capsys, "--context", "none")
    assert 65 * 97 * 19 * 4 < row["memory_bytes"] < 200 * MIB  # the logits at least


@pytest.mark.slow
@pytest.mark.parametrize("backend", NETWORKS)
def test_a_larger_picture_takes_more_memory(backend: Any, start: Start) -> None:
    start(backend)
    actual = [measure_memory(TINY, backend, side, side) for side in (129, 1025)]
    logits = 1025**2 * TINY.num_classes * 4
    assert actual[1] - actual[0] > logits - 129**2 * TINY.num_classes * 4


def test_the_table(start: Start, capsys: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    start("torch")
    monkeypatch.setattr("danet_cli.cost.memory.measure_memory", lambda config, backend, height, width: 1234 * MIB)
    assert run(["cost", *SMALL, "--context", "cbam,bam", "--set", "reduction=4"]) == 0
    out, error = capsys.readouterr()
    assert "cbam+bam" in out
    assert "1,234" in out
    assert "65x97" in error


def test_what_cannot_be_measured_is_said(start: Start, capsys: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    start("torch")
    monkeypatch.setattr("danet_cli.cost.memory.measure_memory", no_memory)
    assert run(["cost", *SMALL, "--context", "none"]) == 1
    out, error = capsys.readouterr()
    assert out.splitlines()[1].split()[-1] == "-"
    assert "none: no memory: there is too little of it" in error


def test_without_torch_all_else_is_there(capsys: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("danet_cli.cost.command.import_backend", lambda backend: None)
    monkeypatch.setattr("danet_cli.cost.rows.importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("danet_cli.cost.memory.measure_memory", lambda config, backend, height, width: MIB)
    assert run(["cost", *SMALL, "--context", "none", "--backend", "jax", "--json"]) == 0
    out, error = capsys.readouterr()
    (row,) = json.loads(out)["rows"]
    assert (row["operations"], row["memory_bytes"]) == (None, MIB)
    assert error.count("pip install 'danet[torch]'") == 1


def test_a_process_that_ends_early_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -9 $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(CommandError, match="signal 9"):
        measure_memory(TINY, "torch", 9, 9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--context", "attention"), ("context", "squeeze_excitation")),
        (("--context", "cbam,cbam"), ("context", "different")),
        (("--variant", "danet_r19"), ("danet_r19", "danet_r18")),
        (("--size", "big"), ("--size",)),
        (("--set", "context=cbam"), ("--context",)),
        (("--set", "stride=8"), ("stride",)),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], words: tuple[str, ...], capsys: Streams) -> None:
    assert run(["cost", *arguments]) == 2
    assert_one_error(capsys, *words)
