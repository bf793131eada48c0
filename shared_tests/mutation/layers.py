"""Seeded bugs in the other layers: padding, pooling, dropout and loading."""

from __future__ import annotations

from shared_tests.fixtures.cases import CASES, TINY, Case
from shared_tests.mutation.mutations import Mutation, edits_by_backend, same_edit

PLAIN = Case(TINY, height=17, width=23)
EVEN = Case(TINY, height=24, width=20)  # 12 x 10 after the stem's convolution: its max pool sees even sizes too
AVERAGE_DOWN = CASES["avg_down"]

TORCH_SAME_PADDING = (
    "return F.conv2d(x, self.weight.to(x.dtype), bias, self.stride, self.padding, self.dilation)",
    "k, padding = self.kernel_size[0], self.padding\n"
    "if self.stride[0] == 2:\n"
    "    above, before = ((max(k - 2 + size % 2, 0)) // 2 for size in x.shape[2:])\n"
    "    x, padding = F.pad(x, (before, (k - 1) // 2, above, (k - 1) // 2)), 0\n"
    "return F.conv2d(x, self.weight.to(x.dtype), bias, self.stride, padding, self.dilation)",
)

LAYERS = (
    Mutation(
        "same_padding",
        "'same' pads the bottom right alone where a convolution of stride 2 meets an even size",
        EVEN,
        edits_by_backend(
            "Conv.forward",
            torch=TORCH_SAME_PADDING,
            tf=('ops.pad(x, ((0, 0), around, around, (0, 0))), kernel, stride, "valid"', 'x, kernel, stride, "same"'),
            jax=("[(self.padding, self.padding)] * 2", '"SAME"'),
        ),
    ),
    Mutation(
        "max_pool_same",
        "Keras's 'same' max pool pads the bottom right alone where the size is even",
        EVEN,
        edits_by_backend(
            "max_pool",
            torch=("F.max_pool2d(x, 3, 2, 1)", "F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 3, 2)"),
            tf=('ops.max_pool(padded, 3, 2, "valid"', 'ops.max_pool(x, 3, 2, "same"'),
            jax=("(2, 2), ((1, 1), (1, 1))", '(2, 2), "SAME"'),
        ),
    ),
    Mutation(
        "max_pool_ceil",
        "the max pool rounds its size up, as Caffe's ResNets do",
        EVEN,
        edits_by_backend(
            "max_pool",
            torch=("F.max_pool2d(x, 3, 2, 1)", "F.max_pool2d(x, 3, 2, 1, ceil_mode=True)"),
            tf=(
                "ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant",
                "ops.pad(x, ((0, 0), (1, 2), (1, 2), (0, 0)), constant",
            ),
            jax=("((1, 1), (1, 1))", "((1, 2), (1, 2))"),
        ),
    ),
    Mutation(
        "average_pool_counts_padding",
        "the shortcut's average pool divides by four where an odd border has two pixels",
        AVERAGE_DOWN,
        edits_by_backend(
            "average_pool",
            torch=(
                "F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)",
                "F.avg_pool2d(F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2)), 2, 2)",
            ),
            tf=(
                'return ops.average_pool(x, 2, 2, "same", "channels_last")',
                "odd = ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0))\n"
                'return ops.average_pool(ops.pad(x, odd), 2, 2, "valid", "channels_last")',
            ),
            jax=("count_include_pad=False", "count_include_pad=True"),
        ),
    ),
    Mutation(
        "average_pool_floor",
        "the shortcut's average pool drops an odd last row or column",
        AVERAGE_DOWN,
        edits_by_backend(
            "average_pool",
            torch=("ceil_mode=True", "ceil_mode=False"),
            tf=('ops.average_pool(x, 2, 2, "same"', 'ops.average_pool(x, 2, 2, "valid"'),
            jax=("odd = ((0, x.shape[1] % 2), (0, x.shape[2] % 2))", "odd = ((0, 0), (0, 0))"),
        ),
    ),
    Mutation(
        "average_pool_ignores_padding",
        "at stride 1 the zeros after the last row and column do not count, as 'same' pools them",
        CASES["avg_down_dilated"],
        edits_by_backend(
            "average_pool",
            torch=("F.pad(x, (0, 1, 0, 1))", 'F.pad(x, (0, 1, 0, 1), "replicate")'),
            tf=('ops.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0))), 2, 1, "valid"', 'x, 2, 1, "same"'),
            jax=("((0, 1), (0, 1)))", "((0, 1), (0, 1)), count_include_pad=False)"),
        ),
    ),
    Mutation(
        "dropout_at_inference",
        "dropout stays on at inference",
        PLAIN,
        edits_by_backend(
            "Dropout.forward",
            torch=("dropout(x, self.rate, self.training)", "dropout(x, self.rate, True)"),
            tf=("if not training or self.seed_generator is None:", "if self.seed_generator is None:"),
            jax=("super().__call__(x)", "super().__call__(x, deterministic=False)"),
        ),
    ),
    Mutation(
        "no_activation_in_head",
        "the head's convolutions have no ReLU",
        PLAIN,
        same_edit("ConvNormAct.forward", ("{relu}(self.bn(self.conv(x)))", "self.bn(self.conv(x))")),
    ),
    Mutation(
        "kernel_transposed",
        "a kernel's height and width are exchanged on loading",
        PLAIN,
        same_edit(
            "TensorAccess.set_tensors",
            ("leaf, array)\n", "leaf, array.swapaxes(2, 3) if array.ndim == 4 else array)\n"),
        ),
    ),
)
