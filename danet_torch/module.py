"""The base of every module with tensors of its own: their kinds, and their initial values."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from danet_common.config.tensors import Kind
from danet_common.numerics.initialisation_scope import current_scope, skips_initialisation
from danet_torch.accelerated.precision import in_own_dtype
from danet_torch.parameters import access, fresh_seed


class Module(nn.Module):
    """A module with tensors of its own. It computes in the dtype of its input.

    tensor_kinds  of its own tensors; modules within hold the others
    part          of the network, as the start of its tensors' names: it decides their initial distribution
    """

    tensor_kinds: ClassVar[tuple[Kind, ...]] = ()
    part = ""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.part = current_scope()
        super().__init__(*arguments, **options)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "forward" in vars(cls):
            cls.forward = in_own_dtype(cls.forward)

    def reset_parameters(self) -> None:
        """Draw its own tensors anew, by the distribution that they start with in the network.

        Within `danet_common.numerics.initialisation_scope.skip_initialisation` kernels and biases become 0.
        """
        if self.tensor_kinds:
            access.draw(access.own_leaves(self, self.part), None if skips_initialisation() else fresh_seed())
