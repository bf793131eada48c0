"""A process that converts malicious files one after another and says of each what it did: `python -m` this.

A line of JSON comes in for each file, a line goes out. While a file is converted, everything by which Python
code is run, imported or reaches out of the process is noted through an audit hook; so are the process's time
and the most memory it held.
"""

from __future__ import annotations

import codecs
import json
import os
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import weights_convert
from danet_common import CheckpointError
from shared_tests.malicious.seeds import write_seeds

ADDRESS_SPACE = 8 << 30  # bytes; a process that goes for more is stopped before the machine suffers
CANARY = "shared_tests.malicious.canary"
FORBIDDEN = (  # beginnings of audit events
    "compile",
    "exec",
    "import",
    "os.",
    "subprocess.",
    "socket.",
    "pty.",
    "shutil.",
    "ctypes.",
    "marshal.",
    "pickle.",
    "code.",
    "tempfile.",
    "urllib.",
    "webbrowser.",
)
HARMLESS = ("os.listdir", "os.scandir", "os.walk", "os.fwalk")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """Notes audit events while `active`."""

    def __init__(self) -> None:
        self.active = False
        self.events: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """The audit hook."""
        if not self.active:
            return
        if event == "open":
            _, mode, flags = arguments
            if set(mode or "") & set("wax+") or flags & WRITING:
                self.events.append(f"open {arguments}")
        elif event.startswith(FORBIDDEN) and event not in HARMLESS:
            self.events.append(f"{event} {arguments}"[:200])


def memory(field: str) -> int:
    """Bytes, of this process's status: VmRSS is held now, VmHWM was held at most."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) << 10


def convert(source: str, destination: str, watch: Watch) -> dict[str, Any]:
    """Convert one file and report."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the most memory held so far
    before, started = memory("VmRSS"), time.process_time()
    outcome, message = "converted", ""
    watch.events.clear()
    watch.active = True
    try:
        weights_convert.convert(source, destination, force=True)
    except CheckpointError as error:
        outcome, message = "refused", str(error)
    except BaseException as error:
        outcome, message = type(error).__name__, traceback.format_exc()
    watch.active = False
    return {
        "outcome": outcome,
        "message": message,
        "seconds": time.process_time() - started,
        "bytes": memory("VmHWM") - before,
        "events": list(watch.events),
        "canary": CANARY in sys.modules,
    }


def main() -> None:
    folder, replies = Path(sys.argv[1]), sys.stdout  # the folder is made here
    sys.stdout = sys.stderr
    warnings.simplefilter("error")
    for name, path in write_seeds(folder).items():  # so that whatever is imported lazily is
        weights_convert.convert(path, folder / f"{name}.out.safetensors")
    codecs.lookup("raw_unicode_escape")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    watch = Watch()
    sys.addaudithook(watch)
    print(json.dumps({"outcome": "ready"}), file=replies, flush=True)
    for line in sys.stdin:
        source, destination = json.loads(line)
        print(json.dumps(convert(source, destination, watch)), file=replies, flush=True)


if __name__ == "__main__":
    main()
