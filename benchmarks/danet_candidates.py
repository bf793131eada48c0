"""danet's networks as candidates: `torch`, `tf` or `jax`, then a preparation, as in `torch:cpu_inference`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from danet_common.config.recipe import TrainConfig
from danet_common.training.sharing import resolve_remat

Pass = Callable[[], Any]
REMAT = {"": None, "memory_efficient": False, "remat": True}  # activation checkpointing; None: by size


def make_pass(job: dict[str, Any]) -> Pass:
    """Return a forward pass to the fused logits, or a training step, of the checkpoint that `job` names."""
    backend, _, prepared = job["candidate"].partition(":")
    generator = np.random.default_rng(0)
    x = generator.standard_normal((job["batch"], job["height"], job["width"], 3), np.float32)
    makers: dict[str, Callable[..., Pass]] = {"torch": torch_pass, "tf": tf_pass, "jax": jax_pass}
    set_precision(backend, job["dtype"])
    if job["mode"] == "train":
        return training_step(backend, job, x, REMAT[prepared])
    if prepared == "whole":  # the attention map as one chunk at every size
        from danet_common.numerics import chunks

        chunks.CHUNK_SIZE = chunks.LARGEST_CHUNK
    layers = next((name for name in ("plain", "cpu_inference", "auto") if name in prepared), "memory_efficient")
    options = {"layers": layers}
    return makers[backend](job, x, prepared, options)


def set_precision(backend: str, dtype: str) -> None:
    """Let a GPU multiply float32 in TF32 if `dtype` is `tf32`, and in full precision otherwise."""
    if backend == "torch":
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = dtype == "tf32"
    elif backend == "tf":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(dtype == "tf32")
    else:
        import jax

        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if dtype == "tf32" else "highest")


def storage_dtype(dtype: str) -> str:
    """Return the dtype of the stored values: TF32 is a way to multiply float32."""
    return "float32" if dtype == "tf32" else dtype


def torch_pass(job: dict[str, Any], x: np.ndarray, prepared: str, options: dict[str, Any]) -> Pass:
    """Return an eager pass, or a `compiled` one (Inductor). `chunks` forbids PyTorch's own attention kernel."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    import danet_torch
    from danet_cli.allocator import keep_freed_memory

    keep_freed_memory()  # as `danet predict` does
    model = danet_torch.load(job["checkpoint"], storage_dtype(job["dtype"]), **options).to(job["device"])
    call = torch.compile(model) if prepared == "compiled" else model
    pictures = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(job["device"])

    @torch.inference_mode()
    def run() -> torch.Tensor:
        with sdpa_kernel(SDPBackend.MATH) if prepared in ("chunks", "whole") else contextlib.nullcontext():
            out = call(pictures, outputs=("fused",))["fused"]
        if job["device"] == "cuda":
            torch.cuda.synchronize()
        return out

    return run


def tf_pass(job: dict[str, Any], x: np.ndarray, prepared: str, options: dict[str, Any]) -> Pass:
    """Return a pass as a graph, compiled if `xla` is in `prepared`."""
    import tensorflow as tf

    import danet_tf

    model = danet_tf.load(job["checkpoint"], storage_dtype(job["dtype"]), **options)
    pictures = tf.constant(x)
    call = tf.function(lambda x: model(x, outputs=("fused",))["fused"], jit_compile=prepared.endswith("xla"))
    return lambda: call(pictures).numpy()


def jax_pass(job: dict[str, Any], x: np.ndarray, prepared: str, options: dict[str, Any]) -> Pass:
    """Return a compiled pass. XLA reuses the compilation cache in `JAX_COMPILATION_CACHE_DIR`."""
    import jax

    import danet_jax

    model = danet_jax.load(job["checkpoint"], storage_dtype(job["dtype"]), **options)
    pictures = jax.device_put(x, jax.devices(job["device"])[0])
    call = jax.jit(lambda model, x: model(x, outputs=("fused",))["fused"])
    return lambda: jax.block_until_ready(call(model, pictures))


def training_step(backend: str, job: dict[str, Any], x: np.ndarray, remat: bool | None) -> Pass:
    """Return a step of the package's own training: SGD, losses of all outputs, dropout."""
    import importlib

    package = f"danet_{backend}"
    steps, devices = (importlib.import_module(f"{package}.training.{name}") for name in ("step", "distributed"))
    dtype: Literal["mixed_bfloat16", "float32"] = "mixed_bfloat16" if job["dtype"] == "bfloat16" else "float32"
    recipe = TrainConfig(batch_size=job["batch"], dtype=dtype, learning_rate=0.0001, remat=remat)
    distributed, pixels = devices.Distributed(), x.shape[0] * job["height"] * job["width"]
    layers = "remat" if resolve_remat(recipe, pixels, distributed.device_count) else "memory_efficient"
    model = importlib.import_module(package).load(job["checkpoint"], dtype, layers=layers)
    if backend == "torch":
        model.to(distributed.placement)
    state = steps.create_state(model, recipe, distributed)
    labels = np.random.default_rng(1).integers(0, 19, x.shape[:3])
    batch = {"image": x, "labels": labels.astype(np.int64)}

    def step() -> list[float]:
        losses = steps.train_step(state, batch)
        return [float(value) for value in losses.values()]  # float() waits for the step

    return step
