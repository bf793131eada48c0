"""DANet (Fu et al., CVPR 2019): dilated ResNet -> dual attention head -> upsampling. Keras 3, N,H,W,C."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor  # of any backend, in annotations
from keras import ops

from danet_common.config import DANetConfig
from danet_common.config.former_arguments import reject_renamed_arguments
from danet_common.config.layer_names import DEFAULT_LAYERS
from danet_common.config.layer_set import LayerSet
from danet_common.config.variants import get_config
from danet_common.numerics.dropout import NO_MASKS
from danet_common.numerics.initialisation_scope import skip_initialisation
from danet_common.numerics.precision import get_precision
from danet_common.numerics.taps import resolve_request
from danet_tf.accelerated.layer_sets import get_layers
from danet_tf.accelerated.precision import cast_input
from danet_tf.backbone import ResNet
from danet_tf.head import AuxiliaryHead, DualAttentionHead
from danet_tf.layers import resize
from danet_tf.module import Network, takes_keras_options
from danet_tf.parameters import initialise


@keras.saving.register_keras_serializable("danet")
class DANet(Network):
    """The dual attention network.

    config   a DANetConfig or a variant's name
    dtype    of convolutions and activations; BatchNorm, softmax and the upsampling of logits are at least float32;
             `mixed_bfloat16` keeps the weights of convolutions in float32, for training. None: Keras's policy
    seed     of the initial weights, equal in PyTorch, Keras and Flax; None: zeros, to be filled from a checkpoint
    layers   how the layers compute, not what: a LayerSet, or a name of `danet_common.config.layer_names`. The numbers
             of blocks, which torchvision calls layers, are `config.layers`
    """

    @takes_keras_options
    @reject_renamed_arguments
    def __init__(
        self,
        config: DANetConfig | str,
        *,
        dtype: str | keras.DTypePolicy | None = None,
        seed: int | None = 0,
        layers: LayerSet | str = DEFAULT_LAYERS,
    ) -> None:
        super().__init__()
        self.config = get_config(config)
        self.layer_set = get_layers(layers, self.config, get_precision(dtype or keras.config.dtype_policy()))
        with skip_initialisation():
            self.backbone = ResNet(self.config, self.layer_set)
            self.head = DualAttentionHead(self.config, self.layer_set)
            if self.config.auxiliary != "none":
                self.auxiliary = AuxiliaryHead(self.config, self.layer_set)
        self.build((None, None, None, self.config.in_channels))
        if seed is not None:
            initialise(self, seed)

    @cast_input
    def call(
        self,
        x: Float[Tensor, "b h w c"],
        training: bool = False,
        outputs: Collection[str] | None = None,
        taps: Collection[str] = (),
        dropout_masks: Mapping[str, Tensor] = NO_MASKS,
    ) -> dict[str, Tensor]:
        """Return the logits of each output at the size of `x`, `fused` (the prediction) first; then the requested taps.

        x              pixels normalised by `config.mean` and `config.std`, in any floating dtype
        outputs        logits to compute: `fused` (for a prediction), `position`, `channel`, `aux`; all if None
        taps           names of intermediate values to return: see `danet_common.numerics.taps`
        dropout_masks  by output, True where its dropout keeps a value: (N, C) or its input's shape; else training draws

        Raises ValueError for an unknown output, tap or mask.
        """
        outputs, probe = resolve_request(self.config, outputs, taps, dropout_masks)
        layer1, layer3, layer4 = self.backbone(x, taps=probe, training=training)
        logits = self.head(layer1, layer4, outputs=outputs, taps=probe, dropout_masks=dropout_masks, training=training)
        if "aux" in outputs:
            aux = self.auxiliary(layer3, layer4, dropout_masks.get("aux"), training=training)
            logits["aux"] = probe.record("aux_logits", aux)
        size, grid = ops.shape(x)[1:3], self.config.upsample_grid  # align_corners, in effect
        return {name: resize(value, size, grid) for name, value in logits.items()} | probe.recorded
