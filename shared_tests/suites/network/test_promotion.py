"""JAX's strict modes: it raises where NumPy would promote ranks or dtypes."""

from __future__ import annotations

from typing import Any

import pytest

from shared_tests.fixtures.cases import TINY


@pytest.fixture
def strict_jax() -> Any:
    """JAX, strict during a test."""
    jax = pytest.importorskip("jax")
    settings = {"jax_numpy_rank_promotion": "raise", "jax_numpy_dtype_promotion": "strict"}
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield jax
    for name, value in before.items():
        jax.config.update(name, value)


def test_gradients_in_strict_modes(strict_jax: Any) -> None:
    """JAX raises as it traces, so this compiles nothing. The gradient of `remat` traces each block a second time."""
    nnx, abstract = pytest.importorskip("flax.nnx"), pytest.importorskip("danet_jax.accelerated.abstract")
    network = abstract.abstract_network(TINY, layers="remat")
    x = strict_jax.ShapeDtypeStruct((2, 33, 41, 3), "float32")
    loss = nnx.grad(lambda network, x: sum(value.sum() for value in network(x).values()))
    gradients = nnx.eval_shape(loss, network, x)
    assert gradients["backbone"]["conv1"]["kernel"].shape == network.backbone.conv1.kernel.shape
