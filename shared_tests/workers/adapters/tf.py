"""Runs jobs on `danet_tf`, with Keras on TensorFlow or, where KERAS_BACKEND says so, on JAX or PyTorch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

import danet_tf
from danet_common.checkpoint.parameter_layouts import from_channels_last
from danet_common.config.tensors import Parameter
from danet_tf.model import DANet
from danet_tf.parameters import get_leaf, named_parameters
from shared_tests.workers.protocol import Request, Response


def run(request: Request) -> Response:
    """One pass of the Keras network."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(request.precision == "fast")
        on_gpu = request.device == "accelerator" and tf.config.list_physical_devices("GPU")
        with tf.device("/GPU:0" if on_gpu else "/CPU:0"):
            return run_here(request)
    if keras.backend.backend() == "torch":
        import torch

        set_precision(request.precision)
        with keras.device("gpu" if request.device == "accelerator" and torch.cuda.is_available() else "cpu"):
            return run_here(request)
    import jax

    device = jax.devices()[0] if request.device == "accelerator" else jax.devices("cpu")[0]
    precision = "tensorfloat32" if request.precision == "fast" else "highest"
    with jax.default_device(device), jax.default_matmul_precision(precision):
        return run_here(request)


def set_precision(precision: str) -> None:
    """Allow PyTorch TF32, or not, in matrix products and in cuDNN's convolutions, which have a switch each."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = precision == "fast"
    torch.backends.cudnn.allow_tf32 = precision == "fast"


def run_here(request: Request) -> Response:
    """One pass on the default device."""
    model = danet_tf.load(request.checkpoint, dtype=request.dtype, layers=request.layers)
    x = ops.convert_to_tensor(request.x.transpose(0, 2, 3, 1))
    response = Response(outputs={}, flags=flags(x))
    backend = keras.backend.backend()
    if request.cotangents:
        values, response.gradients = gradients(model, x, request)
    elif request.mode == "eager":
        values = model(x, training=request.training, outputs=request.asked, taps=request.taps)
    else:
        compiled = tensorflow_function if backend == "tensorflow" else jax_function
        values = compiled(model, request)(x)
    response.outputs = {name: array(values[name]) for name in model.config.outputs if name in values}
    response.taps = {name: array(values[name]) for name in request.taps}
    if request.training:
        response.statistics = {p.name: get_leaf(leaf) for p, leaf in named_parameters(model) if not p.trainable}
    return response


def tensorflow_function(model: DANet, request: Request) -> Any:
    """A tf.function of any batch and size, or one compiled by XLA."""
    import tensorflow as tf

    spec = tf.TensorSpec((None, None, None, model.config.in_channels), request.x.dtype)

    @tf.function(input_signature=None if request.mode == "xla" else [spec], jit_compile=request.mode == "xla")
    def call(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return model(x, training=request.training, outputs=request.asked, taps=request.taps)

    return call


def jax_function(model: DANet, request: Request) -> Any:
    """The model as a pure function of its input, compiled by JAX."""
    import jax

    trainable = [variable.value for variable in model.trainable_variables]
    fixed = [variable.value for variable in model.non_trainable_variables]
    return jax.jit(lambda x: model.stateless_call(trainable, fixed, x, outputs=request.asked, taps=request.taps)[0])


def gradients(model: DANet, x: Any, request: Request) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The network's values, and canonical name -> gradient; on TensorFlow and PyTorch."""
    leaves = [(p, leaf) for p, leaf in named_parameters(model) if p.trainable]
    if keras.backend.backend() == "torch":
        values = model(x, training=request.training, outputs=request.asked, taps=request.taps)
        cotangents = {n: ops.convert_to_tensor(c.transpose(0, 2, 3, 1)) for n, c in request.cotangents.items()}
        sum(ops.sum(values[n] * c) for n, c in cotangents.items()).backward()
        actual = [ops.zeros_like(leaf) if leaf.value.grad is None else leaf.value.grad for _, leaf in leaves]
        return values, canonical(leaves, [ops.convert_to_numpy(gradient) for gradient in actual])
    import tensorflow as tf

    with tf.GradientTape() as tape:
        values = model(x, training=request.training, outputs=request.asked, taps=request.taps)
        loss = tf.add_n([tf.reduce_sum(values[n] * c.transpose(0, 2, 3, 1)) for n, c in request.cotangents.items()])
    actual = tape.gradient(loss, [leaf.value for _, leaf in leaves], unconnected_gradients="zero")
    return values, canonical(leaves, [gradient.numpy() for gradient in actual])


def canonical(leaves: list[tuple[Parameter, Any]], arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Canonical name -> array in canonical layout."""
    return {p.name: from_channels_last(p, array) for (p, _), array in zip(leaves, arrays, strict=True)}


def array(value: Any) -> np.ndarray:
    """A float32 or float64 array in N,C,H,W; bfloat16 is widened without loss."""
    wide = ops.cast(value, "float32") if keras.backend.standardize_dtype(value.dtype) == "bfloat16" else value
    actual = ops.convert_to_numpy(wide)
    return actual.transpose(0, 3, 1, 2) if actual.ndim == 4 else actual


def precision_of_torch() -> str:
    """Return the precision that `set_precision` set, or `mixed`."""
    import torch

    allowed = {torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32}
    return "mixed" if len(allowed) > 1 else "fast" if True in allowed else "highest"


def flags(x: Any) -> dict[str, Any]:
    """Return the flags that this framework ran with, on the device of `x`."""
    backend = keras.backend.backend()
    actual = {"keras": keras.__version__, "keras_backend": backend}
    if backend == "tensorflow":
        import tensorflow as tf

        device = "gpu" if "GPU" in x.device else "cpu"
        tf32 = tf.config.experimental.tensor_float_32_execution_enabled()
        precision = "fast" if tf32 else "highest"
        return actual | {
            "tensorflow": tf.__version__,
            "device": device,
            "device_name": x.device,
            "precision": precision,
        }
    if backend == "torch":
        import torch

        on_gpu = x.device.type == "cuda"
        name = torch.cuda.get_device_name(x.device) if on_gpu else "cpu"
        return actual | {
            "torch": torch.__version__,
            "device": "gpu" if on_gpu else "cpu",
            "device_name": name,
            "precision": precision_of_torch(),
        }
    import jax

    used = str(jax.config.jax_default_matmul_precision)  # type: ignore[attr-defined]
    return actual | {
        "jax": jax.__version__,
        "device": {"cuda": "gpu", "rocm": "gpu"}.get(x.device.platform, x.device.platform),
        "device_name": x.device.device_kind,
        "precision": {"highest": "highest", "tensorfloat32": "fast"}.get(used, "mixed"),
    }
