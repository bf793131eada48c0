"""Seeded bugs in the modules that may stand in attention's place, many of them from well-known copies."""

from __future__ import annotations

from dataclasses import replace

from shared_tests.fixtures.cases import CASES
from shared_tests.mutation.mutations import Mutation, edits_by_backend, same_edit

MEANS = {
    "torch": "mean = torch.mean(upcast(x), (2, 3), keepdim=True).to(x.dtype)",
    "tf": "mean = ops.cast(mean_of(upcast(x), (1, 2), keepdims=True), x.dtype)",
    "jax": "mean = jnp.mean(upcast(x), (1, 2), keepdims=True).astype(x.dtype)",
}
MAXIMA = {
    "torch": "maximum(maximum(x, 2), 3)",
    "tf": "maximum(maximum(x, 1), 2)",
    "jax": "maximum(maximum(x, 1), 2)",
}

GATHERED = (
    Mutation(
        "non_local_scaled",
        "the energies are divided by the root of the channels, as many copies do; the paper's are not",
        CASES["non_local_embedded_gaussian"],
        same_edit("NonLocal.forward", ("to_positions(query), ", "to_positions(query) / query.shape[1] ** 0.5, ")),
    ),
    Mutation(
        "non_local_query_and_key_exchanged",
        "two layers of one shape hold each other's weights",
        CASES["non_local_concatenation"],
        same_edit(
            "NonLocal.forward",
            ("self.query_score(query), self.key_score(key)", "self.key_score(query), self.query_score(key)"),
        ),
    ),
    Mutation(
        "non_local_residual_dropped",
        "x is not added to what the block gathers",
        CASES["non_local_gaussian"],
        same_edit("NonLocal.forward", ("(to_feature_map(out, x))) + x", "(to_feature_map(out, x)))")),
    ),
    Mutation(
        "non_local_norm_dropped",
        "the BatchNorm that ends the block is never applied",
        CASES["non_local_dot_product"],
        same_edit(
            "NonLocal.forward",
            ("self.residual_bn(self.residual(to_feature_map(out, x)))", "self.residual(to_feature_map(out, x))"),
        ),
    ),
    Mutation(
        "keys_not_counted",
        "the products are summed; the paper divides them by the number of keys",
        CASES["non_local_dot_product"],
        edits_by_backend(
            "dot_product_attention",
            torch=("relation / key.shape[1])", "relation)"),
            tf=("relation / ops.cast(ops.shape(key)[1], relation.dtype))", "relation)"),
            jax=("relation / key.shape[1])", "relation)"),
        ),
    ),
    Mutation(
        "concatenation_without_activation",
        "the scores are added, without the ReLU after",
        CASES["non_local_concatenation"],
        edits_by_backend(
            "concatenation_attention",
            torch=("F.relu(upcast(query) + ", "(upcast(query) + "),
            tf=("ops.relu(upcast(query) + ", "(upcast(query) + "),
            jax=("jax.nn.relu(upcast(query) + ", "(upcast(query) + "),
        ),
    ),
    Mutation(
        "last_row_not_pooled",
        "an odd last row and column of keys and values is dropped",
        CASES["non_local_gaussian_pooled"],
        edits_by_backend(
            "largest",
            torch=("2, 2, ceil_mode=True", "2, 2"),
            tf=('2, 2, "same"', '2, 2, "valid"'),
            jax=('"SAME"', '"VALID"'),
        ),
    ),
    Mutation(
        "keys_not_pooled",
        "values are pooled and keys are not, so that there are more keys than values",
        CASES["non_local_concatenation_pooled"],
        same_edit(
            "NonLocal.forward", ("key, value = largest(key), largest(value)", "key, value = key, largest(value)")
        ),
    ),
    Mutation(
        "self_attention_query_and_key_exchanged",
        "the paper's f and g, two layers of one shape, change places: the softmax is over the positions that attend",
        CASES["self_attention"],
        same_edit("SelfAttention.forward", ("self.attention(query, key, value", "self.attention(key, query, value")),
    ),
    Mutation(
        "self_attention_scaled",
        "the energies are divided by the root of the channels; the paper's are not",
        CASES["self_attention"],
        same_edit("SelfAttention.forward", ("attention(query, key", "attention(query / query.shape[2] ** 0.5, key")),
    ),
    Mutation(
        "self_attention_residual_scaled",
        "gamma weighs x too: the sum is scaled, not what is gathered",
        CASES["self_attention"],
        edits_by_backend(
            "SelfAttention.forward",
            torch=(" * self.residual(to_feature_map(out, x)) + x", " * (self.residual(to_feature_map(out, x)) + x)"),
            tf=(" * self.residual(to_feature_map(out, x)) + x", " * (self.residual(to_feature_map(out, x)) + x)"),
            jax=(" * self.residual(to_feature_map(out, x)) + x", " * (self.residual(to_feature_map(out, x)) + x)"),
        ),
    ),
    Mutation(
        "joint_parts_exchanged",
        "query and key change places in the joint projections",
        CASES["joint_position"],
        edits_by_backend(
            "JointPositionAttention.forward",
            torch=(
                "query, key, value = torch.tensor_split(projections, self",
                "key, query, value = torch.tensor_split(projections, self",
            ),
            tf=("query, key, value = ops.split(projections, self", "key, query, value = ops.split(projections, self"),
            jax=("query, key, value = jnp.split(projections, self", "key, query, value = jnp.split(projections, self"),
        ),
    ),
    Mutation(
        "joint_query_narrow",
        "the key begins one channel early",
        CASES["joint_position"],
        same_edit(
            "JointPositionAttention.__init__", ("self.parts = (query_channels, ", "self.parts = (query_channels - 1, ")
        ),
    ),
    Mutation(
        "joint_channel_sign",
        "the energies' sign is turned as in DANet's channel attention; with projections it is not",
        CASES["joint_channel"],
        edits_by_backend(
            "JointChannelAttention.forward",
            torch=("torch.softmax(energy", "torch.softmax(-energy"),
            tf=("ops.softmax(energy", "ops.softmax(-energy"),
            jax=("jax.nn.softmax(energy", "jax.nn.softmax(-energy"),
        ),
    ),
    Mutation(
        "joint_channel_map_transposed",
        "the channel map is applied transposed",
        CASES["joint_channel"],
        same_edit("JointChannelAttention.forward", ('"bcd,bnd->bnc"', '"bdc,bnd->bnc"')),
    ),
)

CRISS_CROSS = (
    Mutation(
        "criss_cross_counts_itself_twice",
        "each position is in its row and again in its column",
        CASES["criss_cross"],
        same_edit("criss_cross_attention", ("rows[:, None] == rows", "rows[:, None] < 0")),
    ),
    Mutation(
        "criss_cross_once",
        "one pass, which reaches a row and a column, where the paper has two",
        CASES["criss_cross"],
        same_edit(
            "CrissCrossAttention.forward", ('return self.gather(x, taps.recorder("criss_cross_map2"))', "return x")
        ),
    ),
    Mutation(
        "criss_cross_softmaxes_apart",
        "a softmax over the column and another over the row",
        CASES["criss_cross"],
        edits_by_backend(
            "criss_cross_attention",
            torch=(
                "torch.softmax(torch.cat((column, row), 1), 1)",
                "torch.cat((column.softmax(1), row.softmax(1)), 1)",
            ),
            tf=(
                "ops.softmax(ops.concatenate((column, row), axis=3), axis=3)",
                "ops.concatenate((ops.softmax(column, axis=3), ops.softmax(row, axis=3)), axis=3)",
            ),
            jax=(
                "jax.nn.softmax(jnp.concat((column, row), axis=3), axis=3)",
                "jnp.concat((jax.nn.softmax(column, axis=3), jax.nn.softmax(row, axis=3)), axis=3)",
            ),
        ),
    ),
)

WEIGHED = (
    Mutation(
        "squeeze_thrown_away",
        "the gate is made of every position itself, not of their mean",
        CASES["squeeze_excitation"],
        same_edit("SqueezeExcitation.forward", ("self.reduce(mean)", "self.reduce(x)")),
    ),
    Mutation(
        "squeeze_excitation_without_sigmoid",
        "channels are weighed by the scores themselves",
        CASES["squeeze_excitation"],
        edits_by_backend(
            "SqueezeExcitation.forward",
            torch=("torch.sigmoid(self.expand", "(self.expand"),
            tf=("ops.sigmoid(self.expand", "(self.expand"),
            jax=("jax.nn.sigmoid(self.expand", "(self.expand"),
        ),
    ),
    Mutation(
        "squeeze_excitation_without_activation",
        "no ReLU between the squeeze's two convolutions",
        CASES["squeeze_excitation"],
        same_edit("SqueezeExcitation.forward", ("{relu}(self.reduce(mean))", "(self.reduce(mean))")),
    ),
    Mutation(
        "maximum_pooled_twice",
        "channels are weighed by their maximum twice; the mean is lost",
        CASES["cbam"],
        edits_by_backend("CBAM.forward", **{name: (MEANS[name], f"mean = {MAXIMA[name]}") for name in MEANS}),
    ),
    Mutation(
        "planes_swapped",
        "the maximum comes before the mean, as in the released code and unlike the paper",
        CASES["cbam"],
        same_edit("CBAM.forward", ("((mean, peak)", "((peak, mean)")),
    ),
    Mutation(
        "spatial_gate_of_input",
        "the positions are weighed by the input, before its channels were",
        CASES["cbam"],
        same_edit(
            "CBAM.forward",
            ('x = taps.record("cbam_channel_gate", gate) * x', 'y = taps.record("cbam_channel_gate", gate) * x'),
            ('taps.record("cbam_spatial_gate", gate) * x', 'taps.record("cbam_spatial_gate", gate) * y'),
        ),
    ),
    Mutation(
        "bam_branches_multiplied",
        "the two branches are multiplied, as in the released code; the paper adds them",
        CASES["bam"],
        same_edit("BAM.forward", ("channel) + taps", "channel) * taps")),
    ),
    Mutation(
        "bam_undilated",
        "the spatial branch sees 3x3 positions only",
        CASES["bam"],
        same_edit("DILATION", ("DILATION = 4", "DILATION = 1")),
    ),
    Mutation(
        "bam_residual_dropped",
        "features are multiplied by the gate, and not by one more",
        CASES["bam"],
        same_edit("BAM.forward", ("x * (1 + taps", "x * (0 + taps")),
    ),
    Mutation(
        "kernels_not_selected",
        "each field of view has a sigmoid of its own: there is no choice between them",
        CASES["selective_kernel"],
        edits_by_backend(
            "SelectiveKernel.forward",
            torch=("torch.softmax(upcast(scores), dim=0)", "torch.sigmoid(upcast(scores))"),
            tf=("ops.softmax(upcast(scores), axis=0)", "ops.sigmoid(upcast(scores))"),
            jax=("jax.nn.softmax(upcast(scores), axis=0)", "jax.nn.sigmoid(upcast(scores))"),
        ),
    ),
    Mutation(
        "far_is_near",
        "both convolutions see 3x3 positions",
        CASES["selective_kernel"],
        same_edit("SelectiveKernel.__init__", ("dilation=2", "dilation=1")),
    ),
    Mutation(
        "gates_exchanged",
        "the near field's gate weighs the far one: both are of one shape",
        CASES["selective_kernel"],
        same_edit(
            "SelectiveKernel.forward",
            ("(self.near_score(hidden), self.far_score(hidden))", "(self.far_score(hidden), self.near_score(hidden))"),
        ),
    ),
)

# Only where the map is made in chunks: not in the parity checks, which ask for the map.
CHUNKED = replace(CASES["non_local_concatenation"], height=33, width=49)
CHUNKED_MUTATIONS = (
    Mutation(
        "slices_counted",
        "the scores are divided by the queries of a chunk, not by the number of keys",
        CHUNKED,
        edits_by_backend(
            "concatenation_attention",
            torch=("relation / key.shape[1])", "relation / query.shape[1])"),
            tf=("ops.shape(key)[1]", "ops.shape(query)[1]"),
            jax=("relation / key.shape[1])", "relation / query.shape[1])"),
        ),
    ),
)
