"""Seeded bugs in DRANet: in compact attention and in the gating decoder."""

from __future__ import annotations

from shared_tests.fixtures.cases import CASES
from shared_tests.mutation.mutations import Mutation, edits_by_backend, same_edit

DRANET = CASES["dranet"]

COMPACT = (
    Mutation(
        "windows_do_not_overlap",
        "a window ends where the next begins; torch's adaptive pools end at the ceiling, and overlap on odd sizes",
        DRANET,
        same_edit("pooling_matrix", ("((i + 1) * source + target - 1) // target", "(i + 1) * source // target")),
    ),
    Mutation(
        "pools_share_one_convolution",
        "all pools go through the first one's convolution; theirs have the same shape and are never used",
        DRANET,
        same_edit("CompactPositionAttention.forward", ('f"pool{size}")(adaptive_average', '"pool1")(adaptive_average')),
    ),
    Mutation(
        "compact_energy_scaled",
        "the energies are divided by the root of the channels; the authors' are not",
        DRANET,
        same_edit(
            "CompactPositionAttention.forward",
            ("softmax_attention(query, key", "softmax_attention(query / key.shape[2] ** 0.5, key"),
        ),
    ),
    Mutation(
        "compact_values_are_centres",
        "the centres are gathered instead of the values that a convolution makes of them",
        DRANET,
        same_edit("CompactPositionAttention.forward", ("self.value(centres)))", "centres))")),
    ),
    Mutation(
        "compact_channel_sign",
        "the energy's sign is not turned, so that like centres weigh more",
        DRANET,
        edits_by_backend(
            "CompactChannelAttention.forward",
            torch=("torch.amax(energy, 2, keepdim=True) - energy", "energy"),
            tf=("ops.max(energy, axis=2, keepdims=True) - energy", "energy"),
            jax=("jnp.max(energy, axis=2, keepdims=True) - energy", "energy"),
        ),
    ),
    Mutation(
        "compact_softmax_over_channels",
        "the softmax runs over the channels, not over the centres",
        CASES["compact_channel"],
        edits_by_backend(
            "CompactChannelAttention.forward",
            torch=("torch.softmax(energy, 2)", "torch.softmax(energy, 1)"),
            tf=("ops.softmax(energy, 2)", "ops.softmax(energy, 1)"),
            jax=("jax.nn.softmax(energy, 2)", "jax.nn.softmax(energy, 1)"),
        ),
    ),
)

DECODER = (
    Mutation(
        "gain_ignored",
        "the gain starts at 1 and hides that it is ignored",
        DRANET,
        edits_by_backend(
            "GatingDecoder.forward",
            torch=("self.gain.to(x.dtype) * gate", "gate"),
            tf=("ops.cast(self.gain, x.dtype) * gate", "gate"),
            jax=("self.gain[...].astype(x.dtype) * gate", "gate"),
        ),
    ),
    Mutation(
        "gate_not_applied",
        "the shallow features are joined as they are",
        DRANET,
        same_edit("GatingDecoder.forward", (" * gate * low", " * low")),
    ),
    Mutation(
        "decoder_parts_exchanged",
        "the deep features come before the shallow ones: the joined width is the same",
        DRANET,
        same_edit("GatingDecoder.forward", ("([gated, high], ", "([high, gated], ")),
    ),
    Mutation(
        "decoder_grid_fixed",
        "the decoder enlarges on the corners' grid whatever the network's is",
        CASES["gating_of_one_branch"],
        same_edit("GatingDecoder.forward", (", self.grid)", ', "corners")')),
    ),
    Mutation(
        "branches_exchanged_before_the_decoder",
        "the branches are laid side by side in the other order",
        DRANET,
        same_edit(
            "DualAttentionHead.forward",
            ("self.fuse(tuple(branches.values())", "self.fuse(tuple(branches.values())[::-1]"),
        ),
    ),
)
