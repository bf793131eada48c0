"""Print the README's float64 parity table: `python benchmarks/parity.py`.

Synthetic weights (gammas not zero, random BatchNorm) on noise, batch 2. Compares every tap and output of each framework
with the NumPy reference, and the gradients of each framework with PyTorch's.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from option_types import size

from danet_common import VARIANTS, Checkpoint, tap_names, write_checkpoint
from shared_tests.fixtures.cases import Case
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.parity.check_case import case_input, expected, named
from shared_tests.parity.compare import compare
from shared_tests.parity.gradients import cotangents, mismatch
from shared_tests.workers.backends import BACKENDS, Worker
from shared_tests.workers.protocol import Request

NETWORKS = ("torch", "tf", "jax")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=VARIANTS, default="danet_r101")
    parser.add_argument("--size", type=size, default=(97, 129), metavar="HxW")
    options = parser.parse_args()
    height, width = options.size
    case = Case(VARIANTS[options.variant], height=height, width=width)
    reports, gradients = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "synthetic.safetensors"
        write_checkpoint(Checkpoint(case.config, synthetic_tensors(case.config)), path)
        request = Request(
            checkpoint=str(path),
            x=case_input(case).astype(np.float64),
            dtype="float64",
            taps=tap_names(case.config),
            cotangents=cotangents(case),
        )
        for name in NETWORKS:
            with Worker(BACKENDS[name]) as worker:
                response = worker.run(request)
            reports[name], gradients[name] = compare(expected(case), named(response)), response.gradients
    rows = {output: [relative(reports[name], output) for name in NETWORKS] for output in case.config.outputs}
    rows["worst tap"] = [max(tap.relative or 0 for tap in reports[name].differences) for name in NETWORKS]
    rows["worst gradient, against torch"] = [mismatch(gradients["torch"], gradients[name])[0] for name in NETWORKS]
    print(f"| {options.variant}, float64, {height}x{width}, batch 2 | {' | '.join(NETWORKS)} |\n|---|---|---|---|")
    for row, values in rows.items():
        print(f"| {row} | {' | '.join(f'{value:.1e}' for value in values)} |")


def relative(report, name: str) -> float:
    """Return the relative difference of one array."""
    return next(difference.relative for difference in report.differences if difference.name == name)


if __name__ == "__main__":
    main()
