"""Error that a precision must cost a network: the float64 reference again, with the precision's roundings.

A float32 run is the exact run of a network whose weights and pixels are off by about a ULP. So each of them is
perturbed by up to a ULP; for TF32, which rounds the factors of products to 10 bits, by 2^-10. The input of the
softmaxes is rounded too. A channel's max - energy may exceed 10000, where a float32 ULP is 1e-3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from danet_common import DANetConfig
from danet_common.numerics.keyed_random import philox
from shared_tests.parity.distance import distance
from shared_tests.reference.network import Network

Arrays = Mapping[str, NDArray[Any]]

FLOAT32 = 2.0**-23  # a unit in the last place, relative
TF32 = 2.0**-10


def rounding_noise(
    config: DANetConfig, tensors: Arrays, x: NDArray[Any], expected: Arrays, unit: float = FLOAT32
) -> dict[str, float]:
    """Name -> relative difference from `expected`, every tap and output of the reference; one `unit` at least."""
    moved = {name: perturbed(name, array, unit) for name, array in tensors.items()}
    network = RoundedNetwork(config, moved, training=False)
    network.run(perturbed("input", x, unit))
    run = {**network.result.taps, **network.result.outputs}
    return {name: max(distance(expected[name], run[name]).relative, unit) for name in expected}


class RoundedNetwork(Network):
    """The reference, with what goes into the softmaxes of attention rounded to float32."""

    def energy(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        return value.astype(np.float32).astype(np.float64)


def perturbed(name: str, array: NDArray[Any], unit: float) -> NDArray[Any]:
    """Each value times 1 + unit * u, u uniform in [-1, 1), the same at every call; counts stay."""
    if array.dtype.kind in "iu":
        return array
    uniform = np.random.Generator(philox("danet-shaken", name)).uniform(-1, 1, array.shape)
    return array.astype(np.float64) * (1 + unit * uniform)
