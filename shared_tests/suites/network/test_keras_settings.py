"""Keras's global settings: dtype policies are followed as Keras's layers do, and the layout stays."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from shared_tests.workers.backends import BACKENDS

PROGRAM = """
import json, sys
import keras, numpy as np

name, value = sys.argv[1:]
if name:
    getattr(keras.config, f"set_{name}")(value)
import danet_tf

first, second = danet_tf.DANet("danet_tiny"), danet_tf.DANet("danet_tiny", name="second", trainable=False)
x = keras.Input((None, None, 3))
both = keras.Model(x, [first(x)["fused"], second(x)["fused"]])
pictures = np.random.default_rng(0).random((1, 33, 47, 3)).astype("float32")
out, again = (keras.ops.convert_to_numpy(logits) for logits in both(pictures))
print(json.dumps({"dtype": out.dtype.name, "size": float(np.abs(out).mean()), "equal": bool((out == again).all()),
                  "trainable": len(both.trainable_variables) == len(first.trainable_variables),
                  "names": [first.name, second.name]}))
"""
SETTINGS = {  # -> dtype of the logits, and how far their mean size may be from that of a float32 network
    "image_data_format=channels_first": ("float32", 0.0),
    "floatx=float64": ("float64", 1e-6),
    "floatx=float16": ("float32", 1e-3),  # 11 bits: 2**-11 a rounding
    "dtype_policy=mixed_bfloat16": ("float32", 1e-2),  # 8 bits
    "dtype_policy=float64": ("float64", 1e-6),
}


def run(setting: str) -> dict[str, object]:
    """Return the findings of a new process: two networks in one model, under a setting."""
    name, _, value = setting.partition("=")
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, name, value]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.slow
def test_global_settings() -> None:
    if BACKENDS["tf"].missing:
        pytest.skip("Keras is not installed")
    plain = run("")
    assert plain["dtype"] == "float32"
    for setting, (dtype, allowed) in SETTINGS.items():
        answer = run(setting)
        assert (answer["dtype"], answer["equal"], answer["trainable"]) == (dtype, True, True), setting
        assert answer["names"] == plain["names"]
        assert answer["size"] == pytest.approx(plain["size"], rel=allowed, abs=0), setting
