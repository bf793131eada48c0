"""Entry points of torch.hub: `torch.hub.load(CLONE, "load", "danet.safetensors", source="local")`."""

from __future__ import annotations

dependencies = ["h5py", "jaxtyping", "ml_dtypes", "msgpack", "numpy", "PIL", "torch"]


def danet(variant: str = "danet_r50", num_classes: int = 19, seed: int = 0):  # type: ignore[no-untyped-def]
    """Return a network with initial weights; `variant` is a name of danet_common.VARIANTS."""
    from danet_common import get_config
    from danet_torch import DANet

    return DANet(get_config(variant).replace(num_classes=num_classes), seed=seed)


def load(path: str, dtype: str = "float32"):  # type: ignore[no-untyped-def]
    """Return the network of a checkpoint of any format that `danet convert` reads, in inference mode."""
    import danet_torch

    return danet_torch.load(path, dtype)
