"""A `danet` command that is interrupted at a random moment, as a terminal or `kill` does it, and what it left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

STARTED = "import sys; sys.stdout.write('x'); sys.stdout.flush(); from danet_cli.main import main; main()"
PATIENCE = 120  # seconds from the signal to the end: one step in C may be under way on a busy machine


@dataclass(frozen=True)
class Interrupted:
    """End of the command. `left` are the files that are neither inputs nor complete outputs."""

    code: int
    error: str
    seconds: float
    left: tuple[str, ...]


def interrupt(
    arguments: list[str],
    folder: Path,
    delay: float,
    *,
    number: int = signal.SIGINT,
    group: bool = False,
    times: int = 1,
) -> Interrupted:
    """Start a command, wait `delay` seconds from Python's start, send the signal, and wait for the end.

    Until Python runs the first line of the program it handles signals in its own way, so the program says when.

    group  to all processes of the command, as a terminal does it
    times  how often the signal is sent, 10 ms apart
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite run in the background ignores it
    try:
        with subprocess.Popen(
            [sys.executable, "-c", STARTED, *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            process.stdout.read(1)
            time.sleep(delay)
            begun = time.monotonic()
            for _ in range(times):
                if process.poll() is None:
                    (os.killpg if group else os.kill)(process.pid, number)
                time.sleep(0.01)
            _, error = process.communicate(timeout=PATIENCE)
    finally:
        signal.signal(signal.SIGINT, before)
    left = tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*.part")))
    return Interrupted(process.returncode, error, time.monotonic() - begun, left)
