"""Measure memory and time of converting a checkpoint of 500 MB: `python benchmarks/conversion.py`.

The file is an official `.pth.tar` of a ResNet-101 network in float64. The baseline is `torch.load` and safetensors'
`save_file`. Each runs in a process of its own. The time excludes imports; the peak memory of the process includes them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure_process import MIB, last_json, peak_memory

ENDINGS = (".safetensors", ".pth", ".npz", ".keras", ".weights.h5", ".orbax")


def make(path: Path, variant: str) -> int:
    """Write the file with torch.save and return the bytes of its tensors."""
    program = (
        "import sys, torch, weights_convert\n"
        "from danet_common import VARIANTS, Checkpoint, initial_tensors\n"
        "config = VARIANTS[sys.argv[2]]\n"
        "drawn = initial_tensors(config)\n"
        "tensors = {name: a.astype('f8') if a.dtype.kind == 'f' else a for name, a in drawn.items()}\n"
        "weights_convert.write(Checkpoint(config, tensors), sys.argv[1], 'official')\n"
        "torch.save(torch.load(sys.argv[1], weights_only=True), sys.argv[1])\n"
        "print(sum(array.nbytes for array in tensors.values()))\n"
    )
    command = [sys.executable, "-c", program, str(path), variant]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(kind: str, source: Path, destination: Path) -> dict[str, Any]:
    """Do the work in a process of its own."""
    command = [sys.executable, __file__, "--work", kind, str(source), str(destination)]
    answer = last_json(command)
    if "error" in answer:
        raise SystemExit(answer["error"])
    return answer


def work(kind: str, source: str, destination: str) -> dict[str, Any]:
    """Do the work and return its seconds and the peak memory of this process in bytes."""
    if kind == "bare load and save":
        import torch
        from safetensors.torch import save_file

        started = time.perf_counter()
        save_file(torch.load(source, weights_only=True)["state_dict"], destination)
    else:
        import weights_convert

        started = time.perf_counter()
        weights_convert.convert(source, destination, "official" if kind == "from official" else None, force=True)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "bytes": peak_memory({"device": "cpu"})}


def run(variant: str, endings: tuple[str, ...]) -> dict[str, Any]:
    """Measure the baseline and the conversion into each format and back: the faster of 2 runs each."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model_best.pth.tar"
        size = make(source, variant)
        works = [("bare load and save", source, Path(folder) / "bare.safetensors")]
        works += [("from official", source, Path(folder) / f"model{ending}") for ending in endings]
        works += [
            ("back", Path(folder) / f"model{ending}", Path(folder) / "back.safetensors") for ending in endings[1:]
        ]
        rows = {}
        for kind, start, end in works:
            repeats = [measure(kind, start, end) for _ in range(2)]
            name = kind if kind == "bare load and save" else f"{start.name} -> {end.name.removeprefix('model')}"
            rows[name] = min(repeats, key=lambda row: row["seconds"])
    return {"tensors": size, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="danet_r101")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", nargs=3, metavar=("KIND", "SRC", "DST"), help="used by this program itself")
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work(*options.work)))
        return
    answer = run(options.variant, ENDINGS)
    if options.json:
        print(json.dumps(answer))
        return
    size, rows = answer["tensors"], answer["rows"]
    bare = rows["bare load and save"]["seconds"]
    print(f"{size / MIB:.0f} MiB of tensors")
    for name, row in rows.items():
        seconds, memory = row["seconds"], row["bytes"]
        print(f"{name:38}{seconds:7.2f} s {seconds / bare:6.2f}x {memory / MIB:7.0f} MiB {memory / size:6.2f}x")


if __name__ == "__main__":
    main()
