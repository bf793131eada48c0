"""Pictures and their labels: data sets as people have them on disk, augmentation, and batches for training.

NumPy and Pillow; grain, which reads ahead and shuffles, is imported when the first batch is asked for.
"""

from danet_common.data.augmentation import Augmentation
from danet_common.data.batches import Batch
from danet_common.data.dataset import IGNORE, DataError, Dataset, Sample
from danet_common.data.label_settings import LabelSettings
from danet_common.data.loader import Loader
from danet_common.data.sampler import Sampler
from danet_common.data.samples import each_sample
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
