"""Load checkpoints into live networks, one file for each framework. A call imports its framework."""

from weights_convert.live.jax import partition, to_jax
from weights_convert.live.tf import to_keras
from weights_convert.live.torch import fill_torch, to_torch

__all__ = ["fill_torch", "partition", "to_jax", "to_keras", "to_torch"]
