"""The NumPy part of the three packages: config, names, taps, checkpoints, data, training, evaluation."""

from danet_common.checkpoint import Checkpoint, CheckpointError, write_checkpoint
from danet_common.checkpoint.lazy import open_checkpoint, read_checkpoint
from danet_common.checkpoint.pretrained import open_pretrained, write_pretrained
from danet_common.checkpoint.shard_writer import write_shards
from danet_common.config import DANetConfig
from danet_common.config.former_arguments import no_attribute
from danet_common.config.parameters import parameters
from danet_common.config.tensors import Parameter
from danet_common.config.variants import VARIANTS, get_config
from danet_common.numerics.initialisation import initial_tensors
from danet_common.numerics.taps import Taps, tap_names

__version__ = "0.1.0"

__all__ = [
    "VARIANTS",
    "Checkpoint",
    "CheckpointError",
    "DANetConfig",
    "Parameter",
    "Taps",
    "__version__",
    "get_config",
    "initial_tensors",
    "open_checkpoint",
    "open_pretrained",
    "parameters",
    "read_checkpoint",
    "tap_names",
    "write_checkpoint",
    "write_pretrained",
    "write_shards",
]


def __getattr__(name: str) -> object:
    """Raise AttributeError, with the new name of what has been renamed."""
    raise no_attribute(__name__, name, {"Stages": "it is Taps now", "stage_names": "it is tap_names now"})
