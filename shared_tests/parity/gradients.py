"""Gradients of one network in several frameworks: what they are asked for, and how far apart they are."""

from __future__ import annotations

import numpy as np

from shared_tests.fixtures.cases import Case
from shared_tests.fixtures.synthetic import synthetic_array


def cotangents(case: Case) -> dict[str, np.ndarray]:
    """A weight for every logit, so that every one counts differently."""
    shape = (case.batch, case.config.num_classes, case.height, case.width)
    return {name: synthetic_array(f"cotangent:{name}", shape).astype(np.float64) for name in case.config.outputs}


def mismatch(expected: dict[str, np.ndarray], actual: dict[str, np.ndarray]) -> tuple[float, str]:
    """The largest relative difference and its tensor, relative to the largest gradient in the same module.

    In the same module, because a key's bias has no gradient at all: softmax does not see it.
    """
    assert actual.keys() == expected.keys()
    scale: dict[str, float] = {}
    for name, gradient in expected.items():
        module = name.rpartition(".")[0]
        scale[module] = max(scale.get(module, 0.0), float(np.abs(gradient).max()))
    worst = {
        name: float(np.abs(actual[name] - expected[name]).max()) / scale[name.rpartition(".")[0]] for name in expected
    }
    name = max(worst, key=lambda name: worst[name])
    return worst[name], name
