"""A process that reads mutated files one after another: `python -m` this FOLDER FIRST LAST STEP.

Each line of its output is the JSON of a batch's counts, or of a finding. The number of the input at hand is
kept in a file, which the parent process reads if this process dies.
"""

from __future__ import annotations

import json
import re
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import weights_convert
from danet_common import Checkpoint, CheckpointError
from shared_tests.fuzzing.inputs import Seed, load_seeds, make_input, place
from shared_tests.malicious.sandbox import memory
from shared_tests.malicious.seeds import SEEDS

SECONDS = 5  # of the processor, for one input
PATIENCE = 30  # seconds after which an input hangs
ROOM, FACTOR = 64 << 20, 100  # memory: so many bytes, and so many for each byte of the input
ADDRESS_SPACE = 6 << 30  # bytes
BATCH = 100
INSPECTED = 10  # of so many inputs one is inspected, its schema to be recognised, and the others are read


class Hang(BaseException):
    """Raised in the reader when an input takes too long; not an Exception, so that no reader can swallow it."""


def main() -> None:
    folder, (first, last, step) = Path(sys.argv[1]), map(int, sys.argv[2:5])
    warnings.simplefilter("error")
    signal.signal(signal.SIGALRM, raise_hang)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    seeds = load_seeds({name: folder / "seeds" / name.replace(".", "_") / name for name in SEEDS})
    mine, batch = folder / f"reader {first % step}", Batch()
    for number in range(first, last, step):
        (folder / f"at {first % step}").write_text(str(number))
        batch.add(number, *read_input(number, seeds, mine))
        if batch.inputs == BATCH:
            batch = batch.report()
    batch.report()


def raise_hang(*_: Any) -> None:
    """The handler of the alarm."""
    raise Hang(f"more than {PATIENCE} s")


def read_input(number: int, seeds: list[Seed], folder: Path) -> tuple[str, str, float, int, str]:
    """Read one input: seed, outcome, seconds, bytes, and what is wrong with that, if anything."""
    seed, files = make_input(number, seeds)
    size = place(files, folder)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the most memory held so far
    before, started = memory("VmRSS"), time.process_time()
    fault = ""
    signal.alarm(PATIENCE)
    try:
        outcome = read(folder / seed.source, None if number % INSPECTED == 0 else seed.schema)
    except CheckpointError as error:
        first = str(error).partition("\n")[0]
        outcome = "refused: " + classify(first.replace(str(folder / seed.source), ""))
        if not first.startswith(str(folder)) or not first.isprintable():
            fault = f"unclear: {first!r}"
    except BaseException as error:
        outcome, fault = type(error).__name__, traceback.format_exc()
    finally:
        signal.alarm(0)
    seconds, held = time.process_time() - started, memory("VmHWM") - before
    if seconds > SECONDS or held > ROOM + FACTOR * size:
        fault = f"{seconds:.1f} s, {held >> 20} MiB for {size} bytes"
    return seed.name, outcome, seconds, held, fault


def read(path: Path, schema: str | None) -> str:
    """Result of a file that is not refused."""
    if schema is None:
        weights_convert.inspect(path)
        return "inspected"
    checkpoint: Checkpoint = weights_convert.read(path, schema)
    checkpoint.check()
    checkpoint.hashes()
    return "read"


def classify(message: str) -> str:
    """The kind of an error: its words without names and numbers."""
    words = re.findall(r"[A-Za-z]{2,}", re.sub(r"'[^']*'|\"[^\"]*\"|\([^)]*\)?|\S*[._/\d]\S*", " ", message))
    return " ".join(words[:7])


class Batch:
    """Counts of some inputs."""

    def __init__(self) -> None:
        self.inputs = 0
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.worst: dict[str, tuple[float, int]] = {}

    def add(self, number: int, name: str, outcome: str, seconds: float, held: int, fault: str) -> None:
        """Count one; a finding is reported at once."""
        self.inputs += 1
        self.outcomes[name, outcome] += 1
        most = self.worst.get(name, (0.0, 0))
        self.worst[name] = max(most[0], seconds), max(most[1], held)
        if fault:
            print(json.dumps({"finding": number, "seed": name, "fault": fault}), flush=True)

    def report(self) -> Batch:
        """Print the counts; a new batch."""
        outcomes = [[*key, count] for key, count in self.outcomes.items()]
        print(json.dumps({"inputs": self.inputs, "outcomes": outcomes, "worst": self.worst}), flush=True)
        return Batch()


if __name__ == "__main__":
    main()
