"""Seeded bugs in batch normalisation: where three frameworks have three conventions."""

from __future__ import annotations

from shared_tests.fixtures.cases import TINY, Case
from shared_tests.mutation.mutations import Edit, Mutation, edits_by_backend

TRAINING = Case(TINY.replace(dropout_rate=0.0), height=17, width=23, training=True)
# One pixel per image has no zero-padded neighbours: with an offset, every channel's mean dwarfs its deviation.
SINGLE_PIXELS = Case(TINY.replace(dropout_rate=0.0), batch=8, height=1, width=1, training=True)
PLAIN = Case(TINY, height=17, width=23)


def torch_norm(*lines: str) -> Edit:
    """Return an edit that gives BatchNorm a forward pass of its own; torch's class has the text of the right one."""
    return Edit("BatchNorm.forward", "return super().forward(x)", "\n".join(lines))  # the path of one process


def torch_formula(*lines: str) -> Edit:
    """Return the same, by a formula of `mean` and `variance` (C, 1, 1); inference and statistics stay torch's."""
    return torch_norm(
        "out = super().forward(x)",
        "if not self.training:",
        "    return out",
        *lines,
        "scale, shift = self.weight[:, None, None], self.bias[:, None, None]",
        "return (x - mean) * torch.rsqrt(variance + self.eps) * scale + shift",
    )


NORMALISATION = (
    Mutation(
        "epsilon",
        "BatchNorm epsilon 1e-3, Keras's default, where torch has 1e-5",
        PLAIN,
        edits_by_backend(
            "BatchNorm.__init__",
            torch=("(channels, epsilon,", "(channels, 1e-3,"),
            tf=("self.epsilon = epsilon", "self.epsilon = 1e-3"),
            jax=("self.epsilon = epsilon", "self.epsilon = 1e-3"),
        ),
    ),
    Mutation(
        "momentum",
        "momentum in the other sense: torch's 0.1 is 0.9 elsewhere",
        TRAINING,
        edits_by_backend(
            "BatchNorm.__init__",
            torch=("epsilon, momentum,", "epsilon, 1 - momentum,"),
            tf=("= momentum ", "= 1 - momentum "),
            jax=("= momentum ", "= 1 - momentum "),
        ),
    ),
    Mutation(
        "biased_running_variance",
        "the running variance keeps the biased estimate, as Keras and Flax do",
        TRAINING,
        edits_by_backend(
            "BatchNorm.update",
            torch=torch_norm(
                "out = super().forward(x)",
                "if self.training:",
                "    self.running_var -= self.momentum * x.var((0, 2, 3)) * x.shape[1] / x.numel()",
                "return out",
            ),
            tf=("variance * (ops.cast(count, x.dtype) / ops.cast(count - 1, x.dtype))", "variance"),
            jax=("variance * (count / (count - 1))", "variance"),
        ),
    ),
    Mutation(
        "normalised_by_unbiased_variance",
        "the batch is normalised by the unbiased variance, which is only for keeping",
        TRAINING,
        edits_by_backend(
            "BatchNorm.update",
            torch=torch_formula("variance, mean = torch.var_mean(x, (0, 2, 3), keepdim=True)"),
            tf=("return mean, variance", "return mean, unbiased"),
            jax=("return mean, variance", "return mean, unbiased"),
        ),
    ),
    Mutation(
        "one_pass_variance",
        "variance as E[x^2] - E[x]^2, Flax's default: it cancels where the mean dwarfs the deviation",
        SINGLE_PIXELS,
        edits_by_backend(
            "BatchNorm.update",
            torch=torch_formula(
                "mean = x.mean((0, 2, 3), keepdim=True)",
                "variance = x.square().mean((0, 2, 3), keepdim=True) - mean.square()",
            ),
            tf=(
                "mean_of(ops.square(x - mean), (0, 1, 2))",
                "mean_of(ops.square(x), (0, 1, 2)) - ops.square(mean)",
            ),
            jax=(
                "jnp.mean(jnp.square(x - mean), (0, 1, 2))",
                "jnp.mean(jnp.square(x), (0, 1, 2)) - jnp.square(mean)",
            ),
        ),
        offset=1e4,
    ),
    Mutation(
        "float32_statistics",
        "the running variance of a float64 network kept in float32, as Flax keeps it",
        TRAINING,
        edits_by_backend(
            "BatchNorm.__init__",
            torch=torch_norm(
                "out = super().forward(x)",
                "self.running_var.copy_(self.running_var.float())",
                "return out",
            ),
            tf=('"ones", trainable=False', '"ones", "float32", trainable=False'),
            jax=(
                "self.var = nnx.BatchStat(jnp.ones(channels, dtype))",
                "self.var = nnx.BatchStat(jnp.ones(channels, 'float32'))",
            ),
        ),
    ),
    Mutation(
        "lost_update",
        "the running mean is not updated, as when jax.jit discards what a model changes",
        TRAINING,
        edits_by_backend(
            "BatchNorm.update",
            torch=torch_norm(
                "before = self.running_mean.clone()",
                "out = super().forward(x)",
                "self.running_mean.copy_(before)",
                "return out",
            ),
            tf=("(ops.stop_gradient(mean) - self.moving_mean)", "(self.moving_mean - self.moving_mean)"),
            jax=("(jax.lax.stop_gradient(mean) - self.mean[...])", "(self.mean[...] - self.mean[...])"),
        ),
    ),
    Mutation(
        "uncounted_batches",
        "num_batches_tracked is not counted",
        TRAINING,
        edits_by_backend(
            "BatchNorm.update",
            torch=torch_norm(
                "out = super().forward(x)",
                "self.num_batches_tracked -= int(self.training)",
                "return out",
            ),
            tf=("num_batches_tracked.assign_add(1)", "num_batches_tracked.assign_add(0)"),
            jax=("num_batches_tracked[...] += 1", "num_batches_tracked[...] += 0"),
        ),
    ),
    Mutation(
        "batch_statistics_at_inference",
        "inference normalises by the batch's statistics",
        PLAIN,
        edits_by_backend(
            "BatchNorm.forward",
            torch=torch_norm("return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)"),
            tf=("if not (training and self.trainable):", "if False:"),
            jax=("if self.use_running_average else", "if False else"),
        ),
    ),
)
