"""The backends, each in a process of its own, so that no framework sees another."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from danet_common.child_processes import kill_child, start_child
from danet_common.extras import FRAMEWORKS, explain_missing, missing_packages
from danet_common.files.unfinished import abandoned_by
from shared_tests.workers.protocol import Groups, Request, Response, load_arrays, save_arrays


@dataclass(frozen=True)
class Backend:
    """An adapter, the packages it needs, the modes it can run in and the environment it runs under."""

    name: str
    adapter: str
    needs: tuple[str, ...]
    modes: tuple[str, ...] = ("eager",)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that are not installed here."""
        return tuple(missing_packages(self.needs))


JAX_ENVIRONMENT = {"JAX_ENABLE_X64": "1"}  # float64 requests need it; float32 ones are unchanged by it

BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("torch", "shared_tests.workers.adapters.torch", FRAMEWORKS["torch"], ("eager", "compile")),
        Backend(
            "tf",
            "shared_tests.workers.adapters.tf",
            FRAMEWORKS["tf"],
            ("eager", "function", "xla"),
            {"KERAS_BACKEND": "tensorflow"},
        ),
        Backend("jax", "shared_tests.workers.adapters.jax", FRAMEWORKS["jax"], ("eager", "jit"), JAX_ENVIRONMENT),
        Backend(
            "keras_jax",
            "shared_tests.workers.adapters.tf",
            ("jax", "keras"),
            ("eager", "function"),
            {"KERAS_BACKEND": "jax", **JAX_ENVIRONMENT},
        ),
        Backend(
            "keras_torch",
            "shared_tests.workers.adapters.tf",
            ("torch", "keras", "tensorflow"),
            ("eager",),
            {"KERAS_BACKEND": "torch"},
        ),
    )
}


class BackendError(RuntimeError):
    """A backend that could not compute: not installed, or its process failed. The text is meant for the user."""


class Worker:
    """A running backend. Use as a context manager, or call `close`."""

    def __init__(self, backend: Backend, timeout: float = 600) -> None:
        if backend.missing:
            raise BackendError(explain_missing(f"backend {backend.name}", backend.missing))
        self.backend = backend
        self.timeout = timeout
        self.folder = tempfile.TemporaryDirectory(prefix="danet-")
        self.log = (Path(self.folder.name) / "log").open("w+")
        self.process = start_child(
            [sys.executable, "-W", "ignore", "-m", "shared_tests.workers.worker", backend.adapter],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, **backend.environment},
        )
        self.listed = ExitStack()
        self.listed.enter_context(abandoned_by(self.abandon))

    def run(self, request: Request) -> Response:
        """Compute one request. Raises BackendError with the backend's own last words."""
        fields = asdict(request)
        arrays = {"input": {"x": fields.pop("x")}, "cotangents": fields.pop("cotangents")}
        sent, reply = Path(self.folder.name) / "request.npz", Path(self.folder.name) / "reply.npz"
        save_arrays(sent, arrays)
        flags = self.ask({"request": fields, "arrays": str(sent), "reply": str(reply)})["flags"]
        return Response(**{"outputs": {}, **load_arrays(reply)}, flags=flags)

    def call_function(self, function: str, fields: dict[str, Any], arrays: Groups, module: str | None = None) -> Groups:
        """Call a function of a module, the framework's trainer if None. Raises BackendError."""
        sent, reply = Path(self.folder.name) / "request.npz", Path(self.folder.name) / "reply.npz"
        save_arrays(sent, arrays)
        trainer = module or f"shared_tests.workers.trainers.{self.backend.name}"
        names = {"trainer": trainer, "function": function, "arrays": str(sent), "reply": str(reply)}
        self.ask({"fields": fields, **names})
        return load_arrays(reply)

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send one message and wait for its reply; a process that takes too long is killed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        clock = threading.Timer(self.timeout, self.process.kill)
        clock.start()
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            clock.cancel()
        if not line:
            raise BackendError(f"backend {self.backend.name} ended: {self._last_words()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise BackendError(f"backend {self.backend.name}: {reply['error']} ({reply['where']})")
        return reply

    def _last_words(self) -> str:
        code = self.process.wait()
        self.log.seek(0)
        lines = [line.strip() for line in self.log if line.strip()]
        return f"exit code {code}; {lines[-1] if lines else 'no message'}"

    def close(self) -> None:
        """End the process and remove its files."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.folder.cleanup()
        self.listed.close()

    def abandon(self) -> None:
        """Kill the process and remove its files, when a signal ends this one."""
        kill_child(self.process)
        shutil.rmtree(self.folder.name, ignore_errors=True)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
