"""Seeded bugs in position and channel attention; most leave nearly every predicted class as it was."""

from __future__ import annotations

from shared_tests.fixtures.cases import TINY, Case
from shared_tests.mutation.mutations import Edit, Mutation, edits_by_backend, same_edit

PLAIN = Case(TINY, height=17, width=23)
CHUNKED = Case(TINY.replace(context=("position",)), height=33, width=49)

POSITION = (
    Mutation(
        "scaled_energy",
        "the position energies are divided by sqrt(d), as in Transformers; DANet's are not",
        PLAIN,
        same_edit(
            "softmax_attention",
            (
                '"bnq,bmq->bnm", upcast(query), upcast(key))',
                '"bnq,bmq->bnm", upcast(query), upcast(key)) / query.shape[2] ** 0.5',
            ),
        ),
    ),
    Mutation(
        "position_softmax_axis",
        "the softmax runs over the queries instead of the keys",
        PLAIN,
        edits_by_backend(
            "softmax_attention",
            torch=("torch.softmax(energy, 2)", "torch.softmax(energy, 1)"),
            tf=("ops.softmax(energy, 2)", "ops.softmax(energy, 1)"),
            jax=("jax.nn.softmax(energy, 2)", "jax.nn.softmax(energy, 1)"),
        ),
    ),
    Mutation(
        "energy_transposed",
        "query and key are swapped in the energy: 99.44% of the predicted classes stay",
        PLAIN,
        same_edit("softmax_attention", ('->bnm", upcast(query), upcast(key))', '->bnm", upcast(key), upcast(query))')),
    ),
    Mutation(
        "query_and_key_exchanged",
        "two layers of one shape hold each other's weights",
        PLAIN,
        same_edit(
            "PositionAttention.forward",
            ('"position_query", self.query(x)', '"position_query", self.key(x)'),
            ('"position_key", self.key(x)', '"position_key", self.query(x)'),
        ),
    ),
    Mutation(
        "query_bias_dropped",
        "the query has no bias: 99.86% of the predicted classes stay",
        PLAIN,
        edits_by_backend(
            "PositionAttention.forward",
            torch=(
                '"position_query", self.query(x)',
                '"position_query", self.query(x) - self.query.bias[:, None, None]',
            ),
            tf=('"position_query", self.query(x)', '"position_query", self.query(x) - self.query.bias'),
            jax=('"position_query", self.query(x)', '"position_query", self.query(x) - self.query.bias[...]'),
        ),
    ),
    Mutation(
        "key_bias_dropped",
        "the key has no bias: the softmax cannot see it, so only the named stage tells",
        PLAIN,
        edits_by_backend(
            "PositionAttention.forward",
            torch=('"position_key", self.key(x)', '"position_key", self.key(x) - self.key.bias[:, None, None]'),
            tf=('"position_key", self.key(x)', '"position_key", self.key(x) - self.key.bias'),
            jax=('"position_key", self.key(x)', '"position_key", self.key(x) - self.key.bias[...]'),
        ),
    ),
    Mutation(
        "position_map_transposed",
        "the position map is applied transposed",
        PLAIN,
        same_edit("softmax_attention", ('"bnm,bmc->bnc"', '"bmn,bmc->bnc"')),
    ),
    Mutation(
        "position_gamma_ignored",
        "gamma starts at 0 and hides attention: here it is ignored",
        PLAIN,
        edits_by_backend(
            "PositionAttention.forward",
            torch=("self.gamma.to(x.dtype) * ", ""),
            tf=("ops.cast(self.gamma, x.dtype) * ", ""),
            jax=("self.gamma[...].astype(x.dtype) * ", ""),
        ),
    ),
    Mutation(
        "position_residual_dropped",
        "x is not added to what position attention gathers",
        PLAIN,
        same_edit("PositionAttention.forward", ("to_feature_map(gathered, x) + x", "to_feature_map(gathered, x)")),
    ),
)

CHUNK_AT_A_TIME = "(piece, key, value), pieces)"
QUERY_BLOCKS = "zip(some_queries.split(queries), "

# Only where the map is made in chunks: not in the parity checks, which ask for the map.
CHUNKED_MUTATIONS = (
    Mutation(
        "last_chunk_lost",
        "the queries of the last chunk are lost: they gather the mean",
        CHUNKED,
        edits_by_backend(
            "chunked_attention",
            torch=Edit(
                "flash_attention",
                QUERY_BLOCKS,
                "zip((*some_queries.split(queries)[:-1], 0 * some_queries.split(queries)[-1]), ",
            ),
            tf=Edit(
                "chunked_attention",
                CHUNK_AT_A_TIME,
                "(piece, key, value), ops.concatenate([pieces[:-1], 0 * pieces[-1:]]))",
            ),
            jax=Edit("chunked_attention", CHUNK_AT_A_TIME, "(piece, key, value), pieces.at[-1].set(0))"),
        ),
    ),
    Mutation(
        "chunks_backwards",
        "the last chunk comes first",
        CHUNKED,
        edits_by_backend(
            "chunked_attention",
            torch=Edit("flash_attention", QUERY_BLOCKS, "zip(some_queries.roll(queries, 0).split(queries), "),
            tf=Edit("chunked_attention", CHUNK_AT_A_TIME, "(piece, key, value), pieces[::-1])"),
            jax=Edit("chunked_attention", CHUNK_AT_A_TIME, "(piece, key, value), pieces[::-1])"),
        ),
    ),
    Mutation(
        "key_captured",
        "the key gets no gradient: so where TensorFlow's recomputation captures it instead of taking it",
        CHUNKED,
        edits_by_backend(
            "chunked_attention",
            torch=Edit("chunked_gradients", "of_key += add_to_key", "of_key += 0 * add_to_key"),
            tf=Edit(
                "chunked_attention",
                "remat_function(definition)(piece, key, value)",
                "remat_function(lambda query, value: definition(query, key, value))(piece, value)",
            ),
            jax=Edit(
                "chunked_attention",
                "(definition)(piece, key, value)",
                "(definition)(piece, jax.lax.stop_gradient(key), value)",
            ),
        ),
    ),
    Mutation(
        "scale_forgotten",
        "what was gathered is not scaled when a larger energy comes; TensorFlow has no blocks of keys",
        CHUNKED,
        edits_by_backend(
            "online_softmax",
            torch=("gathered.mul_(scale)", "gathered"),
            jax=("gathered * scale + ", "gathered + "),
        ),
    ),
)

# Only where PyTorch's kernel computes: on a GPU, or where a test has it so.
KERNEL = (
    Mutation(
        "kernel_scales",
        "the kernel divides energies by sqrt(d), as it does by default",
        CHUNKED,
        edits_by_backend("sdpa_attention", torch=(", scale=1.0)", ")")),
    ),
    Mutation(
        "heads_interleaved",
        "what heads gathered is put together channel by channel, where they are neighbours head by head",
        CHUNKED,
        edits_by_backend(
            "sdpa_attention", torch=("out.transpose(1, 2).flatten(2)", "out.permute(0, 2, 3, 1).flatten(2)")
        ),
    ),
)

# Which numbers and gradients do not show.
SECOND = (
    Mutation(
        "cotangent_detached",
        "the gradient of a gradient in chunks does not see what the first one was handed",
        CHUNKED,
        edits_by_backend(
            "double_backward",
            torch=("*pullback(cotangents)", "*(part * (n > 0) for n, part in enumerate(pullback(cotangents)))"),
        ),
    ),
    Mutation(
        "leaves_not_copied",
        "a chunk is computed again from the loop's own tensors, whose second gradients TensorFlow loses in graphs",
        CHUNKED,
        edits_by_backend("remat_function.call.gradient", tf=("[tf.identity(leaf) for leaf in leaves]", "list(leaves)")),
    ),
)

CHANNEL = (
    Mutation(
        "channel_sign",
        "softmax(energy), the paper's formula, where the released code has softmax(max - energy)",
        PLAIN,
        edits_by_backend(
            "ChannelAttention.forward",
            torch=("torch.amax(energy, 2, keepdim=True) - energy", "energy - torch.amax(energy, 2, keepdim=True)"),
            tf=("ops.max(energy, axis=2, keepdims=True) - energy", "energy - ops.max(energy, axis=2, keepdims=True)"),
            jax=("jnp.max(energy, axis=2, keepdims=True) - energy", "energy - jnp.max(energy, axis=2, keepdims=True)"),
        ),
    ),
    Mutation(
        "channel_softmax_axis",
        "the softmax runs over the columns of the channel energies",
        PLAIN,
        edits_by_backend(
            "ChannelAttention.forward",
            torch=("torch.softmax(energy, 2)", "torch.softmax(energy, 1)"),
            tf=("ops.softmax(energy, 2)", "ops.softmax(energy, 1)"),
            jax=("jax.nn.softmax(energy, 2)", "jax.nn.softmax(energy, 1)"),
        ),
    ),
    Mutation(
        "channel_map_transposed",
        "the channel map is applied transposed",
        PLAIN,
        same_edit("ChannelAttention.forward", ('"bcd,bnd->bnc"', '"bdc,bnd->bnc"')),
    ),
    Mutation(
        "channel_energy_averaged",
        "the channel energies are means over the positions; DANet's are sums",
        PLAIN,
        same_edit(
            "ChannelAttention.forward",
            ("upcast(features), upcast(features))", "upcast(features), upcast(features)) / features.shape[1]"),
        ),
    ),
    Mutation(
        "channel_residual_dropped",
        "x is not added to what channel attention gathers",
        PLAIN,
        same_edit("ChannelAttention.forward", ("to_feature_map(gathered, x) + x", "to_feature_map(gathered, x)")),
    ),
    Mutation(
        "float16_energies",
        "channel energies in float16, which ends at 65504: sums over large features overflow",
        PLAIN,
        same_edit("ChannelAttention.forward", ("upcast(features), upcast(features))", "features, features)")),
        dtype="float16",
        offset=2000.0,  # features reach 4000, which float16 holds, and the energies 600,000
    ),
)
