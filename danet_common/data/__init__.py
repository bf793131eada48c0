"""Data sets in the layouts on disk, augmentation and batches, with NumPy and Pillow.

The first batch imports grain, which shuffles and prefetches.
"""

from danet_common.data.augmentation import Augmentation
from danet_common.data.dataset import IGNORE, DataError, Dataset, Sample
from danet_common.data.label_settings import LabelSettings
from danet_common.data.loader import Batch, Loader, each_sample
from danet_common.data.sampler import Sampler
from danet_common.data.specs import open_dataset

__all__ = [
    "IGNORE",
    "Augmentation",
    "Batch",
    "DataError",
    "Dataset",
    "LabelSettings",
    "Loader",
    "Sample",
    "Sampler",
    "each_sample",
    "open_dataset",
]
