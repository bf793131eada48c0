"""How near is near enough: for each profile, the tolerance of every stage and output.

f64   every backend computes in float64: 1e-10 of a tensor's largest value.
f32   every backend computes in float32: FACTOR times what float32 must cost this very network on this
      very input. The yardstick is the reference's own and not the other backends', so that it is the same
      for one backend as for three, and a mistake that all of them share stays visible.
"""

from __future__ import annotations

from typing import Any, Literal

from numpy.typing import NDArray

from danet_common import DANetConfig
from shared_tests import reference
from shared_tests.float32_noise import Arrays, float32_noise

Profile = Literal["f64", "f32"]

DTYPES: dict[Profile, str] = {"f64": "float64", "f32": "float32"}
FLOAT64_TOLERANCE = 1e-10  # rounding gives 1e-13 on a ResNet-50

# Backends are measured at 1 to 10 times the noise, a Winograd convolution of oneDNN at the most. 32 leaves room
# for other processors; TF32, bfloat16 or a BatchNorm epsilon of 1e-3 is hundreds of times above.
FACTOR = 32


def reference_run(config: DANetConfig, tensors: Arrays, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Every stage and output of the float64 reference, in the order of the forward pass."""
    result = reference.forward(config, tensors, x, stages="all")
    return {**result.stages, **result.outputs}


def tolerances(
    profile: Profile, config: DANetConfig, tensors: Arrays, x: NDArray[Any], truth: Arrays
) -> dict[str, float]:
    """Name -> the greatest relative difference from `truth` that still is agreement."""
    if profile == "f64":
        return dict.fromkeys(truth, FLOAT64_TOLERANCE)
    return {name: FACTOR * noise for name, noise in float32_noise(config, tensors, x, truth).items()}
