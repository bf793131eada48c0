"""Files that cannot be converted are refused by name, with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import weights_convert
from danet_common import CheckpointError
from shared_tests.suites.upstream_networks import NETWORKS, named_tensors
from weights_convert.formats import safetensors_file
from weights_convert.schemas.refusals import refusal

h5py = pytest.importorskip("h5py")

SOME = np.zeros((2, 2), np.float32)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (["pretrained.conv1.0.weight", "jpu.conv5.0.weight"], "JPU variant"),
        (["backbone.conv1.weight", "aux_classifier.0.weight"], "FCN or DeepLabV3 of torchvision"),
        (["backbone.stem.0.weight", "decode_head.bottleneck.conv.weight"], "not DAHead"),
        (["segformer.encoder.block.0.weight"], "SegFormer"),
        (["inc.double_conv.0.weight"], "U-Net"),
        (["patch_embed.proj.weight", "blocks.0.attn.qkv.weight"], "a vision transformer"),
        (["module.ppm.features.0.1.weight", "module.ppm.features.1.1.weight"], "PSPNet"),
    ],
)
def test_other_networks(keys: list[str], reason: str, tmp_path: Path) -> None:
    safetensors_file.write_foreign(dict.fromkeys(keys, SOME), tmp_path / "model.safetensors")
    for schema in (None, "official"):
        with pytest.raises(CheckpointError, match=f"cannot be converted: .*{reason}"):
            weights_convert.read(tmp_path / "model.safetensors", schema=schema)


@pytest.mark.parametrize(("name", "layout"), NETWORKS)
def test_no_danet_is_among_them(name: str, layout: str) -> None:
    assert refusal(list(named_tensors(name, layout))) is None


@pytest.mark.parametrize("whole_model", [False, True])
def test_danet_keras(whole_model: bool, tmp_path: Path) -> None:
    """Its layers as Keras 2 names them: of the position attention only gamma is saved."""
    path = tmp_path / "danet.hdf5"
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole_model else file
        root.attrs["layer_names"] = ["conv2d_1", "pam_1", "cam_1"]
        for name in ("conv2d_1/conv2d_1/kernel:0", "pam_1/pam_1/gamma:0", "cam_1/cam_1/gamma:0"):
            root[name] = SOME
    with pytest.raises(CheckpointError, match=r"DANet-keras cannot be converted: .* never saved"):
        weights_convert.read(path)


def test_other_keras_2_files(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "vgg.h5", "w") as file:
        file.attrs["layer_names"] = ["block1_conv1"]
        file["block1_conv1/block1_conv1/kernel:0"] = SOME
    with pytest.raises(CheckpointError, match="a weights file of Keras 2, of no known network"):
        weights_convert.read(tmp_path / "vgg.h5")


def test_tf2cvs_weights(tmp_path: Path) -> None:
    """Names of TensorFlow 2.12: scopes with slashes, kernels with the channels last."""
    named = named_tensors("imgclsmob", "tf2cv")
    with h5py.File(tmp_path / "danet.tf2.h5", "w") as file:
        file.attrs["layer_names"] = ["features", "head"]
        for key, array in named.items():
            path = key.replace(".", "/") + ":0"
            if array.ndim == 4:
                path, array = path.replace("weight:0", "kernel:0"), array.transpose(2, 3, 1, 0)
            file[path] = array
    result = weights_convert.read(tmp_path / "danet.tf2.h5")
    assert (result.source["schema"], result.source["layout"]) == ("imgclsmob", "tf2cv")
    assert result.config.upsample_grid == "half_pixel"
    expected = named["head.head.branch_pa.att.query_conv.conv.weight"]
    assert np.array_equal(result.tensors["head.position_attention.query.weight"], expected)
