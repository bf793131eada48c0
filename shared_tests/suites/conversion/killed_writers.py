"""Writers that are killed, or run several at once.

    python -m shared_tests.suites.conversion.killed_writers kill|together ROUNDS [NAME...]

Prints JSON: how many were killed in the middle, and every fault. Each writer runs in a process of its own, forked
from this one, which has imported all and started no thread.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from danet_common import CheckpointError
from shared_tests.suites.conversion.writers import CHOOSING, WRITERS, Writer, listing, read_seed

TOGETHER = 8  # processes
AGAIN = 3  # times that each writes
DONE, FAULT, EXISTS = 0, 1, 2  # exit codes
OLD, KILLED, NEXT = 3, 4, 5  # seeds


def main() -> None:
    """Run what the command line says."""
    mode, rounds, names = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    report: dict[str, Any] = {"killed": 0, "errors": []}
    chance = random.Random(0)
    for name in names or WRITERS:
        for number in range(rounds):
            with tempfile.TemporaryDirectory(prefix="danet-writers-") as folder:
                run = kill if mode == "kill" else together
                run(WRITERS[name], Path(folder), number, chance, report, name)
    print(json.dumps(report))


def kill(writer: Writer, folder: Path, number: int, chance: random.Random, report: dict[str, Any], name: str) -> None:
    """Kill a writer at a random time, look at what is there, and write once more. Odd rounds begin with nothing."""
    path, old = folder / "place" / writer.name, number % 2 == 0
    path.parent.mkdir()
    (path.parent / "notes.part").write_text("mine")
    begun = time.perf_counter()
    finish(writer, OLD, folder / "other" / writer.name)
    duration = time.perf_counter() - begun
    if old:
        finish(writer, OLD, path)
    process = fork(lambda: writer.write(KILLED, path, True))
    time.sleep(chance.uniform(0, duration))
    os.kill(process, signal.SIGKILL)
    report["killed"] += os.WIFSIGNALED(os.waitpid(process, 0)[1])
    seen = seed_of(path)
    if seen not in ({OLD, KILLED} if old else {None, KILLED}):
        report["errors"].append(f"{name}: after a kill, {seen} is there")
    finish(writer, NEXT, path)
    expect(writer, path, NEXT, folder, report, f"{name}: after the write that follows a kill", ["notes.part"])


def together(
    writer: Writer, folder: Path, number: int, chance: random.Random, report: dict[str, Any], name: str
) -> None:
    """Run several writers of one destination at once. Even rounds replace, odd ones do not where there is a choice."""
    force = number % 2 == 0 or writer not in CHOOSING.values()
    path = folder / "place" / writer.name
    path.parent.mkdir()
    start = time.time() + 0.05

    def write(seed: int) -> None:
        time.sleep(max(0, start - time.time()))
        for _ in range(AGAIN if force else 1):
            writer.write(seed, path, force)

    processes = [fork(lambda seed=seed: write(seed)) for seed in range(1, TOGETHER + 1)]  # type: ignore[misc]
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    done = codes.count(DONE)
    if done != (TOGETHER if force else 1) or done + codes.count(EXISTS) != TOGETHER:
        report["errors"].append(f"{name}: ended with {codes}, replacing {force}")
    seen = seed_of(path)
    if not force and seen is not None and codes.count(DONE) == 1 and codes[int(seen) - 1] != DONE:
        report["errors"].append(f"{name}: {seen} is there, and another writer was done")
    expect(writer, path, seen, folder, report, f"{name}: {TOGETHER} at once", [])


def expect(
    writer: Writer, path: Path, seed: object, folder: Path, report: dict[str, Any], when: str, others: list[str]
) -> None:
    """Note a fault unless the destination has just what one writer of this seed leaves, and the user's own files."""
    if not isinstance(seed, int):
        report["errors"].append(f"{when}: {seed}")
        return
    shutil.rmtree(folder / "other", ignore_errors=True)
    finish(writer, seed, folder / "other" / writer.name)
    there, expected = listing(path.parent), sorted(listing(folder / "other") + others)
    if (seen := seed_of(path)) != seed or there != expected:
        report["errors"].append(f"{when}: {seen} instead of {seed}, {sorted(set(there) ^ set(expected))}")


def fork(work: Callable[[], object]) -> int:
    """Do something in another process; its number."""
    process = os.fork()
    if process:
        return process
    code = FAULT
    try:
        work()
        code = DONE
    except (CheckpointError, FileExistsError) as error:
        code = EXISTS if "exists already" in str(error) else FAULT
        if code == FAULT:
            print(type(error).__name__, error, file=sys.stderr)
    except BaseException as error:
        print(type(error).__name__, error, file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(code)


def finish(writer: Writer, seed: int, path: Path) -> None:
    """Write in another process and wait for it. Raises RuntimeError where it fails."""
    path.parent.mkdir(exist_ok=True)
    if os.waitpid(fork(lambda: writer.write(seed, path, True)), 0)[1]:
        raise RuntimeError(f"{path} could not be written")


def seed_of(path: Path) -> int | str | None:
    """The seed of what is there, read in another process; None where nothing is, a text where it is not whole."""
    if not path.exists():
        return None
    reading, writing = os.pipe()

    def read() -> None:
        try:
            os.write(writing, str(read_seed(path)).encode())
        except Exception as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode()[:1000])

    process = fork(read)
    os.close(writing)
    text = os.read(reading, 1000).decode(errors="replace")
    os.close(reading)
    os.waitpid(process, 0)
    return int(text) if text.isdigit() else text


if __name__ == "__main__":
    main()
