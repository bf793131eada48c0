"""Whole networks side by side, ours and other people's: `python benchmarks/network.py --size 512x512 --out benchmarks`.

Every measurement runs in a process of its own: one pass that compiles what there is to compile, then some that count.
Rounds go through all candidates in turn, so that they share the machine's moods; figures are medians over all rounds'
passes, with the spread (largest less smallest), the most memory of a process, and the fraction of the roof: what a pass
computes, by direct convolutions, against the best rate of a product or convolution, measured in the same rounds.

Candidates: torch, tf, jax, each alone or with :plain, :cpu_inference or :whole (the attention map is one chunk), and
torch:compiled, torch:slices (no kernel of PyTorch's attends, on a GPU either), tf:xla, tf:cpu_inference+xla; for
training, :memory_efficient or :remat; pytorchcv and mmseg, for which an environment is made in .venv-peers unless this
one has them.
Modes: forward, to the fused logits at the picture's size; train, one step of a plain network, counted as three passes.
With --device cuda torch and jax run on a GPU, and --dtype takes tf32 too. Writes RESULT.json, RESULT.md and RESULT.png
for --out RESULT.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from drawing import draw
from sizes import sizes

from danet_cli.cost.operations import count_operations
from danet_cli.environment import processor, versions
from danet_common import VARIANTS, Checkpoint, write_checkpoint
from shared_tests.fixtures.synthetic import synthetic_tensors

HERE = Path(__file__).parent
PEERS = ("pytorchcv", "mmseg")
ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
OURS = ("torch", "torch:cpu_inference", "tf:cpu_inference", "jax:cpu_inference")
GIB = 1 << 30


def peers_python() -> str:
    """The interpreter of the peers' environment, which is made if it is not there."""
    python = HERE.parent / ".venv-peers" / "bin" / "python"
    ready = python.parent / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, "-r", str(HERE / "peers.txt")], check=True)
        subprocess.run([*install, "--no-deps", "pytorchcv==0.0.74"], check=True)  # torchvision would be its only use
        ready.touch()
    return str(python)


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """In a process of its own."""
    foreign = job["candidate"] in PEERS and not find_spec(job["candidate"])
    try:
        python = peers_python() if foreign else sys.executable
    except subprocess.CalledProcessError as error:
        return {"error": f"no environment for it: {' '.join(map(str, error.cmd[-4:]))} failed"}
    environment = {**os.environ, **ENVIRONMENT, "PYTHONWARNINGS": "ignore"}
    command = [python, str(HERE / "measuring.py"), json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["killed: it may have asked for more memory than there is"])[-1]
        return {"error": last[:200]}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def run(options: argparse.Namespace, checkpoint: str) -> dict[str, Any]:
    """Every case with every candidate, once in each round."""
    cases = list(itertools.product(options.size, options.batch, options.mode, options.dtype))
    common = {"variant": options.variant, "device": options.device, "checkpoint": checkpoint, "passes": options.passes}
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    roofs: dict[str, list[float]] = {}
    for number in range(options.rounds):
        for dtype in options.dtype:
            roof = measure({"candidate": "roof", "dtype": dtype, "device": options.device})
            if "error" in roof:
                raise SystemExit(f"no roof of {dtype} on {options.device}: {roof['error']}")
            roofs.setdefault(dtype, []).append(roof["roof"])
            print(f"round {number + 1}: {dtype} roof {roof['roof'] / 1e9:.0f} GFLOP/s", file=sys.stderr)
        for case, candidate in itertools.product(cases, options.candidate):
            (height, width), batch, mode, dtype = case
            prepared = candidate.partition(":")[2]
            if prepared and (mode == "train") != (prepared in ("memory_efficient", "remat")):
                continue  # other prepared networks are for prediction
            job = {"height": height, "width": width, "batch": batch, "mode": mode, "dtype": dtype, **common}
            answer = measure({**job, "candidate": candidate})
            found.setdefault((case, candidate), []).append(answer)
            print(
                f"round {number + 1}: {height}x{width} {batch} {mode} {dtype} {candidate} {brief(answer)}",
                file=sys.stderr,
            )
    rows = []
    for (((height, width), batch, mode, dtype), candidate), answers in found.items():
        operations = count_operations(options.variant, batch, height, width).network * (3 if mode == "train" else 1)
        row = {"height": height, "width": width, "batch": batch, "mode": mode, "dtype": dtype, "candidate": candidate}
        errors = [answer["error"] for answer in answers if "error" in answer]
        if errors:
            rows.append({**row, "error": errors[0]})
            continue
        seconds = [second for answer in answers for second in answer["seconds"]]
        middle = statistics.median(seconds)
        row |= {"seconds": middle, "spread": max(seconds) - min(seconds), "operations": operations}
        row |= {"first": statistics.median(answer["made"] + answer["first"] for answer in answers)}
        row |= {"bytes": max(answer["bytes"] for answer in answers)}
        rows.append({**row, "roof": operations / middle / max(roofs[dtype])})
    rates = {dtype: max(values) for dtype, values in roofs.items()}
    return {"command": " ".join(sys.argv), "machine": machine(options.device), "roofs": rates, "rows": rows}


def brief(answer: dict[str, Any]) -> str:
    """For whoever waits."""
    if "error" in answer:
        return str(answer["error"])
    return f"{statistics.median(answer['seconds']):.2f} s, {answer['bytes'] / GIB:.2f} GiB"


def machine(device: str) -> dict[str, str]:
    """What this was measured on, and with."""
    facts = {"processor": processor(), **versions()}
    if device == "cuda":
        import torch

        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def table(result: dict[str, Any]) -> str:
    """As Markdown, each candidate against the first of its case."""
    roofs = ", ".join(f"{dtype} {rate / 1e9:.0f} GFLOP/s" for dtype, rate in result["roofs"].items())
    lines = [f"`{result['command']}`", "", ", ".join(f"{name} {value}" for name, value in result["machine"].items())]
    columns = ["size", "batch", "mode", "dtype", "candidate", "seconds", "spread", "first", "peak GiB", "of the roof"]
    lines += ["", f"roof: {roofs}", "", f"| {' | '.join(columns)} | times as fast |", "|---" * 11 + "|"]
    first: dict[tuple[Any, ...], float] = {}
    for row in result["rows"]:
        case = (row["height"], row["width"], row["batch"], row["mode"], row["dtype"])
        start = f"| {case[0]}x{case[1]} | {case[2]} | {case[3]} | {case[4]} | {row['candidate']} |"
        if "error" in row:
            lines.append(f"{start} {row['error'].replace('|', '/')} | | | | | |")
            continue
        against = first.setdefault(case, row["seconds"]) / row["seconds"]
        times = f"{row['seconds']:.2f} | {row['spread']:.2f} | {row['first']:.1f}"
        lines.append(f"{start} {times} | {row['bytes'] / GIB:.2f} | {row['roof']:.0%} | {against:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    def words(text: str) -> list[str]:
        return text.split(",")

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidate", type=words, default=["pytorchcv", *OURS], metavar="NAME,...")
    parser.add_argument("--variant", choices=VARIANTS, default="danet_r101")
    parser.add_argument("--size", type=sizes, default=[(512, 512), (768, 768)], metavar="HxW,...")
    parser.add_argument("--batch", type=lambda text: [int(word) for word in words(text)], default=[1], metavar="N,...")
    parser.add_argument("--mode", type=words, default=["forward"], metavar="forward,train")
    parser.add_argument("--dtype", type=words, default=["float32"], metavar="float32,bfloat16,tf32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--passes", type=int, default=3, help="that count, in each process")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, metavar="RESULT", help="without: print the table")
    options = parser.parse_args()
    unknown = [name for name in options.candidate if name.partition(":")[0] not in (*PEERS, "torch", "tf", "jax")]
    if unknown:
        parser.error(
            f"unknown candidates {', '.join(unknown)}; known: {', '.join((*PEERS, *OURS))} and more, see above"
        )
    if options.device == "cuda" and any(name.startswith("tf") for name in options.candidate):
        parser.error("tf is measured on the CPU: --candidate torch,jax, and more")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rule.safetensors"
        config = VARIANTS[options.variant]
        write_checkpoint(Checkpoint(config, synthetic_tensors(config)), path)
        result = run(options, str(path))
    print(table(result))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        options.out.with_suffix(".md").write_text(table(result))
        draw(result, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
