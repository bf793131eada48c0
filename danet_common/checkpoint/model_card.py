"""The model card of a network: a README.md with the front matter that the Hugging Face hub reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from danet_common.checkpoint import Checkpoint
from danet_common.config import DANetConfig
from danet_common.config.parameters import count_trainable
from danet_common.config.variants import VARIANTS

FRONT_MATTER = """\
---
library_name: danet
pipeline_tag: image-segmentation
tags:
- semantic-segmentation
- dual-attention-network
- pytorch
- keras
- jax
---
"""

USE = """\
## Use

```python
import danet_torch  # or danet_tf, or danet_jax: the same network, the same lines

model = danet_torch.from_pretrained("{name}")  # a folder, or owner/name on the hub
labels = danet_torch.predict(model, image)  # (H, W, 3) uint8 RGB -> (H, W) class numbers
```
"""


def model_card(checkpoint: Checkpoint, name: str) -> str:
    """Return the card's text, the same for the same checkpoint; `name` is the folder's."""
    config = checkpoint.config
    return "\n".join(
        [
            FRONT_MATTER,
            f"# {name}\n",
            "A [Dual Attention Network](https://arxiv.org/abs/1809.02983) (Fu et al., CVPR 2019) for semantic "
            f"segmentation: {_summary(config)}.\n",
            USE.format(name=name),
            "## Configuration\n\n" + _table("field", "value", config.to_dict()),
            "## Source\n\n" + (_table("what", "value", checkpoint.source) if checkpoint.source else "Not stated.\n"),
        ]
    )


def _summary(config: DANetConfig) -> str:
    values = count_trainable(config)
    known = [name for name, variant in VARIANTS.items() if _network(variant) == _network(config)]
    words = [f"{known[0]}'s network"] if known else [f"{config.block} blocks {config.layers}"]
    return ", ".join([*words, f"{config.num_classes} classes", f"{values / 1e6:.1f} million weights"])


def _network(config: DANetConfig) -> DANetConfig:
    """Return the config without the fields that a task decides."""
    plain = DANetConfig()
    return config.replace(
        num_classes=plain.num_classes, class_names=None, palette=None, in_channels=3, mean=plain.mean, std=plain.std
    )


def _table(left: str, right: str, rows: Mapping[str, Any]) -> str:
    lines = [f"| {left} | {right} |", "|---|---|"]
    return "\n".join([*lines, *(f"| {_cell(key)} | {_cell(value)} |" for key, value in rows.items())]) + "\n"


def _cell(value: Any) -> str:
    """Return a value as code, with the characters escaped that would end it: names come from users."""
    plain = isinstance(value, str) and re.fullmatch(r"[\w.:/-]+", value, re.ASCII)
    text = (value if plain else json.dumps(value)).replace("|", "\\u007c").replace("`", "\\u0060")
    return f"`{text}`"
