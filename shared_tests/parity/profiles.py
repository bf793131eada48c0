"""Tolerances and settings of `danet check --profile`.

f64     float64 on the CPU: 1e-10 of a tensor's largest value.
f32     float32 on the CPU: FACTOR times what float32 must cost this very network on this very input.
strict  float32 on the accelerator, TF32 and bfloat16 passes off: held to f32's bounds.
fast    float32 on the accelerator, TF32 allowed: FACTOR times what TF32 must cost.

The tolerance of the float32 profiles comes from the reference alone. So it does not depend on the number of
backends, and a mistake that all backends share stays visible. strict and fast fail any backend that ran on the CPU,
or that does not report its device and precision from the framework's own settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from danet_common import DANetConfig
from shared_tests import reference
from shared_tests.parity.rounding_noise import FLOAT32, TF32, Arrays, rounding_noise

ProfileName = Literal["f64", "f32", "strict", "fast"]

FLOAT64_TOLERANCE = 1e-10  # rounding gives 1e-13 on a ResNet-50

# Backends are measured at 1 to 10 times the noise. 32 leaves room for other processors' orders of summation; a
# BatchNorm epsilon of 1e-3 is hundreds of times above.
FACTOR = 32


@dataclass(frozen=True)
class Profile:
    """Settings of a request, and the tolerance of its response.

    unit  the relative rounding whose cost is allowed FACTOR times; None for float64's fixed bound
    """

    dtype: str
    device: Literal["cpu", "accelerator"]
    precision: Literal["highest", "fast"]
    unit: float | None


PROFILES: dict[ProfileName, Profile] = {
    "f64": Profile("float64", "cpu", "highest", None),
    "f32": Profile("float32", "cpu", "highest", FLOAT32),
    "strict": Profile("float32", "accelerator", "highest", FLOAT32),
    "fast": Profile("float32", "accelerator", "fast", TF32),
}


def reference_run(config: DANetConfig, tensors: Arrays, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Every tap and output of the float64 reference, in the order of the forward pass."""
    result = reference.forward(config, tensors, x, taps="all")
    return {**result.taps, **result.outputs}


def tolerances(
    profile: Profile, config: DANetConfig, tensors: Arrays, x: NDArray[Any], expected: Arrays
) -> dict[str, float]:
    """Name -> the greatest relative difference from `expected` that still is agreement."""
    if profile.unit is None:
        return dict.fromkeys(expected, FLOAT64_TOLERANCE)
    noise = rounding_noise(config, tensors, x, expected, profile.unit)
    return {name: FACTOR * value for name, value in noise.items()}


def unfit_flags(profile: Profile, flags: Mapping[str, Any]) -> str | None:
    """Why a run under these flags cannot be called a run of this profile; None where it can.

    The CPU profiles ask nothing: no CPU rounds float32 products to fewer bits unless it is told to.
    """
    if profile.device == "cpu":
        return None
    if flags.get("device") not in ("cpu", "gpu", "tpu"):
        return f"it does not say which device it ran on (flags: {dict(flags)})"
    if flags["device"] == "cpu":
        return "it ran on the CPU, as it saw no GPU or TPU; f64 and f32 are the profiles of the CPU"
    if flags.get("precision") != profile.precision:
        return f"it ran with precision {flags.get('precision', 'unknown')!r}, and {profile.precision!r} was asked for"
    return None
