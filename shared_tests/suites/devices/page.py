"""The blocks of docs/devices.md, one after another in one process: argument, the page. Runs in an empty folder."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import torch

from danet_common import VARIANTS, Checkpoint, write_checkpoint
from shared_tests.fixtures.synthetic import synthetic_tensors


def main(page: str) -> None:
    config = VARIANTS["danet_tiny"].replace(num_classes=7)  # any checkpoint is a reader's, not only one of 19 classes
    write_checkpoint(Checkpoint(config, synthetic_tensors(config)), "danet.safetensors")
    blocks = re.findall(r"```python\n(.*?)```", Path(page).read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    torch.distributed.destroy_process_group()
    shape = [int(size) for size in names["logits"].shape]
    print(json.dumps({"blocks": len(blocks), "logits": shape, "platforms": names["program"].platforms}))


if __name__ == "__main__":
    main(sys.argv[1])
