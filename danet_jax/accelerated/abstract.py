"""Networks without arrays, to be loaded: JAX would compile what makes zeros of every shape."""

from __future__ import annotations

from typing import Any

from flax import nnx

from danet_common.config import DANetConfig
from danet_common.config.layer_names import DEFAULT_LAYERS
from danet_common.config.layer_set import LayerSet
from danet_common.config.variants import get_config
from danet_common.numerics.precision import get_precision
from danet_jax.accelerated.layer_sets import get_layers
from danet_jax.layers import Dropout
from danet_jax.model import DANet


def abstract_network(
    config: DANetConfig | str, dtype: Any = "float32", layers: LayerSet | str = DEFAULT_LAYERS
) -> DANet:
    """Return a network whose tensors are shapes and dtypes only, made at once; dropout's generators are real."""
    chosen = get_layers(layers, get_config(config), get_precision(dtype))  # here, as JAX would add to its errors below
    model = nnx.eval_shape(lambda: DANet(config, dtype=dtype, seed=None, layers=chosen))
    for _, module in nnx.iter_modules(model):
        if isinstance(module, Dropout):
            module.rngs = Dropout(module.rate, module.unit).rngs
    return model
