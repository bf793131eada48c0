"""DANet (Fu et al., CVPR 2019): dilated ResNet -> dual attention head -> upsampling. Flax (NNX), N,H,W,C."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from flax import nnx
from jax import Array
from jaxtyping import Float

from danet_common.config import DANetConfig
from danet_common.config.former_arguments import reject_renamed_arguments
from danet_common.config.layer_names import DEFAULT_LAYERS
from danet_common.config.layer_set import LayerSet
from danet_common.config.variants import get_config
from danet_common.numerics.dropout import NO_MASKS
from danet_common.numerics.initialisation_scope import skip_initialisation
from danet_common.numerics.precision import get_precision
from danet_common.numerics.taps import resolve_request
from danet_jax.accelerated.layer_sets import get_layers
from danet_jax.accelerated.precision import cast_input
from danet_jax.backbone import ResNet
from danet_jax.head import AuxiliaryHead, DualAttentionHead
from danet_jax.layers import resize
from danet_jax.parameters import initialise


class DANet(nnx.Module):
    """The dual attention network.

    config   a DANetConfig or a variant's name
    dtype    of convolutions and activations; BatchNorm, softmax and the upsampling of logits are at least float32;
             `mixed_bfloat16` keeps the weights of convolutions in float32, for training
    seed     of the initial weights, equal in PyTorch, Keras and Flax; None: zeros, to be filled from a checkpoint
    layers   how the layers compute, not what: a LayerSet, or a name of `danet_common.config.layer_names`. The numbers
             of blocks, which torchvision calls layers, are `config.layers`
    """

    @reject_renamed_arguments
    def __init__(
        self,
        config: DANetConfig | str,
        *,
        dtype: Any = "float32",
        seed: int | None = 0,
        layers: LayerSet | str = DEFAULT_LAYERS,
    ) -> None:
        self.config = get_config(config)
        self.layer_set = get_layers(layers, self.config, get_precision(dtype))
        with skip_initialisation():
            self.backbone = ResNet(self.config, self.layer_set)
            self.head = DualAttentionHead(self.config, self.layer_set)
            if self.config.auxiliary != "none":
                self.auxiliary = AuxiliaryHead(self.config, self.layer_set)
        if seed is not None:
            initialise(self, seed)

    @cast_input
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        outputs: Collection[str] | None = None,
        taps: Collection[str] = (),
        dropout_masks: Mapping[str, Array] = NO_MASKS,
    ) -> dict[str, Array]:
        """Return the logits of each output at the size of `x`, `fused` (the prediction) first; then the requested taps.

        x              pixels normalised by `config.mean` and `config.std`, in any floating dtype
        outputs        logits to compute: `fused` (for a prediction), `position`, `channel`, `aux`; all if None
        taps           names of intermediate values to return: see `danet_common.numerics.taps`
        dropout_masks  by output, True where its dropout keeps a value: (N, C) or its input's shape; else training draws

        Raises ValueError for an unknown output, tap or mask.
        """
        outputs, probe = resolve_request(self.config, outputs, taps, dropout_masks)
        layer1, layer3, layer4 = self.backbone(x, probe)
        logits = self.head(layer1, layer4, outputs, probe, dropout_masks)
        if "aux" in outputs:
            logits["aux"] = probe.record("aux_logits", self.auxiliary(layer3, layer4, dropout_masks.get("aux")))
        grid = self.config.upsample_grid  # align_corners, in effect
        return {name: resize(value, x.shape[1:3], grid) for name, value in logits.items()} | probe.recorded
