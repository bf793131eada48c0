"""Checkpoints and live networks into all three frameworks, in one process: argument, a float64 checkpoint."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flax import nnx

import danet_jax
import danet_tf
import danet_torch
import weights_convert
from danet_common import Checkpoint, parameters, read_checkpoint
from shared_tests.fixtures.synthetic import synthetic_input
from weights_convert.live.source import LiveTensors, as_checkpoint, live_network

TARGETS: dict[str, Callable[..., Any]] = {
    "torch": weights_convert.to_torch,
    "tf": weights_convert.to_keras,
    "jax": weights_convert.to_jax,
}
PACKAGES = {"torch": danet_torch, "tf": danet_tf, "jax": danet_jax}


def forward(model: Any, x: np.ndarray) -> np.ndarray:
    """The fused logits, N,C,H,W."""
    if isinstance(model, danet_torch.DANet):
        with torch.no_grad():
            return model(torch.from_numpy(x))["fused"].numpy()
    run = nnx.jit(lambda model, x: model(x)) if isinstance(model, danet_jax.DANet) else type(model).__call__
    return np.asarray(run(model, x.transpose(0, 2, 3, 1))["fused"]).transpose(0, 3, 1, 2)


def pointer(leaf: Any) -> int:
    """Return the address of a torch tensor or a JAX array."""
    return leaf.data_ptr() if isinstance(leaf, torch.Tensor) else leaf[...].unsafe_buffer_pointer()


def copied_and_shared(one: Any, other: Any) -> dict[str, list[str]]:
    """Kinds of the tensors that are copies, and of those that are in the same memory."""
    first, second = (LiveTensors(*live_network(model)).leaves for model in (one, other))
    kinds: dict[str, set[str]] = {"copied": set(), "shared": set()}
    for name, (parameter, leaf) in first.items():
        kinds["shared" if pointer(leaf) == pointer(second[name][1]) else "copied"].add(parameter.kind)
    return {what: sorted(names) for what, names in kinds.items()}


def unequal(path: str, checkpoint: Checkpoint) -> list[str]:
    """Pairs of source and target whose tensors are not those of the checkpoint, bit for bit."""
    hashes = checkpoint.hashes()
    sources = {name: package.load(path, "float64") for name, package in PACKAGES.items()}
    return [
        f"{source} -> {target}"
        for source, network in {"path": path, **sources}.items()
        for target, convert in TARGETS.items()
        if as_checkpoint(convert(network)).hashes() != hashes
    ]


def differences(path: str, x: np.ndarray) -> dict[str, float]:
    """Target -> how far its logits are from those of the file loaded by torch, relative to the largest."""
    expected = forward(danet_torch.load(path, "float64"), x)
    shared = {
        "shared jax": weights_convert.to_jax(danet_torch.load(path, "float64"), share=True),
        "shared torch": weights_convert.to_torch(danet_jax.load(path, "float64"), share=True),
    }
    models = {target: convert(path) for target, convert in TARGETS.items()} | shared
    return {
        name: float(np.abs(forward(model, x) - expected).max() / np.abs(expected).max())
        for name, model in models.items()
    }


def changed_with_the_source(path: str) -> list[str]:
    """Networks, made without sharing, that change when their source's memory does."""
    actual = []
    for target, convert in TARGETS.items():
        checkpoint, network = read_checkpoint(path), danet_torch.load(path, "float64")
        before = checkpoint.hashes()
        models = {"checkpoint": convert(checkpoint), "torch": convert(network)}
        for array in checkpoint.tensors.values():
            array += 1
        with torch.no_grad():
            for leaf in [*network.parameters(), *network.buffers()]:
                leaf += 1
        actual += [
            f"{source} -> {target}" for source, model in models.items() if as_checkpoint(model).hashes() != before
        ]
    return actual


def folders_in_turn(path: str, checkpoint: Checkpoint) -> list[str]:
    """Packages that do not load what the one before them has saved as a folder."""
    folder, hashes, actual = Path(path).parent, checkpoint.hashes(), []
    danet_jax.save_pretrained(danet_jax.load(path, "float64"), folder / "jax", 60_000)
    for before, name in (("jax", "torch"), ("torch", "tf"), ("tf", "jax")):
        model = PACKAGES[name].from_pretrained(folder / before, "float64")
        PACKAGES[name].save_pretrained(model, folder / name, 60_000)
        actual += [name] * (as_checkpoint(model).hashes() != hashes)
    return actual


def main(path: str) -> None:
    checkpoint = read_checkpoint(path)
    x = synthetic_input(checkpoint.config, 2, 33, 47).astype(np.float64)
    flax, pytorch = danet_jax.load(path, "float64"), danet_torch.load(path, "float64")
    kinds = {name: parameter.kind for name, parameter in parameters(checkpoint.config).items()}
    low = {target: as_checkpoint(convert(path, dtype="bfloat16")) for target, convert in TARGETS.items()}
    actual = {
        "unequal": unequal(path, checkpoint),
        "unequal folders": folders_in_turn(path, checkpoint),
        "differences": differences(path, x),
        "by default": {
            "torch": copied_and_shared(flax, weights_convert.to_torch(flax)),
            "jax": copied_and_shared(pytorch, weights_convert.to_jax(pytorch)),
        },
        "on request": {
            "torch": copied_and_shared(flax, weights_convert.to_torch(flax, share=True)),
            "jax": copied_and_shared(pytorch, weights_convert.to_jax(pytorch, share=True)),
        },
        "changed with the source": changed_with_the_source(path),
        "bfloat16": {
            target: {kind: str(network.tensors[name].dtype) for name, kind in kinds.items()}
            for target, network in low.items()
        },
        "trainable": any(leaf.requires_grad for leaf in weights_convert.to_torch(flax, share=True).parameters()),
    }
    print(json.dumps(actual))


if __name__ == "__main__":
    main(sys.argv[1])
