"""DANet (Fu et al., CVPR 2019): dilated ResNet -> dual attention head -> upsampling. Keras 3, N,H,W,C."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor
from keras import ops

from danet_common.checkpoint import Checkpoint
from danet_common.config import DANetConfig
from danet_common.drawing import postponed
from danet_common.dropout import NO_MASKS
from danet_common.files import open_network, write_network
from danet_common.folding import FoldedTensors, require_unfolded
from danet_common.numerics import numerics
from danet_common.stages import requested
from danet_common.variants import get_config
from danet_tf.backbone import ResNet
from danet_tf.head import AuxiliaryHead, DualAttentionHead
from danet_tf.layers import resize
from danet_tf.module import fresh_seed
from danet_tf.parameters import get_tensors, initialise, named_modules, set_tensors


@keras.saving.register_keras_serializable("danet")
class DANet(keras.Model):
    """The dual attention network.

    config   a DANetConfig or a variant's name
    dtype    of convolutions and activations; BatchNorm, attention weights and logits are at least float32;
             `mixed_bfloat16` keeps the kernels in float32, for training
    seed     of the initial weights, the same in every framework; None leaves kernels at zero
    folded   without BatchNorm, for inference; and with large 3x3 convolutions by `winograd`: see `from_checkpoint`
    """

    def __init__(
        self,
        config: DANetConfig | str,
        *,
        dtype: str = "float32",
        seed: int | None = 0,
        folded: bool = False,
        winograd: bool = False,
    ) -> None:
        super().__init__(name="danet", dtype=numerics(get_config(config), dtype).policy, autocast=False)
        self.config = get_config(config)
        self.numerics = numerics(self.config, dtype, folded, winograd)
        with postponed():
            self.backbone = ResNet(self.config, self.numerics)
            self.head = DualAttentionHead(self.config, self.numerics)
            if self.config.auxiliary != "none":
                self.auxiliary = AuxiliaryHead(self.config, self.numerics)
        self.build((None, None, None, self.config.in_channels))
        if seed is not None:
            initialise(self, seed)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.built = True

    def call(
        self,
        x: Float[Tensor, "b h w c"],
        training: bool = False,
        outputs: Collection[str] | None = None,
        stages: Collection[str] = (),
        masks: Mapping[str, Tensor] = NO_MASKS,
        recompute: bool = False,
    ) -> dict[str, Float[Tensor, "b h w classes"]]:
        """Logits by output, `fused` (the prediction) first, at the size of `x`; with `stages`, those too.

        `x` holds normalised pixels in any floating dtype. Of `outputs`, all if None, only those are computed, and what
        leads to them: for a prediction `("fused",)` is enough. `masks` say what the dropout before each output keeps,
        (N, C) or like its features; without, it is the framework's own. With `recompute` a gradient computes residual
        blocks and attention again instead of keeping what is in them, unless stages are asked for: the same numbers
        in less memory. Raises ValueError for an unknown output or stage.
        """
        outputs, kept = requested(self.config, outputs, stages)
        recompute = recompute and not kept.wanted
        height, width = ops.shape(x)[1:3]
        x = ops.cast(x, self.numerics.dtype)
        layer1, layer3, layer4 = self.backbone(x, stages=kept, recompute=recompute, training=training)
        logits = self.head(
            layer4, layer1, outputs=outputs, stages=kept, masks=masks, recompute=recompute, training=training
        )
        if "aux" in outputs:
            source = layer3 if self.config.auxiliary == "fcn" else layer4
            logits["aux"] = kept.keep("aux_logits", self.auxiliary(source, masks.get("aux"), training=training))
        grid = self.config.upsample_grid
        return {name: resize(value, height, width, grid) for name, value in logits.items()} | kept.kept

    def compute_output_spec(
        self, x: Tensor, outputs: Collection[str] | None = None, stages: Collection[str] = (), **options: Any
    ) -> dict[str, Tensor]:
        """Shapes and dtypes of the logits for an `Input` of any size, which Keras cannot find out on JAX."""
        if stages:
            return super().compute_output_spec(x, outputs=outputs, stages=stages, **options)
        names, _ = requested(self.config, outputs, stages)
        shape = (*x.shape[:3], self.config.num_classes)
        return {name: Tensor(shape, dtype=self.numerics.wide) for name in names}

    def get_config(self) -> dict[str, Any]:
        numerics = self.numerics
        modes = {"folded": numerics.folded, "winograd": numerics.winograd}
        layers = [(path, layer) for path, layer in named_modules(self) if isinstance(layer, keras.layers.Layer)]
        frozen = [".".join(path) for path, layer in layers if not layer.trainable]
        return {"config": self.config.to_dict(), "dtype": numerics.policy, "frozen": frozen, **modes}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DANet:
        folded, winograd = config.get("folded", False), config.get("winograd", False)  # older files have neither
        network, dtype = DANetConfig.from_dict(config["config"]), config["dtype"]
        model = cls(network, dtype=dtype, seed=fresh_seed(), folded=folded, winograd=winograd)
        for path, layer in named_modules(model):
            if isinstance(layer, keras.layers.Layer) and ".".join(path) in config.get("frozen", ()):
                layer.trainable = False
        return model


def from_checkpoint(
    checkpoint: Checkpoint, dtype: str = "float32", folded: bool = False, winograd: bool = False
) -> DANet:
    """The network of a checkpoint, in inference mode. Raises CheckpointError unless the tensors fit its config.

    `folded` puts each BatchNorm into the convolution before it: the same but for rounding, faster, and not to be saved.
    `winograd` does that too, and gives large 3x3 convolutions fewer multiplications: faster again on a CPU. Raises
    ValueError for a dtype of 16 bits then.
    """
    checkpoint.check()
    model = DANet(checkpoint.config, dtype=dtype, seed=None, folded=folded, winograd=winograd)
    folded = model.numerics.folded
    set_tensors(model, FoldedTensors(checkpoint, model.numerics.wide) if folded else checkpoint.tensors)
    return model


def load(
    path: str | os.PathLike[str],
    dtype: str = "float32",
    folded: bool = False,
    winograd: bool = False,
    report: Callable[[str], None] | None = None,
    weights_key: str | None = None,
) -> DANet:
    """The network of a file or folder of any format that `danet convert` reads, as `from_checkpoint` makes it.

    `weights_key` says which weights to take of a file with several, such as "ema"; None: those that were trained.
    `report` is called with each line about what was assumed of a file that is not canonical; without it these lines
    are a UserWarning. Raises CheckpointError where the file cannot be read whole, and for a backbone without a head.
    """
    return from_checkpoint(open_network(path, report, weights_key), dtype, folded, winograd)


def save(model: DANet, path: str | os.PathLike[str]) -> None:
    """Write the network, atomically, in the format of the path's ending.

    `.safetensors`, `.safetensors.index.json`, `.pth`, `.pt`, `.pth.tar`, `.keras`, `.weights.h5`, `.orbax` or `.npz`.
    Raises CheckpointError for another ending, and for a folded network.
    """
    require_unfolded(model.numerics)
    write_network(Checkpoint(model.config, get_tensors(model), source={"backend": "tf"}), path)
