"""A process that holds one framework and computes requests: `python -m shared_tests.workers.worker ADAPTER`.

ADAPTER is a module's dotted name or the path of a Python file; either has a function `run(request) -> Response`.
Messages and replies are lines of JSON on standard input and output; arrays travel in `.npz` files.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path
from typing import IO, Any

from danet_common.imports import without_garbage_collection
from shared_tests.workers.protocol import GROUPS, Adapter, Request, load_arrays, save_arrays


def load_adapter(name: str) -> Adapter:
    """Import an adapter by module name, or from a file's path where the name ends in .py."""
    if not name.endswith(".py"):
        with without_garbage_collection():
            return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(Path(name).stem, name)
    if spec is None or spec.loader is None:
        raise ImportError(f"{name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def compute(adapter: Adapter, message: dict[str, Any]) -> dict[str, Any]:
    """Run the request of a message; the arrays of the response go into the file that the message names."""
    arrays = load_arrays(message["arrays"])
    request = Request(x=arrays["input"]["x"], cotangents=arrays.get("cotangents", {}), **message["request"])
    response = adapter.run(request)
    save_arrays(message["reply"], {group: getattr(response, group) for group in GROUPS})
    return {"flags": response.flags}


def call_function(message: dict[str, Any]) -> dict[str, Any]:
    """Call one function of a trainer, `function(fields, arrays) -> arrays`; they go into the file it names."""
    function = getattr(importlib.import_module(message["trainer"]), message["function"])
    save_arrays(message["reply"], function(message["fields"], load_arrays(message["arrays"])))
    return {}


def serve(messages: IO[str], replies: IO[str], name: str) -> None:
    """Reply until the input ends. A request that fails is reported, and the process goes on."""
    adapter: Adapter | None = None
    for line in messages:
        message = json.loads(line)
        try:
            if "installer" in message:  # a module that changes sources, and imports the adapter again
                adapter = importlib.import_module(message["installer"]).install(name, message["sources"])
                reply: dict[str, Any] = {}
            elif "trainer" in message:
                reply = call_function(message)
            else:
                adapter = adapter or load_adapter(name)
                reply = compute(adapter, message)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            reply = {"error": f"{type(error).__name__}: {error}", "where": where}
        print(json.dumps(reply), file=replies, flush=True)


def main() -> None:
    # Frameworks write to standard output as they please: keep it for replies, and give them standard error.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    serve(sys.stdin, replies, sys.argv[1])
    gc.freeze()  # Python's last collections would look at all objects of the framework, for a second


if __name__ == "__main__":
    main()
