"""Attention in memory linear in the positions: chunks of queries, blocks of queries and keys, or PyTorch's kernel.

Each computes the numbers of a definition such as `softmax_attention`, whose map has N x M entries. For
`torch.compile` and `torch.export` the chunks of one attention are one operator, of any size. Its gradient computes each
chunk of the map again, so that no map is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.backends import cuda
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from danet_common.config.layer_set import Definition
from danet_common.numerics import chunks
from danet_common.numerics.taps import passthrough
from danet_torch.accelerated.transforms import is_transformed
from danet_torch.attention import softmax_attention
from danet_torch.context.non_local import concatenation_attention, dot_product_attention
from danet_torch.primitives import upcast

Gradients = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class MemoryEfficientAttention:
    """The same numbers as a definition of attention, without its map; with the map where a tap records it."""

    definition: Definition

    def __call__(
        self,
        query: Float[Tensor, "b n q"],
        key: Float[Tensor, "b m q"],
        value: Float[Tensor, "b m c"],
        record: Callable[[Tensor], Tensor] = passthrough,
    ) -> Float[Tensor, "b n c"]:
        size = query.shape[2]
        if record is not passthrough or is_transformed(query, key, value):
            return self.definition(query, key, value, record)
        if self.definition is softmax_attention and sdpa_supported(value.device, value.dtype, size, value.shape[2]):
            return sdpa_attention(query, key, value)
        out: Tensor = chunked_operator(upcast(query), upcast(key), value, name_of(self.definition), chunks.CHUNK_SIZE)
        return out


@torch.library.custom_op("danet::chunked_attention", mutates_args=())
def chunked_operator(query: Tensor, key: Tensor, value: Tensor, name: str, chunk_size: int) -> Tensor:
    """Attention by the definition of a name; the whole map at once where it fits in `chunk_size` entries."""
    rows = chunks.chunk_rows(key.shape[1], chunk_size)
    if rows >= query.shape[1]:
        return FORMS[name].definition(query, key, value).contiguous()
    if FORMS[name].definition is softmax_attention:
        return flash_attention(query, key, value, chunk_size)
    return chunked_attention(FORMS[name].definition, query, key, value, rows)


@chunked_operator.register_fake
def fake_attention(query: Tensor, key: Tensor, value: Tensor, name: str, chunk_size: int) -> Tensor:
    """Shape and dtype of what `chunked_operator` returns."""
    return value.new_empty(query.shape[0], query.shape[1], value.shape[2])


@torch.library.custom_op("danet::chunked_attention_backward", mutates_args=())
def chunked_backward(
    cotangent: Tensor, query: Tensor, key: Tensor, value: Tensor, name: str, chunk_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by query, key and value."""
    rows = chunks.chunk_rows(key.shape[1], chunk_size)
    return chunked_gradients(FORMS[name].gradients, cotangent, query, key, value, rows)


@chunked_backward.register_fake
def fake_backward(
    cotangent: Tensor, query: Tensor, key: Tensor, value: Tensor, name: str, chunk_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Shapes and dtypes of what `chunked_backward` returns."""
    of_query, of_key, of_value = (tensor.new_empty(tensor.shape) for tensor in (query, key, value))
    return of_query, of_key, of_value


def keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Keep the tensors and the options of an operator for its gradient."""
    *tensors, ctx.name, ctx.chunk_size = inputs
    ctx.save_for_backward(*tensors)


def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
    """Gradient of `chunked_operator`."""
    return *chunked_backward(cotangent, *ctx.saved_tensors, ctx.name, ctx.chunk_size), None, None


def double_backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
    """Gradient of `chunked_backward`, by ordinary operators, which keep the map."""
    pullback = torch.func.vjp(FORMS[ctx.name].gradients, *ctx.saved_tensors)[1]
    return *pullback(cotangents), None, None


chunked_operator.register_autograd(backward, setup_context=keep_inputs)
chunked_backward.register_autograd(double_backward, setup_context=keep_inputs)


def chunked_attention(
    definition: Definition,
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b m q"],
    value: Float[Tensor, "b m c"],
    rows: int,
) -> Float[Tensor, "b n c"]:
    """Attention of so many queries at a time."""
    out = value.new_empty(*query.shape[:2], value.shape[2])
    for piece, place in zip(query.split(rows, 1), out.split(rows, 1), strict=True):
        place.copy_(definition(piece, key, value))
    return out


def chunked_gradients(
    gradients: Gradients, cotangent: Tensor, query: Tensor, key: Tensor, value: Tensor, rows: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by query, key and value, of so many queries at a time; sums over chunks in at least float32."""
    of_query, of_key, of_value = query.new_empty(query.shape), key.new_zeros(key.shape), torch.zeros_like(upcast(value))
    pieces = (tensor.split(rows, 1) for tensor in (cotangent, query, of_query))
    for part, piece, place in zip(*pieces, strict=True):
        found, add_to_key, add_to_value = gradients(part, piece, key, value)
        place.copy_(found)
        of_key += add_to_key
        of_value += add_to_value
    return of_query, of_key, of_value.to(value.dtype).contiguous()


def flash_attention(
    query: Float[Tensor, "b n q"], key: Float[Tensor, "b m q"], value: Float[Tensor, "b m c"], chunk_size: int
) -> Float[Tensor, "b n c"]:
    """softmax(query @ key) @ value by blocks of queries and keys, of each picture (Dao et al., NeurIPS 2022).

    Products of blocks are faster than products of few queries and all keys.
    """
    keys, half = chunks.flash_block(chunk_size)
    queries = 2 * half
    out = value.new_empty(*query.shape[:2], value.shape[2])
    for some_queries, some_keys, values, places in zip(query, key, value, out, strict=True):
        for piece, place in zip(some_queries.split(queries), places.split(queries), strict=True):
            place.copy_(online_softmax(piece, some_keys.split(keys), values.split(keys)))
    return out


def online_softmax(
    query: Float[Tensor, "n q"], key: Sequence[Float[Tensor, "m q"]], value: Sequence[Float[Tensor, "m c"]]
) -> Float[Tensor, "n c"]:
    """softmax(query @ key) @ value from some keys at a time (Milakov and Gimelshein, 2018).

    Exponentials are taken below the largest energy so far, and scaled when a larger one comes. They are powers of 2,
    which PyTorch computes in half the time.
    """
    query = query / math.log(2)
    largest = query.new_full((query.shape[0], 1), -torch.inf)
    total, gathered = torch.zeros_like(largest), query.new_zeros(query.shape[0], value[0].shape[1])
    for some_keys, values in zip(key, value, strict=True):
        energy = query @ some_keys.T
        before, largest = largest, torch.maximum(largest, energy.amax(dim=1, keepdim=True))
        powers, scale = energy.sub_(largest).exp2_(), torch.exp2(before - largest)
        total = total.mul_(scale).add_(powers.sum(dim=1, keepdim=True))
        gathered = gathered.mul_(scale).add_(powers.to(values.dtype) @ values)
        del energy, powers  # else the next ones, made beside them, need new pages
    return (gathered / total).to(values.dtype)


def sdpa_supported(device: torch.device, dtype: torch.dtype, size: int, channels: int) -> bool:
    """True on a GPU with a kernel that never holds the map, for heads of `size` channels.

    These are the conditions of PyTorch's memory-efficient kernel, in terms that Dynamo can trace. The context
    `torch.nn.attention.sdpa_kernel(SDPBackend.MATH)` around a network that is not compiled forbids the kernel.
    """
    if device.type != "cuda" or torch.version.hip or channels % size or size % 8:
        return False
    dtypes = [torch.float16, torch.float32]
    if torch.cuda.get_device_properties(device).major >= 8:
        dtypes.append(torch.bfloat16)
    return dtype in dtypes and (torch.compiler.is_dynamo_compiling() or cuda.mem_efficient_sdp_enabled())


def sdpa_attention(
    query: Float[Tensor, "b n q"], key: Float[Tensor, "b m q"], value: Float[Tensor, "b m c"]
) -> Float[Tensor, "b n c"]:
    """softmax(query @ key) @ value by `scaled_dot_product_attention`, which never falls back to the map here.

    Values are heads which share queries and keys. The fastest kernels, for 16 bits, want all heads of one size: that of
    a query. Kernels add up in float32.
    """
    heads = value.contiguous().unflatten(2, (-1, query.shape[2])).transpose(1, 2)  # (B, heads, M, size)
    query, key = (
        some.to(value.dtype).contiguous()[:, None].expand(-1, heads.shape[1], -1, -1) for some in (query, key)
    )
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]):
        out = F.scaled_dot_product_attention(query, key, heads, scale=1.0)
    return out.transpose(1, 2).flatten(2)


def softmax_gradients(cotangent: Tensor, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `softmax_attention` by query, key and value."""
    weights = torch.softmax(torch.einsum("bnc,bmc->bnm", query, key), 2)
    of_weights, of_value = weighted_sum_gradients(cotangent, weights, value)
    of_energy = (of_weights - torch.einsum("bnm,bnm->bn", of_weights, weights)[..., None]).mul_(weights)
    return *product_gradients(of_energy, query, key), of_value


def dot_product_gradients(
    cotangent: Tensor, query: Tensor, key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `dot_product_attention` by query, key and value."""
    weights = torch.einsum("bnc,bmc->bnm", query, key) / key.shape[1]
    of_weights, of_value = weighted_sum_gradients(cotangent, weights, value)
    return *product_gradients(of_weights / key.shape[1], query, key), of_value


def concatenation_gradients(
    cotangent: Tensor, query: Tensor, key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `concatenation_attention` by query, key and value."""
    weights = F.relu(query + key.transpose(1, 2)) / key.shape[1]
    of_weights, of_value = weighted_sum_gradients(cotangent, weights, value)
    of_sum = torch.where(weights > 0, of_weights, 0) / key.shape[1]
    return of_sum.sum(2, keepdim=True), of_sum.sum(1)[..., None], of_value


def weighted_sum_gradients(cotangent: Tensor, weights: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of weights @ value by both, those of the weights in their dtype."""
    of_weights = torch.einsum("bnc,bmc->bnm", cotangent, value).to(weights.dtype)
    return of_weights, torch.einsum("bnm,bnc->bmc", weights.to(value.dtype), cotangent)


def product_gradients(of_energy: Tensor, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of query @ key by both."""
    return torch.einsum("bnm,bmc->bnc", of_energy, key), torch.einsum("bnm,bnc->bmc", of_energy, query)


class Form(NamedTuple):
    """A definition of attention, and its gradients; operators take only its name."""

    definition: Definition
    gradients: Gradients


FORMS = {
    "softmax": Form(softmax_attention, softmax_gradients),
    "dot_product": Form(dot_product_attention, dot_product_gradients),
    "concatenation": Form(concatenation_attention, concatenation_gradients),
}


def name_of(definition: Definition) -> str:
    """Return the name of a definition in FORMS. Raises ValueError for one that has no gradients there."""
    for name, form in FORMS.items():
        if form.definition is definition:
            return name
    raise ValueError(f"{definition} is not in danet_torch.accelerated.attention.FORMS; use layers='plain'")
