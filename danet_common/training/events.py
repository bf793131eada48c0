"""TensorBoard's event files, through tensorboard's own record format: no framework and no thread takes part."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Events:
    """One more file in the folder, for what comes after `step`; TensorBoard drops what earlier files have of that."""

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() // 10**9}.{socket.gethostname()}.{os.getpid()}.{step}"
        self.writer = RecordWriter((folder / name).open("wb"))
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def write(self, record: Mapping[str, Any]) -> None:
        """One line of the metrics file: `losses/fused`, `learning_rate`, `mean_iou`, `iou/sky`, ..."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in figures(record).items()]
        self._write(Event(step=record["step"], summary=Summary(value=values)))
        self.writer.flush()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self.writer.write(event.SerializeToString())

    def close(self) -> None:
        """Close the file."""
        self.writer.close()


def figures(record: Mapping[str, Any]) -> dict[str, float]:
    """Every number of a line but its step, groups as GROUP/NAME."""
    found: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found |= {f"{name}/{inner}": number for inner, number in figures(value).items()}
        elif isinstance(value, int | float) and name != "step":
            found[name] = value
    return found
