"""TensorBoard's event files, in tensorboard's own record format, without a framework or a thread."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Events:
    """A new file in the folder, for the events after `step`; TensorBoard drops later steps of earlier files."""

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() // 10**9}.{socket.gethostname()}.{os.getpid()}.{step}"
        self.writer = RecordWriter((folder / name).open("wb"))
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def write(self, record: Mapping[str, Any]) -> None:
        """Write a line of the metrics file: `losses/fused`, `learning_rate`, `mean_iou`, `iou/sky`, ..."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in _scalars(record).items()]
        self._write(Event(step=record["step"], summary=Summary(value=values)))
        self.writer.flush()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self.writer.write(event.SerializeToString())

    def close(self) -> None:
        """Close the file."""
        self.writer.close()


def _scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a line but its step, groups as GROUP/NAME."""
    scalars: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            scalars |= {f"{name}/{inner}": number for inner, number in _scalars(value).items()}
        elif isinstance(value, int | float) and name != "step":
            scalars[name] = value
    return scalars
