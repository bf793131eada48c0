"""The context modules of the head in float64 NumPy, each from its paper's equations.

`name` is where the module's tensors are, and what it keeps is named by its kind. x is (N, C, H, W).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shared_tests.reference import operations
from shared_tests.reference.operations import Array

if TYPE_CHECKING:
    from shared_tests.reference.network import Network

Pooled = tuple[int, int]
POSITIONS = (2, 3)


def context(net: Network, kind: str, name: str, x: Array) -> Array:
    """Return the output of a branch's module of this kind."""
    return MODULES[kind](net, name, x)


def position(net: Network, name: str, x: Array) -> Array:
    """energy[n, m] = q_n . k_m, unscaled; out_n = gamma * sum over m of softmax_m(energy)[n, m] v_m + x_n."""
    channels = x.shape[1]
    queries = query_channels(net, x)
    query = net.keep("position_query", net.conv(f"{name}.query", x, queries, 1, bias=True))
    key = net.keep("position_key", net.conv(f"{name}.key", x, queries, 1, bias=True))
    value = net.keep("position_value", net.conv(f"{name}.value", x, channels, 1, bias=True))
    attention = net.keep("position_map", operations.softmax(net.energy(flat(query).transpose(0, 2, 1) @ flat(key))))
    out = (flat(value) @ attention.transpose(0, 2, 1)).reshape(x.shape)
    return net.tensor(f"{name}.gamma", (1,)) * out + x


def channel(net: Network, name: str, x: Array) -> Array:
    """energy[c, d] = x_c . x_d; out_c = gamma * sum over d of softmax_d(max_d energy - energy)[c, d] x_d + x_c."""
    energy = net.energy(flat(x) @ flat(x).transpose(0, 2, 1))
    attention = net.keep("channel_map", operations.softmax(net.energy(energy.max(axis=-1, keepdims=True) - energy)))
    return net.tensor(f"{name}.gamma", (1,)) * (attention @ flat(x)).reshape(x.shape) + x


def squeeze_excitation(net: Network, name: str, x: Array) -> Array:
    """s = sigmoid(W2 relu(W1 z)), z_c = mean of x_c; out_c = s_c x_c."""
    channels = x.shape[1]
    hidden = operations.relu(net.conv(f"{name}.reduce", mean(x, POSITIONS), hidden_channels(net, x), 1, bias=True))
    gate = operations.sigmoid(net.conv(f"{name}.expand", hidden, channels, 1, bias=True))
    return net.keep("squeeze_excitation_gate", gate) * x


def cbam(net: Network, name: str, x: Array) -> Array:
    """x' = sigmoid(W1 W0 mean + W1 W0 max) x, by channel; out = sigmoid(f7x7[mean over c of x'; max over c]) x'."""
    scores = np.zeros((*x.shape[:2], 1, 1))
    for pooled in (mean(x, POSITIONS), x.max(axis=POSITIONS, keepdims=True)):
        hidden = operations.relu(net.conv(f"{name}.reduce", pooled, hidden_channels(net, x), 1))
        scores += net.conv(f"{name}.expand", hidden, x.shape[1], 1)
    x = net.keep("cbam_channel_gate", operations.sigmoid(scores)) * x
    planes = np.concatenate([mean(x, 1), x.max(axis=1, keepdims=True)], axis=1)
    return net.keep("cbam_spatial_gate", operations.sigmoid(net.conv(f"{name}.spatial", planes, 1, 7, bias=True))) * x


def bam(net: Network, name: str, x: Array) -> Array:
    """out = x + x sigmoid(Mc + Ms); Mc = BN(W1 relu(W0 z)), Ms = BN(f1x1 of f3x3 of f3x3 of f1x1), dilated by 4."""
    hidden = operations.relu(net.conv(f"{name}.reduce", mean(x, POSITIONS), hidden_channels(net, x), 1, bias=True))
    by_channel = net.norm(f"{name}.expand_bn", net.conv(f"{name}.expand", hidden, x.shape[1], 1))
    hidden = operations.relu(net.conv(f"{name}.spatial_reduce", x, hidden_channels(net, x), 1, bias=True))
    for layer in ("spatial_conv1", "spatial_conv2"):
        hidden = operations.relu(net.conv(f"{name}.{layer}", hidden, hidden.shape[1], 3, dilation=4, bias=True))
    by_position = net.norm(f"{name}.spatial_bn", net.conv(f"{name}.spatial_expand", hidden, 1, 1))
    net.keep("bam_channel", by_channel)
    net.keep("bam_spatial", by_position)
    return x + x * net.keep("bam_gate", operations.sigmoid(by_channel + by_position))


def selective_kernel(net: Network, name: str, x: Array) -> Array:
    """V_c = a_c U~_c + b_c U^_c, a_c = exp(A_c z) / (exp(A_c z) + exp(B_c z)), z = relu(BN(W mean of U~ + U^))."""
    channels, fields = x.shape[1], {}
    for field, dilation in (("near", 1), ("far", 2)):
        convolved = net.conv(f"{name}.{field}", x, channels, 3, dilation=dilation)
        fields[field] = net.keep(
            f"selective_kernel_{field}", operations.relu(net.norm(f"{name}.{field}_bn", convolved))
        )
    near, far = fields.values()
    hidden = net.conv(f"{name}.reduce", mean(near + far, POSITIONS), max(channels // net.config.reduction, 32), 1)
    hidden = operations.relu(net.norm(f"{name}.reduce_bn", hidden))
    scores = [net.conv(f"{name}.{field}_score", hidden, channels, 1) for field in fields]
    gates = operations.softmax(np.stack(scores, axis=-1))
    near_gate = net.keep("selective_kernel_near_gate", gates[..., 0])
    far_gate = net.keep("selective_kernel_far_gate", gates[..., 1])
    return near_gate * near + far_gate * far


def non_local(net: Network, name: str, x: Array) -> Array:
    """out_i = BN(W y_i) + x_i, y_i = sum over j of f(x_i, x_j) g(x_j) / C; f is exp(x_i . x_j), exp(theta_i . phi_j),
    theta_i . phi_j or relu(w . [theta_i, phi_j]); C is the sum of f for the first two, else the number of j."""
    form, channels, inner = net.config.non_local_form, x.shape[1], max(x.shape[1] // 2, 1)
    theta = phi = x
    if form != "gaussian":
        theta = net.keep("non_local_query", net.conv(f"{name}.query", x, inner, 1, bias=True))
        phi = net.keep("non_local_key", net.conv(f"{name}.key", x, inner, 1, bias=True))
    g = net.keep("non_local_value", net.conv(f"{name}.value", x, inner, 1, bias=True))
    if net.config.non_local_pooled:
        phi, g = largest_of_four(phi), largest_of_four(g)
    if form == "concatenation":
        theta, phi = (net.conv(f"{name}.{part}_score", array, 1, 1) for part, array in (("query", theta), ("key", phi)))
        relation = operations.relu(flat(theta).transpose(0, 2, 1) + flat(phi)) / flat(g).shape[2]
    else:
        energy = flat(theta).transpose(0, 2, 1) @ flat(phi)
        relation = energy / flat(g).shape[2] if form == "dot_product" else operations.softmax(net.energy(energy))
    relation = net.keep("non_local_map", relation)
    y = (flat(g) @ relation.transpose(0, 2, 1)).reshape(len(x), inner, *x.shape[2:])
    return net.norm(f"{name}.residual_bn", net.conv(f"{name}.residual", y, channels, 1)) + x


def self_attention(net: Network, name: str, x: Array) -> Array:
    """o_j = v(sum over i of b[j, i] h(x_i)), b[j] = softmax over i of f(x_i) . g(x_j); out_j = gamma o_j + x_j."""
    channels, inner = x.shape[1], query_channels(net, x)
    g = net.keep("self_attention_query", net.conv(f"{name}.query", x, inner, 1))
    f = net.keep("self_attention_key", net.conv(f"{name}.key", x, inner, 1))
    h = net.keep("self_attention_value", net.conv(f"{name}.value", x, inner, 1))
    energy = net.energy(flat(g).transpose(0, 2, 1) @ flat(f))
    attention = net.keep("self_attention_map", operations.softmax(energy))
    gathered = (flat(h) @ attention.transpose(0, 2, 1)).reshape(len(x), inner, *x.shape[2:])
    return net.tensor(f"{name}.gamma", (1,)) * net.conv(f"{name}.residual", gathered, channels, 1) + x


def joint_position(net: Network, name: str, x: Array) -> Array:
    """Position attention whose query, key and value are parts of one projection."""
    channels, queries = x.shape[1], query_channels(net, x)
    projections = net.conv(f"{name}.projections", x, 2 * queries + channels, 1, bias=True)
    parts = flat(net.keep("joint_position_projections", projections))
    query, key, value = parts[:, :queries], parts[:, queries : 2 * queries], parts[:, 2 * queries :]
    attention = net.keep("joint_position_map", operations.softmax(net.energy(query.transpose(0, 2, 1) @ key)))
    return net.tensor(f"{name}.gamma", (1,)) * (value @ attention.transpose(0, 2, 1)).reshape(x.shape) + x


def joint_channel(net: Network, name: str, x: Array) -> Array:
    """energy[c, d] = q_c . k_d; out_c = gamma * sum over d of softmax_d(energy)[c, d] v_d + x_c."""
    channels = x.shape[1]
    projections = net.conv(f"{name}.projections", x, 3 * channels, 1, bias=True)
    parts = flat(net.keep("joint_channel_projections", projections))
    query, key, value = parts[:, :channels], parts[:, channels : 2 * channels], parts[:, 2 * channels :]
    attention = net.keep("joint_channel_map", operations.softmax(net.energy(query @ key.transpose(0, 2, 1))))
    return net.tensor(f"{name}.gamma", (1,)) * (attention @ value).reshape(x.shape) + x


def compact_position(net: Network, name: str, x: Array) -> Array:
    """energy[n, m] = q_n . k_m for 50 centres m, relu(BN(W_s mean of x over window m)) of four pools of s x s windows;
    out_n = gamma * sum over m of softmax_m(energy)[n, m] v_m + x_n."""
    channels, queries = x.shape[1], query_channels(net, x)
    pooled = [
        operations.relu(
            net.norm(f"{name}.pool{s}.bn", net.conv(f"{name}.pool{s}.conv", window_means(x, s), channels, 1))
        )
        for s in (1, 2, 3, 6)
    ]
    centres = np.concatenate([flat(means) for means in pooled], axis=2)[..., None]
    net.keep("compact_position_centres", centres)
    query = net.keep("compact_position_query", net.conv(f"{name}.query", x, queries, 1, bias=True))
    key = net.keep("compact_position_key", net.conv(f"{name}.key", centres, queries, 1, bias=True))
    value = net.keep("compact_position_value", net.conv(f"{name}.value", centres, channels, 1, bias=True))
    energy = net.energy(flat(query).transpose(0, 2, 1) @ flat(key))
    attention = net.keep("compact_position_map", operations.softmax(energy))
    return net.tensor(f"{name}.gamma", (1,)) * (flat(value) @ attention.transpose(0, 2, 1)).reshape(x.shape) + x


def compact_channel(net: Network, name: str, x: Array) -> Array:
    """y = relu(BN(W x)) of K channels, energy[c, k] = x_c . y_k;
    out_c = gamma * sum over k of softmax_k(max_k energy - energy)[c, k] y_k + x_c."""
    centres = net.norm(f"{name}.centres.bn", net.conv(f"{name}.centres.conv", x, hidden_channels(net, x), 1))
    centres = net.keep("compact_channel_centres", operations.relu(centres))
    energy = net.energy(flat(x) @ flat(centres).transpose(0, 2, 1))
    attention = net.keep(
        "compact_channel_map", operations.softmax(net.energy(energy.max(axis=-1, keepdims=True) - energy))
    )
    return net.tensor(f"{name}.gamma", (1,)) * (attention @ flat(centres)).reshape(x.shape) + x


def criss_cross(net: Network, name: str, x: Array) -> Array:
    """Twice: x_u + gamma sum over i of A[i, u] Phi[i, u], Phi the values in the row and the column of u, u itself once;
    A[., u] is the softmax over i of q_u . Omega[i, u], with Omega the keys there."""
    x = net.keep("criss_cross_once", row_and_column(net, name, x, "criss_cross_map1"))
    return row_and_column(net, name, x, "criss_cross_map2")


def row_and_column(net: Network, name: str, x: Array, tap: str) -> Array:
    """One pass. The map has H entries for the column and W for the row at each position; in the column, u has 0."""
    channels, (height, width) = x.shape[1], x.shape[2:]
    query = net.conv(f"{name}.query", x, query_channels(net, x), 1, bias=True)
    key = net.conv(f"{name}.key", x, query_channels(net, x), 1, bias=True)
    value = net.conv(f"{name}.value", x, channels, 1, bias=True)
    attention, gathered = np.zeros((len(x), height + width, height, width)), np.zeros(x.shape)
    for i, j in np.ndindex(height, width):
        others = np.arange(height) != i
        keys, values = (np.concatenate([array[:, :, others, j], array[:, :, i]], axis=2) for array in (key, value))
        energy = net.energy(np.einsum("nq,nqk->nk", query[:, :, i, j], keys))
        weights = operations.softmax(energy)
        attention[:, np.append(others, [True] * width), i, j] = weights
        gathered[:, :, i, j] = np.einsum("nk,nck->nc", weights, values)
    net.keep(tap, attention)
    return net.tensor(f"{name}.gamma", (1,)) * gathered + x


MODULES = {
    "position": position,
    "channel": channel,
    "squeeze_excitation": squeeze_excitation,
    "cbam": cbam,
    "bam": bam,
    "selective_kernel": selective_kernel,
    "non_local": non_local,
    "self_attention": self_attention,
    "joint_position": joint_position,
    "joint_channel": joint_channel,
    "compact_position": compact_position,
    "compact_channel": compact_channel,
    "criss_cross": criss_cross,
}


def flat(x: Array) -> Array:
    """Height and width as one axis."""
    return x.reshape(*x.shape[:2], -1)


def largest_of_four(x: Array) -> Array:
    """Largest of each 2x2 window, stride 2; on odd sizes the last windows hold what is there."""
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (0, height % 2), (0, width % 2)), constant_values=-np.inf)
    corners = [padded[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return np.max(corners, axis=0)


def mean(x: Array, axes: int | Pooled) -> Array:
    """Over the positions, or over the channels; the axes stay."""
    return x.mean(axis=axes, keepdims=True)


def window_means(x: Array, size: int) -> Array:
    """Means over size x size windows, each from floor(i H / size) to ceil((i + 1) H / size) and so in width."""
    rows, columns = ([slice(i * n // size, -(-(i + 1) * n // size)) for i in range(size)] for n in x.shape[2:])
    return np.stack([np.stack([x[:, :, r, c].mean(axis=(2, 3)) for c in columns], axis=-1) for r in rows], axis=2)


def query_channels(net: Network, x: Array) -> int:
    """C / 8 in DANet, C / 4 where compact attention to positions is there; at least one."""
    return net.config.query_channels or max(x.shape[1] // (4 if "compact_position" in net.config.context else 8), 1)


def hidden_channels(net: Network, x: Array) -> int:
    """C / r, at least one."""
    return max(x.shape[1] // net.config.reduction, 1)
