"""Seeded bugs in the modules that may stand in attention's place, many of them from well-known copies."""

from __future__ import annotations

from shared_tests.golden_cases import CASES
from shared_tests.mutations import Mutation, alike, apart

MEANS = {
    "torch": "mean = torch.mean(widen(x), (2, 3), keepdim=True).to(x.dtype)",
    "tf": "mean = ops.cast(ops.mean(widen(x), (1, 2), keepdims=True), x.dtype)",
    "jax": "mean = jnp.mean(widen(x), (1, 2), keepdims=True).astype(x.dtype)",
}
MAXIMA = {
    "torch": "torch.amax(x, (2, 3), keepdim=True)",
    "tf": "ops.max(x, (1, 2), keepdims=True)",
    "jax": "jnp.max(x, (1, 2), keepdims=True)",
}

WEIGHED = (
    Mutation(
        "squeeze_thrown_away",
        "the gate is made of every position itself, not of their mean",
        CASES["squeeze_excitation"],
        alike("squeeze_excitation.py", ("self.reduce(mean)", "self.reduce(x)")),
    ),
    Mutation(
        "squeeze_excitation_without_sigmoid",
        "channels are weighed by the scores themselves",
        CASES["squeeze_excitation"],
        apart(
            "squeeze_excitation.py",
            torch=("torch.sigmoid(self.expand", "(self.expand"),
            tf=("ops.sigmoid(self.expand", "(self.expand"),
            jax=("jax.nn.sigmoid(self.expand", "(self.expand"),
        ),
    ),
    Mutation(
        "squeeze_excitation_without_activation",
        "no ReLU between the squeeze's two convolutions",
        CASES["squeeze_excitation"],
        alike("squeeze_excitation.py", ("{relu}(self.reduce(mean))", "(self.reduce(mean))")),
    ),
    Mutation(
        "maximum_pooled_twice",
        "channels are weighed by their maximum twice; the mean is lost",
        CASES["cbam"],
        apart("cbam.py", **{name: (MEANS[name], f"mean = {MAXIMA[name]}") for name in MEANS}),
    ),
    Mutation(
        "planes_swapped",
        "the maximum comes before the mean, as in the released code and unlike the paper",
        CASES["cbam"],
        alike("cbam.py", ("((mean, maximum)", "((maximum, mean)")),
    ),
    Mutation(
        "spatial_gate_of_input",
        "the positions are weighed by the input, before its channels were",
        CASES["cbam"],
        alike(
            "cbam.py",
            ('x = stages.keep("cbam_channel_gate", gate) * x', 'y = stages.keep("cbam_channel_gate", gate) * x'),
            ('stages.keep("cbam_spatial_gate", gate) * x', 'stages.keep("cbam_spatial_gate", gate) * y'),
        ),
    ),
    Mutation(
        "bam_branches_multiplied",
        "the two branches are multiplied, as in the released code; the paper adds them",
        CASES["bam"],
        alike("bam.py", ("channel) + stages", "channel) * stages")),
    ),
    Mutation(
        "bam_undilated",
        "the spatial branch sees 3x3 positions only",
        CASES["bam"],
        alike("bam.py", ("DILATION = 4", "DILATION = 1")),
    ),
    Mutation(
        "bam_residual_dropped",
        "features are multiplied by the gate, and not by one more",
        CASES["bam"],
        alike("bam.py", ("x * (1 + stages", "x * (0 + stages")),
    ),
    Mutation(
        "kernels_not_selected",
        "each field of view has a sigmoid of its own: there is no choice between them",
        CASES["selective_kernel"],
        apart(
            "selective_kernel.py",
            torch=("torch.softmax(widen(scores), dim=0)", "torch.sigmoid(widen(scores))"),
            tf=("ops.softmax(widen(scores), axis=0)", "ops.sigmoid(widen(scores))"),
            jax=("jax.nn.softmax(widen(scores), axis=0)", "jax.nn.sigmoid(widen(scores))"),
        ),
    ),
    Mutation(
        "far_is_near",
        "both convolutions see 3x3 positions",
        CASES["selective_kernel"],
        alike("selective_kernel.py", ("dilation=2", "dilation=1")),
    ),
    Mutation(
        "gates_exchanged",
        "the near field's gate weighs the far one: both are of one shape",
        CASES["selective_kernel"],
        alike(
            "selective_kernel.py",
            ("(self.near_score(hidden), self.far_score(hidden))", "(self.far_score(hidden), self.near_score(hidden))"),
        ),
    ),
)
