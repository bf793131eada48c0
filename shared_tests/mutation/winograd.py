"""Seeded bugs in Winograd's convolution, which only networks made for it compute with."""

from __future__ import annotations

from shared_tests.fixtures.cases import CASES
from shared_tests.mutation.mutations import Edit, Mutation, edits_by_backend

CASE = CASES["tiny"]
TRANSPOSED = dict.fromkeys(("tf", "jax"), ("2, 3, 0, 4, 5, 1, 6, 7", "2, 3, 1, 4, 5, 0, 6, 7"))
BAND = "[:, first * step : (first + count + 1) * step + dilation]"
TOP = "[:, 0 : (count + 1) * step + dilation]"
PHASES = ("[i * dilation for i in range(SPAN)]", "list(range(SPAN))")
TF_OUTPUT, JAX_OUTPUT = "ops.convert_to_tensor(OUTPUT, x.dtype)", "jnp.asarray(OUTPUT, x.dtype)"

WINOGRAD = (
    Mutation(
        "tile_transposed",
        "a tile's rows and columns are exchanged where outputs go back to their places",
        CASE,
        edits_by_backend("convolve_tiles", torch=("products.unbind(0)", "products.unbind(1)"), **TRANSPOSED),
    ),
    Mutation(
        "points_confused",
        "the third output of a tile takes the products for 2 and -2 as often as those for 1 and -1",
        CASE,
        edits_by_backend(
            "convolve_tiles",
            torch=Edit(
                "transform_products", "torch.add(even, odd, alpha=4, out=out[2])", "torch.add(even, odd, out=out[2])"
            ),
            tf=(TF_OUTPUT, f"ops.clip({TF_OUTPUT}, -2, 2)"),
            jax=(JAX_OUTPUT, f"jnp.clip({JAX_OUTPUT}, -2, 2)"),
        ),
    ),
    Mutation(
        "phases_ignored",
        "the pixels of a tile are neighbours: right without dilation only",
        CASE,
        edits_by_backend(
            "convolve_tiles", torch=Edit("transform_tiles", *PHASES), **dict.fromkeys(("tf", "jax"), PHASES)
        ),
    ),
    Mutation(
        "bands_overlap",
        "each band starts at the top",
        CASE,
        edits_by_backend(
            "convolve",
            torch=("max(top, 0) : bottom]", ": bottom - max(top, 0)]"),
            tf=(BAND, TOP),
            jax=(BAND, TOP),
        ),
    ),
    Mutation(
        "bias_forgotten",
        "a band lacks the bias; PyTorch alone adds it there",
        CASE,
        edits_by_backend("convolve", torch=("band += bias", "pass")),
    ),
    Mutation(
        "some_channels_alone",
        "products of the last input channels take the place of the sums; PyTorch alone takes some at once",
        CASE,
        edits_by_backend("convolve_tiles", torch=("beta=min(index, 1)", "beta=0")),
    ),
    Mutation(
        "kernels_transposed",
        "a kernel's rows and columns are exchanged where it is transformed",
        CASE,
        edits_by_backend(
            "transform_kernels",
            torch=("kernel.flatten(2)", "kernel.transpose(2, 3).flatten(2)"),
            tf=("ops.reshape(kernel, (9, -1))", "ops.reshape(ops.transpose(kernel, (1, 0, 2, 3)), (9, -1))"),
            jax=("kernel.reshape(9, -1)", "kernel.transpose(1, 0, 2, 3).reshape(9, -1)"),
        ),
    ),
)
