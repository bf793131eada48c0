"""DANet in Keras 3 (on TensorFlow)."""

from danet_common.config.former_arguments import former_attributes
from danet_common.extras import FRAMEWORKS, require_packages
from danet_common.keras_backend import require_keras_backend

require_keras_backend()  # before anything imports Keras
require_packages("danet_tf", FRAMEWORKS["tf"])

import keras

from danet_common import __version__
from danet_common.config.layer_set import LayerSet
from danet_tf.attention import ChannelAttention, PositionAttention
from danet_tf.checkpoint import from_checkpoint, from_pretrained, load, save, save_pretrained
from danet_tf.context import MODULES
from danet_tf.inference import predict, predict_logits
from danet_tf.model import DANet
from danet_tf.primitives import PLAIN

__all__ = [
    "PLAIN",
    "ChannelAttention",
    "DANet",
    "LayerSet",
    "PositionAttention",
    "__version__",
    "from_checkpoint",
    "from_pretrained",
    "load",
    "predict",
    "predict_logits",
    "save",
    "save_pretrained",
]

keras.saving.get_custom_objects()["DANet"] = DANet  # `.h5` files have the name of a class without its package

__getattr__ = former_attributes(__name__, MODULES.values(), infer="it is predict_logits now")
