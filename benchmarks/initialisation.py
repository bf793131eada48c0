"""Print the first losses of an untrained network, and the sharpness of its attention.

    python benchmarks/initialisation.py --data camvid:CamVid --network danet_r50 --batch 2 --crop 360x480

A uniform guess has a loss of log(classes) for each output, and a largest attention weight of 1 / positions.
"""

from __future__ import annotations

import argparse
import json
import math

import torch
from option_types import size

from danet_common import VARIANTS
from danet_common.config.recipe import TrainConfig
from danet_common.data import Augmentation, Loader, Sampler, open_dataset
from danet_torch import DANet
from danet_torch.training.losses import segmentation_loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="SPEC")
    parser.add_argument("--network", default="danet_r50", choices=VARIANTS)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--crop", type=size, default=(360, 480), metavar="HxW")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dataset = open_dataset(options.data, "train")
    config = VARIANTS[options.network].replace(num_classes=dataset.num_classes, dropout_rate=0.0)
    sampler = Sampler(count=len(dataset), batch_size=options.batch, seed=options.seed)
    with Loader(dataset, Augmentation(crop=options.crop), config, sampler, threads=0) as loader:
        batch = next(loader)
    model = DANet(config, seed=options.seed).train()  # BatchNorm uses the batch's statistics
    with torch.no_grad():
        taps = ("position_map",) if "position" in config.context else ()
        outputs = model(torch.from_numpy(batch["image"].transpose(0, 3, 1, 2)), taps=taps)
        weights = outputs.pop("position_map") if taps else None
        losses = segmentation_loss(outputs, torch.from_numpy(batch["labels"]), TrainConfig())
    figures = {name: round(float(value), 4) for name, value in losses.items()}
    if weights is not None:
        figures["largest_weight"] = round(float(weights.amax(dim=2).mean()), 4)
        figures["uniform_weight"] = round(1 / weights.shape[2], 6)
    print(json.dumps(figures | {"uniform_loss": round(len(outputs) * math.log(config.num_classes), 4)}))


if __name__ == "__main__":
    main()
