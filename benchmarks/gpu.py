"""Check and measure danet on a GPU, in at most 8 minutes: `python benchmarks/gpu.py --out gpu.md`.

Runs the tests marked `gpu`, and `danet check` with the profiles strict and fast. Then it measures attention and the
network in float32, TF32 and bfloat16. Writes their output in Markdown, for RESULTS.md. Takes PyTorch and JAX where they
see the GPU, and compares with pytorchcv where that is installed. Exits with 1 if a check fails, or has no time left.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from danet_cli.environment import processor, versions
from danet_common import VARIANTS, Checkpoint, write_checkpoint
from shared_tests.fixtures.synthetic import synthetic_tensors

SECONDS = 480
HERE = Path(__file__).parent
SEES_GPU = {
    "torch": "import torch; raise SystemExit(not torch.cuda.is_available())",
    "jax": "import jax; raise SystemExit(jax.default_backend() != 'gpu')",
}
DTYPES = "--device cuda --dtype float32,tf32,bfloat16"


def commands(backends: list[str]) -> list[str]:
    """Return the commands in the order of their worth: later ones may find no time."""
    names = ",".join(backends)
    kernels = names.replace("torch", "torch,torch:chunks")
    third_party = "pytorchcv," if find_spec("pytorchcv") else ""
    attention = f"python benchmarks/attention.py {DTYPES} --positions 4096,32768 --backend {kernels}"
    network = f"python benchmarks/network.py {DTYPES} --size 512x512,1024x2048 --candidate {third_party}{kernels}"
    return [
        "python -m pytest -q -m gpu -W default",
        f"python -m danet_cli check CKPT --backends {names} --profile strict",
        f"python -m danet_cli check CKPT --backends {names} --profile fast",
        attention,
        f"{attention} --backward",
        f"{network} --rounds 1",
    ]


def run(command: str, checkpoint: Path, seconds: float) -> tuple[bool, str]:
    """Return whether the command succeeded within the time, and what it printed."""
    words = [{"python": sys.executable, "CKPT": str(checkpoint)}.get(word, word) for word in command.split()]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=max(seconds, 0.1), cwd=HERE.parent)
    except subprocess.TimeoutExpired:
        return False, "no time left"
    return done.returncode == 0, done.stdout.strip() or done.stderr.strip()


def report(command: str, seconds: float, succeeded: bool, text: str) -> str:
    """Return a section of Markdown."""
    state = "done" if succeeded else "failed"
    return f"## `{command}`\n\n{state} in {seconds:.0f} s\n\n```\n{text}\n```\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="RESULT.md", help="file to write besides the printed text")
    options = parser.parse_args()
    deadline = time.monotonic() + SECONDS
    installed = [name for name in SEES_GPU if find_spec(name)]
    backends = [name for name in installed if not subprocess.run([sys.executable, "-c", SEES_GPU[name]]).returncode]
    if not backends:
        print(
            f"no GPU: {' and '.join(installed) or 'PyTorch and JAX'} see none. Install a CUDA build.", file=sys.stderr
        )
        return 2
    machine = {"processor": processor(), **versions()}
    if "torch" in backends:
        machine["gpu"] = importlib.import_module("torch").cuda.get_device_name()
    sections = [", ".join(f"{name} {value}" for name, value in machine.items()) + "\n"]
    failed = 0
    print(sections[0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "danet_r50.safetensors"
        config = VARIANTS["danet_r50"]
        write_checkpoint(Checkpoint(config, synthetic_tensors(config)), path)
        for command in commands(backends):
            started = time.monotonic()
            succeeded, text = run(command, path, deadline - started)
            failed += not succeeded
            sections.append(report(command, time.monotonic() - started, succeeded, text))
            print(sections[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(sections))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
