"""An example of another project's DANet: its one mistake is found, named, and gone once it is mended."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared_tests.parity.check_adapter import check_adapter, exit_code, main
from shared_tests.parity.compare import ComparisonReport
from shared_tests.suites.conftest import Start
from shared_tests.workers.backends import BackendError

ADAPTER = Path(__file__).parents[2] / "examples" / "functional.py"
ROUNDING = re.compile(r"\d\.\de-1\d")
CASES = ["tiny", "channel_only", "paddle", "training_bottleneck"]

BROKEN = """
from shared_tests.workers.protocol import Request, Response

def run(request: Request) -> Response:
    raise ValueError("no such [layer]")
"""


@pytest.fixture(autouse=True)
def torch(start: Start) -> None:
    """The outside network is written in PyTorch."""
    start("torch")


@pytest.fixture
def mended(tmp_path: Path) -> str:
    """The outside network without its mistake."""
    text, path = ADAPTER.read_text(), tmp_path / "mended.py"
    assert text.count("SCALED_ENERGY = True") == 1
    path.write_text(text.replace("SCALED_ENERGY = True", "SCALED_ENERGY = False"))
    return str(path)


def test_mistake_is_found_where_it_is() -> None:
    outcomes = check_adapter(str(ADAPTER), CASES)
    actual = {
        name: outcome.first_mismatch for name, outcome in outcomes.items() if isinstance(outcome, ComparisonReport)
    }
    mismatches = dict.fromkeys(CASES, "position_map") | {"channel_only": None}
    assert actual == mismatches
    tiny = outcomes["tiny"]
    assert isinstance(tiny, ComparisonReport)
    assert tiny.cause == "the energy is scaled by 1/sqrt(query channels); DANet's is not"
    assert len(tiny.causes) == 1, "the fused logits are wrong only because of it"
    assert exit_code(outcomes.values()) == 1


def test_mended_it_passes(mended: str) -> None:
    outcomes = check_adapter(mended, CASES)
    assert all(isinstance(outcome, ComparisonReport) and outcome.agrees for outcome in outcomes.values()), outcomes
    assert exit_code(outcomes.values()) == 0


def test_without_named_stages_only_outputs_are_checked() -> None:
    outcome = check_adapter(str(ADAPTER), ["tiny"], taps=())["tiny"]
    assert isinstance(outcome, ComparisonReport)
    assert [difference.name for difference in outcome.differences] == ["fused", "position", "channel"]
    assert outcome.first_mismatch == "fused"


def test_adapter_that_cannot_run_is_an_error_and_no_report(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "broken.py"
    path.write_text(BROKEN)
    outcome = check_adapter(str(path), ["tiny"])["tiny"]
    assert isinstance(outcome, BackendError)
    assert main([str(path), "--cases", "tiny"]) == 2
    assert "ValueError: no such [layer] (broken.py:5)" in capsys.readouterr().out


def test_command() -> None:
    command = [sys.executable, "-m", "shared_tests.parity.check_adapter", str(ADAPTER), "--cases", "tiny,channel_only"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    tiny, channel_only = (line.split() for line in done.stdout.splitlines() if line.startswith(("tiny", "channel_")))
    assert tiny[:3] == ["tiny", "FAIL", "position_map"]
    assert channel_only[:2] == ["channel_only", "PASS"]
    assert "1 of 2 cases agree" in done.stdout


def test_documented_report_is_what_it_prints(capsys: pytest.CaptureFixture) -> None:
    documented = (
        (Path(__file__).parents[3] / "docs" / "judging.md").read_text().partition("$ python -m shared_tests.")[2]
    )
    command, *lines = documented.partition("\n\n")[0].splitlines()
    assert command.split()[1] == "shared_tests/examples/functional.py"
    assert main([str(ADAPTER), *command.split()[2:]]) == 1
    printed = capsys.readouterr().out.splitlines()
    # What agrees does so within rounding, which is the machine's own.
    assert [ROUNDING.sub("", line).split() for line in printed] == [ROUNDING.sub("", line).split() for line in lines]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere.py"], "nowhere.py: no adapter: No such file or directory"),
        (["mxnet"], "unknown backend 'mxnet'"),
        ([str(ADAPTER), "--cases", "tiny,r51"], "no such case: r51; there are tiny, r18"),
        ([str(ADAPTER), "--taps", "stem,layer5"], "no such tap: layer5; there are none, stem, layer1"),
        ([str(ADAPTER), "--taps", "none,stem"], "no such tap: none; "),
    ],
)
def test_what_cannot_be_checked_ends_with_2(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert complaint in capsys.readouterr().err
