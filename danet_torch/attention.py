"""Position and channel attention (Fu et al., CVPR 2019, section 3).
Follows the authors' released code where that differs from the paper: see README."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.backends import cuda
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from danet_common import slices
from danet_common.numerics import Numerics
from danet_common.stages import NO_STAGES, Stages
from danet_torch.layers import Conv, as_typed, plain, widen
from danet_torch.module import Module


class PositionAttention(Module):
    """Each position gathers features from all positions.

    out = gamma * attention @ value + x,   attention = softmax(query @ key)

    `gamma` is the paper's alpha (eq. 2); it starts at 0. The energies are not scaled by 1 / sqrt(d). A large map
    is made in slices: `slice_size` of its entries for each picture at once. Set it lower for less memory.
    """

    kinds = ("gamma",)

    def __init__(self, channels: int, query_channels: int, numerics: Numerics) -> None:
        super().__init__()
        self.query = Conv(channels, query_channels, 1, numerics, bias=True)
        self.key = Conv(channels, query_channels, 1, numerics, bias=True)
        self.value = Conv(channels, channels, 1, numerics, bias=True)
        self.slice_size = slices.SLICE_SIZE
        self.gamma = nn.Parameter(torch.zeros(1, dtype=getattr(torch, numerics.wide)))

    @as_typed
    def forward(self, x: Float[Tensor, "b c h w"], stages: Stages = NO_STAGES) -> Float[Tensor, "b c h w"]:
        query = flatten(widen(stages.keep("position_query", self.query(x))))  # (B, N, Q), N = H*W
        key = flatten(widen(stages.keep("position_key", self.key(x))))
        value = flatten(stages.keep("position_value", self.value(x)))  # (B, N, C)
        out = attend(query, key, value, self.slice_size, stages).transpose(1, 2).reshape(x.shape)
        return self.gamma.to(x.dtype) * out + x


class ChannelAttention(Module):
    """Each channel gathers features from all channels.

    out = gamma * attention @ x + x,   attention = softmax(max(energy) - energy),   energy = x @ x.T

    `gamma` is the paper's beta (eq. 4); it starts at 0. The paper's eq. 3 has softmax(energy): the
    released code, and every checkpoint trained with it, turns the sign, so that unlike channels weigh more.
    """

    kinds = ("gamma",)

    def __init__(self, numerics: Numerics) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, dtype=getattr(torch, numerics.wide)))

    @as_typed
    def forward(self, x: Float[Tensor, "b c h w"], stages: Stages = NO_STAGES) -> Float[Tensor, "b c h w"]:
        features = flatten(x)  # (B, N, C)
        energy = torch.einsum("bnc,bnd->bcd", widen(features), widen(features))  # (B, C, C), sums over N: large
        energy = energy.amax(dim=2, keepdim=True) - energy  # as released: unlike channels weigh more
        attention = stages.keep("channel_map", torch.softmax(energy, dim=2))
        out = torch.einsum("bcd,bnd->bnc", attention.to(x.dtype), features).transpose(1, 2).reshape(x.shape)
        return self.gamma.to(x.dtype) * out + x


def flatten(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c"]:
    """Height and width as one axis of positions."""
    return x.flatten(2).transpose(1, 2)  # no copy where channels are last in memory


def attend(
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b n q"],
    value: Float[Tensor, "b n c"],
    slice_size: int,
    stages: Stages = NO_STAGES,
) -> Float[Tensor, "b n c"]:
    """What each query gathers, in slices of queries: softmax(query @ key) @ value.

    The map is made whole where it fits in `slice_size`, or where the stage `position_map` is asked for. The gradient
    computes each slice again, so that no map is kept.
    """
    positions = query.shape[1]
    rows = slices.rows(positions, slice_size)
    size, asked = query.shape[2], "position_map" in stages.wanted
    if not (asked or plain()) and value.shape[2] % size == 0 and has_kernel(value.device, value.dtype, size):
        return gather_by_heads(query, key, value, size)
    if rows >= positions or asked:
        return gather(query, key, value, stages)
    keys, half = slices.block(slice_size)
    if plain():
        return in_slices(gather, query, key, value, rows)
    out: Tensor = InBlocks.apply(query, key, value, rows, 2 * half, keys)  # convolutions want more queries than keys
    return out


def in_slices(
    one: Callable[..., Tensor],
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b m q"],
    value: Float[Tensor, "b m c"],
    rows: int,
) -> Float[Tensor, "b n c"]:
    """What `one` makes of queries, keys and values, of so many queries at a time.

    The gradient computes each slice again, so that nothing of it is kept.
    """
    if plain():
        return one_by_one(one, query, key, value, rows)
    out: Tensor = InSlices.apply(one, query, key, value, rows)
    return out


def one_by_one(
    one: Callable[..., Tensor],
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b m q"],
    value: Float[Tensor, "b m c"],
    rows: int,
) -> Float[Tensor, "b n c"]:
    """The same, where gradients keep all."""
    return torch.cat([one(piece, key, value) for piece in query.split(rows, dim=1)], dim=1)


class InSlices(torch.autograd.Function):
    """The slices into one tensor. torch's checkpoint would keep a tensor for each, and each would lie where a map has
    just been freed: the next map would find no room there, and the process grow by all of them."""

    @staticmethod
    def forward(ctx: Any, one: Callable[..., Tensor], query: Tensor, key: Tensor, value: Tensor, rows: int) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.one, ctx.rows = one, rows
        out = value.new_empty(*query.shape[:2], value.shape[2])
        for piece, place in zip(query.split(rows, dim=1), out.split(rows, dim=1), strict=True):
            place.copy_(one(piece, key, value))
        return out

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[None, Tensor, Tensor, Tensor, None]:
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # the gradient shall have one as well
            plainly = functools.partial(one_by_one, ctx.one, rows=ctx.rows)
            pullback = torch.func.vjp(plainly, *ctx.saved_tensors)[1]
            return None, *pullback(cotangent), None
        query, key, value = (tensor.detach().requires_grad_() for tensor in ctx.saved_tensors)
        totals = [torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)]
        pieces = (tensor.split(ctx.rows, dim=1) for tensor in (query.detach(), cotangent, totals[0]))
        for piece, part, place in zip(*pieces, strict=True):
            leaves = (piece.requires_grad_(), key, value)
            with torch.enable_grad():
                out = ctx.one(*leaves)
            of_query, of_key, of_value = torch.autograd.grad(out, leaves, part)
            place.copy_(of_query)
            totals[1] += of_key
            totals[2] += of_value
        return None, totals[0], totals[1], totals[2], None


class InBlocks(torch.autograd.Function):
    """The same of each picture by blocks of queries and keys, whose products are faster than those of few queries and
    all keys. The gradient is of the slices."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, rows: int, queries: int, keys: int) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.one, ctx.rows = gather, rows
        out = value.new_empty(*query.shape[:2], value.shape[2])
        for some_queries, some_keys, values, places in zip(query, key, value, out, strict=True):
            transposed = [some.T.contiguous() for some in values.split(keys)]  # once for all queries
            for piece, place in zip(some_queries.split(queries), places.split(queries), strict=True):
                place.copy_(gather_by_keys(piece, some_keys.split(keys), transposed))
        return out

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        _, *gradients = InSlices.backward(ctx, cotangent)
        return *gradients, None, None


def gather_by_keys(
    query: Float[Tensor, "n q"], key: Sequence[Float[Tensor, "m q"]], value: Sequence[Float[Tensor, "c m"]]
) -> Float[Tensor, "n c"]:
    """What each query gathers, from some keys and their values at a time: softmax(query @ key) @ value.

    Exponentials are taken below the largest energy of the first keys, and scaled when one comes that is far above it
    (Milakov and Gimelshein, 2018, whose maximum runs along). They are powers of 2, for which PyTorch takes half the
    time.
    """
    looks = query.device.type == "cpu" and not torch.compiler.is_compiling()  # at numbers, to decide by them
    query, far = query / math.log(2), min(slices.FAR, math.sqrt(torch.finfo(value[0].dtype).max))
    largest = query.new_full((query.shape[0], 1), -torch.inf)
    total, gathered = torch.zeros_like(largest), query.new_zeros(query.shape[0], value[0].shape[0])
    for some_keys, values in zip(key, value, strict=True):
        if looks:
            powers = product(query, some_keys).sub_(largest).exp2_()
            sums = powers.sum(dim=1, keepdim=True)
        if not (looks and (sums <= far).all()):  # the first time, infinite
            energy = product(query, some_keys)
            before, largest = largest, torch.maximum(largest, energy.amax(dim=1, keepdim=True))
            powers, scale = energy.sub_(largest).exp2_(), torch.exp2(before - largest)
            total, gathered, sums = total * scale, gathered * scale, powers.sum(dim=1, keepdim=True)
        total, gathered = total + sums, gathered.add_(product(powers.to(values.dtype), values))
        del powers  # or the next ones, made beside them, would be of new pages, found one by one
    return (gathered / total).to(values.dtype)


def product(x: Float[Tensor, "n k"], y: Float[Tensor, "m k"]) -> Float[Tensor, "n m"]:
    """x @ y.T; in float32 on a CPU as a 1x1 convolution.

    PyTorch takes convolutions from oneDNN, which uses all that a processor has, and products from a BLAS that may not.
    """
    if x.device.type != "cpu" or x.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return torch.einsum("nk,mk->nm", x, y)
    picture = x[None, None].permute(0, 3, 1, 2)  # (1, K, 1, N), channels last in memory
    return F.conv2d(picture, y[:, :, None, None])[0, :, 0].T


@torch.compiler.assume_constant_result  # which cannot follow it
def has_kernel(device: torch.device, dtype: torch.dtype, size: int) -> bool:
    """Whether PyTorch has one that never holds the map, for heads of so many channels: on a GPU, in 32 bits or fewer.

    `torch.nn.attention.sdpa_kernel(SDPBackend.MATH)` around a network forbids it, and leaves the slices.
    """
    if device.type != "cuda":
        return False
    head = torch.empty(1, 1, 1, size, device=device, dtype=dtype)
    parameters = cuda.SDPAParams(head, head, head, None, 0.0, False, False)  # no mask, dropout, causality or groups
    return cuda.can_use_flash_attention(parameters) or cuda.can_use_efficient_attention(parameters)


def gather_by_heads(
    query: Float[Tensor, "b n q"], key: Float[Tensor, "b m q"], value: Float[Tensor, "b m c"], size: int
) -> Float[Tensor, "b n c"]:
    """What each query gathers, by PyTorch's kernel, of so many channels at a time: softmax(query @ key) @ value.

    Values are heads which share queries and keys. The fastest kernels, those for 16 bits, want all of one size: that of
    a query. Queries and keys go back to the values' dtype, from which they were widened: kernels add up in float32.
    """
    heads = value.contiguous().unflatten(2, (-1, size)).transpose(1, 2)  # (B, heads, M, size)
    query, key = (
        some.to(value.dtype).contiguous()[:, None].expand(-1, heads.shape[1], -1, -1) for some in (query, key)
    )
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]):
        out = F.scaled_dot_product_attention(query, key, heads, scale=1.0)
    return out.transpose(1, 2).flatten(2)


def gather(
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b m q"],
    value: Float[Tensor, "b m c"],
    stages: Stages = NO_STAGES,
) -> Float[Tensor, "b n c"]:
    """What each query gathers, by one map: softmax(query @ key) @ value."""
    energy = torch.einsum("bnc,bmc->bnm", query, key)
    attention = stages.keep("position_map", torch.softmax(energy, dim=2))
    return torch.einsum("bnm,bmc->bnc", attention.to(value.dtype), value)
