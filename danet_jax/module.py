"""The base of every module with tensors of its own: their kinds, and their initial values."""

from __future__ import annotations

from typing import ClassVar

from flax import nnx

from danet_common.config.tensors import Kind
from danet_common.numerics.initialisation_scope import current_scope, skips_initialisation
from danet_jax.parameters import access, fresh_seed


class Module(nnx.Module):
    """A module with tensors of its own. It computes in the dtype of its input.

    tensor_kinds  of its own tensors; modules within hold the others
    part          of the network, as the start of its tensors' names: it decides their initial distribution
    """

    tensor_kinds: ClassVar[tuple[Kind, ...]] = ()

    def __init__(self) -> None:
        self.part = current_scope()

    def reset_parameters(self) -> None:
        """Draw its own tensors anew, by the distribution that they start with in the network.

        Within `danet_common.numerics.initialisation_scope.skip_initialisation` kernels and biases become 0.
        """
        if self.tensor_kinds and not skips_initialisation():  # kernels and biases are zeros already
            access.draw(access.own_leaves(self, self.part), fresh_seed())


class ModeModule(Module):
    """A module that training and inference call differently; `train()`, `eval()` and `nnx.view` set its mode."""

    def __init__(self) -> None:
        super().__init__()
        self.use_running_average = False

    def set_view(self, use_running_average: bool | None = None) -> None:
        """Set the mode of a view, which `nnx.view` makes.

        Args:
          use_running_average: if True, normalise by the running statistics; if False, by those of the batch.
        """
        if use_running_average is not None:
            self.use_running_average = use_running_average
