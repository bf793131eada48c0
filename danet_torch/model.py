"""DANet (Fu et al., CVPR 2019): dilated ResNet -> dual attention head -> upsampling. PyTorch, N,C,H,W."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from danet_common import memory
from danet_common.checkpoint import Checkpoint
from danet_common.config import DANetConfig
from danet_common.drawing import postponed
from danet_common.dropout import NO_MASKS
from danet_common.files import open_network, write_network
from danet_common.folding import FoldedTensors, require_unfolded
from danet_common.numerics import numerics
from danet_common.stages import requested
from danet_common.variants import get_config
from danet_torch.backbone import ResNet
from danet_torch.checkpoint import get_tensors, initialise, set_tensors
from danet_torch.head import AuxiliaryHead, DualAttentionHead
from danet_torch.layers import autocasts, plain, resize


class DANet(nn.Module):
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
        super().__init__()
        self.config = get_config(config)
        self.numerics = numerics(self.config, dtype, folded, winograd)
        with postponed():
            self.backbone = ResNet(self.config, self.numerics)
            self.head = DualAttentionHead(self.config, self.numerics)
            if self.config.auxiliary != "none":
                self.auxiliary = AuxiliaryHead(self.config, self.numerics)
        if seed is not None:
            initialise(self, seed)

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        outputs: Collection[str] | None = None,
        stages: Collection[str] = (),
        masks: Mapping[str, Tensor] = NO_MASKS,
        recompute: bool = False,
    ) -> dict[str, Float[Tensor, "b classes h w"]]:
        """Logits by output, `fused` (the prediction) first, at the size of `x`; with `stages`, those too.

        `x` holds normalised pixels in any floating dtype. Of `outputs`, all if None, only those are computed, and what
        leads to them: for a prediction `("fused",)` is enough. `masks` say what the dropout before each output keeps,
        (N, C) or like its features; without, it is the framework's own. With `recompute` a gradient computes residual
        blocks and attention again instead of keeping what is in them, unless stages are asked for: the same numbers
        in less memory. Raises ValueError for an unknown output or stage.
        """
        outputs, kept = requested(self.config, outputs, stages)
        recompute = recompute and not kept.wanted
        height, width = x.shape[2:]
        kernels, device = self.head.fused_classifier.weight.dtype, x.device.type
        cast = kernels != getattr(torch, self.numerics.kernels)  # since it was made: by `.double()`, say
        dtype = kernels if cast else getattr(torch, self.numerics.dtype)
        autocast = autocasts(device)
        if autocast and dtype == torch.float32:
            dtype = torch.get_autocast_dtype(device)
        if self.numerics.winograd and (cast or autocast):
            numerics(self.config, str(dtype).removeprefix("torch."), winograd=True)  # may be too narrow
        x = x.to(dtype).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # channels last, within `torch.vmap` too
        inference = not torch.is_grad_enabled() and device == "cpu" and not (torch.compiler.is_compiling() or plain())
        typed = torch.autocast(device, enabled=False) if autocast else contextlib.nullcontext()
        with typed, memory.used_again(self) if self.numerics.folded and inference else contextlib.nullcontext():
            layer1, layer3, layer4 = self.backbone(x, stages=kept, recompute=recompute)
            logits = self.head(layer4, layer1, outputs=outputs, stages=kept, masks=masks, recompute=recompute)
            if "aux" in outputs:
                source = layer3 if self.config.auxiliary == "fcn" else layer4
                logits["aux"] = kept.keep("aux_logits", self.auxiliary(source, masks.get("aux")))
        grid = self.config.upsample_grid
        return {name: resize(value, height, width, grid) for name, value in logits.items()} | kept.kept


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
    set_tensors(model, FoldedTensors(checkpoint, model.numerics) if folded else checkpoint.tensors)
    return model.eval()


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
    write_network(Checkpoint(model.config, get_tensors(model), source={"backend": "torch"}), path)
