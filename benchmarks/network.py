"""Compare networks of danet and of other projects: `python benchmarks/network.py --size 512x512 --out RESULT`.

Each measurement runs in a process of its own: a first pass with compilation, then the counted passes. Each round
measures every candidate once, so that a slow moment of the machine affects all. Prints the median over all counted
passes, the spread (largest minus smallest), the largest memory of a process, and the share of peak FLOP/s. That is the
rate of a pass, counted as direct convolutions, divided by the best rate of a product or convolution in the same rounds.

Candidates: torch, tf and jax, each alone or with :plain, :cpu_inference or :whole (the attention map is one chunk);
torch:compiled, torch:chunks (without PyTorch's attention kernel on a GPU), tf:xla, tf:cpu_inference+xla. For training:
:memory_efficient or :remat. Other projects: pytorchcv and mmseg. If this environment lacks them, they get their own in
.venv-third-party.
Modes: forward computes the fused logits at the size of the picture. train is one step, counted as 3 passes.
With --device cuda torch and jax run on a GPU, and --dtype also takes tf32. --out RESULT writes RESULT.json, RESULT.md
and RESULT.png.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from measure_process import GIB, measure_in_process
from option_types import numbers, sizes, words
from plot import draw

from danet_cli.cost.operations import count_operations
from danet_cli.environment import processor, versions
from danet_common import VARIANTS, Checkpoint, write_checkpoint
from shared_tests.fixtures.synthetic import synthetic_tensors

HERE = Path(__file__).parent
THIRD_PARTY = ("pytorchcv", "mmseg")
DANET = ("torch", "torch:cpu_inference", "tf:cpu_inference", "jax:cpu_inference")


def third_party_python() -> str:
    """Return the interpreter of the other projects' environment. Makes the environment if it is missing."""
    python = HERE.parent / ".venv-third-party" / "bin" / "python"
    ready = python.parent / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, "-r", str(HERE / "third_party_requirements.txt")], check=True)
        subprocess.run([*install, "--no-deps", "pytorchcv==0.0.74"], check=True)  # avoids torchvision
        ready.touch()
    return str(python)


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Measure a job in a process of its own."""
    foreign = job["candidate"] in THIRD_PARTY and not find_spec(job["candidate"])
    try:
        python = third_party_python() if foreign else sys.executable
    except subprocess.CalledProcessError as error:
        return {"error": f"no environment: {' '.join(map(str, error.cmd[-4:]))} failed"}
    return measure_in_process(job, python)


def run(options: argparse.Namespace, checkpoint: str) -> dict[str, Any]:
    """Measure every case with every candidate, once in each round."""
    cases = list(itertools.product(options.size, options.batch, options.mode, options.dtype))
    common = {"variant": options.variant, "device": options.device, "checkpoint": checkpoint, "passes": options.passes}
    answers_of: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    peaks: dict[str, list[float]] = {}
    for number in range(options.rounds):
        for dtype in options.dtype:
            peak = measure({"candidate": "peak_flops", "dtype": dtype, "device": options.device})
            if "error" in peak:
                raise SystemExit(f"cannot measure the peak FLOP/s of {dtype} on {options.device}: {peak['error']}")
            peaks.setdefault(dtype, []).append(peak["peak_flops"])
            print(f"round {number + 1}: {dtype} peak {peak['peak_flops'] / 1e9:.0f} GFLOP/s", file=sys.stderr)
        for case, candidate in itertools.product(cases, options.candidate):
            (height, width), batch, mode, dtype = case
            prepared = candidate.partition(":")[2]
            if prepared and (mode == "train") != (prepared in ("memory_efficient", "remat")):
                continue  # the other preparations are for prediction
            job = {"height": height, "width": width, "batch": batch, "mode": mode, "dtype": dtype, **common}
            answer = measure({**job, "candidate": candidate})
            answers_of.setdefault((case, candidate), []).append(answer)
            print(
                f"round {number + 1}: {height}x{width} {batch} {mode} {dtype} {candidate} {brief(answer)}",
                file=sys.stderr,
            )
    rows = []
    for (((height, width), batch, mode, dtype), candidate), answers in answers_of.items():
        operations = count_operations(options.variant, batch, height, width).network * (3 if mode == "train" else 1)
        row = {"height": height, "width": width, "batch": batch, "mode": mode, "dtype": dtype, "candidate": candidate}
        errors = [answer["error"] for answer in answers if "error" in answer]
        if errors:
            rows.append({**row, "error": errors[0]})
            continue
        seconds = [second for answer in answers for second in answer["seconds"]]
        median = statistics.median(seconds)
        row |= {"seconds": median, "spread": max(seconds) - min(seconds), "operations": operations}
        row |= {"first": statistics.median(answer["made"] + answer["first"] for answer in answers)}
        row |= {"bytes": max(answer["bytes"] for answer in answers)}
        rows.append({**row, "peak_fraction": operations / median / max(peaks[dtype])})
    rates = {dtype: max(values) for dtype, values in peaks.items()}
    return {"command": " ".join(sys.argv), "machine": machine(options.device), "peak_flops": rates, "rows": rows}


def brief(answer: dict[str, Any]) -> str:
    """Return a line of progress."""
    if "error" in answer:
        return str(answer["error"])
    return f"{statistics.median(answer['seconds']):.2f} s, {answer['bytes'] / GIB:.2f} GiB"


def machine(device: str) -> dict[str, str]:
    """Return the processor, the versions and the GPU."""
    facts = {"processor": processor(), **versions()}
    if device == "cuda":
        import torch

        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def table(result: dict[str, Any]) -> str:
    """Return a table in Markdown. The last column is relative to the first candidate of each case."""
    peaks = ", ".join(f"{dtype} {rate / 1e9:.0f} GFLOP/s" for dtype, rate in result["peak_flops"].items())
    lines = [f"`{result['command']}`", "", ", ".join(f"{name} {value}" for name, value in result["machine"].items())]
    columns = ["size", "batch", "mode", "dtype", "candidate", "seconds", "spread", "first", "peak GiB", "of peak"]
    lines += ["", f"peak: {peaks}", "", f"| {' | '.join(columns)} | times as fast |", "|---" * 11 + "|"]
    first: dict[tuple[Any, ...], float] = {}
    for row in result["rows"]:
        case = (row["height"], row["width"], row["batch"], row["mode"], row["dtype"])
        start = f"| {case[0]}x{case[1]} | {case[2]} | {case[3]} | {case[4]} | {row['candidate']} |"
        if "error" in row:
            lines.append(f"{start} {row['error'].replace('|', '/')} | | | | | |")
            continue
        against = first.setdefault(case, row["seconds"]) / row["seconds"]
        times = f"{row['seconds']:.2f} | {row['spread']:.2f} | {row['first']:.1f}"
        lines.append(f"{start} {times} | {row['bytes'] / GIB:.2f} | {row['peak_fraction']:.0%} | {against:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidate", type=words, default=["pytorchcv", *DANET], metavar="NAME,...")
    parser.add_argument("--variant", choices=VARIANTS, default="danet_r101")
    parser.add_argument("--size", type=sizes, default=[(512, 512), (768, 768)], metavar="HxW,...")
    parser.add_argument("--batch", type=numbers, default=[1], metavar="N,...")
    parser.add_argument("--mode", type=words, default=["forward"], metavar="forward,train")
    parser.add_argument("--dtype", type=words, default=["float32"], metavar="float32,bfloat16,tf32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--passes", type=int, default=3, help="counted, in each process")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, metavar="RESULT", help="files to write besides the printed table")
    options = parser.parse_args()
    unknown = [name for name in options.candidate if name.partition(":")[0] not in (*THIRD_PARTY, "torch", "tf", "jax")]
    if unknown:
        parser.error(
            f"unknown candidates {', '.join(unknown)}; known: {', '.join((*THIRD_PARTY, *DANET))} and more, see --help"
        )
    if options.device == "cuda" and any(name.startswith("tf") for name in options.candidate):
        parser.error("tf runs on the CPU only: use --candidate torch,jax")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "synthetic.safetensors"
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
