"""Our networks as candidates: `torch`, `tf` or `jax`, then how it is prepared, as in `torch:cpu_inference`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from danet_common.config.recipe import TrainConfig
from danet_common.training.sharing import resolve_remat

Pass = Callable[[], Any]
REMAT = {"": None, "memory_efficient": False, "remat": True}  # activation checkpointing; None: by size


def make_pass(job: dict[str, Any]) -> Pass:
    """A forward pass to the fused logits, or a training step, on `job`'s checkpoint."""
    backend, _, prepared = job["candidate"].partition(":")
    generator = np.random.default_rng(0)
    x = generator.standard_normal((job["batch"], job["height"], job["width"], 3), np.float32)
    makers: dict[str, Callable[..., Pass]] = {"torch": torch_pass, "tf": tf_pass, "jax": jax_pass}
    set_precision(backend, job["dtype"])
    if job["mode"] == "train":
        return step_of(backend, job, x, REMAT[prepared])
    if prepared == "whole":  # the whole map at every size
        from danet_common.numerics import chunks

        chunks.CHUNK_SIZE = chunks.LARGEST_CHUNK
    layers = next((name for name in ("plain", "cpu_inference", "auto") if name in prepared), "memory_efficient")
    options = {"layers": layers}
    return makers[backend](job, x, prepared, options)


def set_precision(backend: str, dtype: str) -> None:
    """How a GPU multiplies float32: in TF32 where that is asked for, and nowhere else."""
    if backend == "torch":
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = dtype == "tf32"
    elif backend == "tf":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(dtype == "tf32")
    else:
        import jax

        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if dtype == "tf32" else "highest")


def held_dtype(dtype: str) -> str:
    """What values are held in: tf32 is how a GPU multiplies float32."""
    return "float32" if dtype == "tf32" else dtype


def torch_pass(job: dict[str, Any], x: np.ndarray, prepared: str, options: dict[str, Any]) -> Pass:
    """Eager, or `compiled` by Inductor; PyTorch's own attention kernel is forbidden where `slices` are asked for."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    import danet_torch
    from danet_cli.allocator import keep_freed_memory

    keep_freed_memory()  # as `danet predict` does
    model = danet_torch.load(job["checkpoint"], held_dtype(job["dtype"]), **options).to(job["device"])
    call = torch.compile(model) if prepared == "compiled" else model
    pictures = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(job["device"])

    @torch.inference_mode()
    def run() -> torch.Tensor:
        with sdpa_kernel(SDPBackend.MATH) if prepared in ("slices", "whole") else contextlib.nullcontext():
            out = call(pictures, outputs=("fused",))["fused"]
        if job["device"] == "cuda":
            torch.cuda.synchronize()
        return out

    return run


def tf_pass(job: dict[str, Any], x: np.ndarray, prepared: str, options: dict[str, Any]) -> Pass:
    """As a graph, or compiled by `xla`."""
    import tensorflow as tf

    import danet_tf

    model = danet_tf.load(job["checkpoint"], held_dtype(job["dtype"]), **options)
    pictures = tf.constant(x)
    call = tf.function(lambda x: model(x, outputs=("fused",))["fused"], jit_compile=prepared.endswith("xla"))
    return lambda: call(pictures).numpy()


def jax_pass(job: dict[str, Any], x: np.ndarray, prepared: str, options: dict[str, Any]) -> Pass:
    """Compiled; with `JAX_COMPILATION_CACHE_DIR` in the environment, from there if it is there already."""
    import jax

    import danet_jax

    model = danet_jax.load(job["checkpoint"], held_dtype(job["dtype"]), **options)
    pictures = jax.device_put(x, jax.devices(job["device"])[0])
    call = jax.jit(lambda model, x: model(x, outputs=("fused",))["fused"])
    return lambda: jax.block_until_ready(call(model, pictures))


def step_of(backend: str, job: dict[str, Any], x: np.ndarray, remat: bool | None) -> Pass:
    """A step of the package's own training: SGD, losses of all outputs, dropout."""
    import importlib

    package = f"danet_{backend}"
    train, engine = (importlib.import_module(f"{package}.training.{name}") for name in ("step", "distributed"))
    dtype = "mixed_bfloat16" if job["dtype"] == "bfloat16" else "float32"
    recipe = TrainConfig(batch_size=job["batch"], dtype=dtype, learning_rate=0.0001, remat=remat)
    spread, pixels = engine.Distributed(), x.shape[0] * job["height"] * job["width"]
    layers = "remat" if resolve_remat(recipe, pixels, spread.device_count) else "memory_efficient"
    model = importlib.import_module(package).load(job["checkpoint"], dtype, layers=layers)
    if backend == "torch":
        model.to(spread.placement)
    state = train.create_state(model, recipe, spread)
    labels = np.random.default_rng(1).integers(0, 19, x.shape[:3])
    batch = {"image": x, "labels": labels.astype(np.int64)}

    def step() -> list[float]:
        losses = train.train_step(state, batch)
        return [float(value) for value in losses.values()]  # which waits for the step

    return step
