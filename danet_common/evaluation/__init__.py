"""From pictures of any size to the class of every pixel, and to figures: the procedures of the published networks.

A framework gives one function, `infer`: normalised pictures in, logits out. All else is the NumPy code here, so that
three frameworks that agree about logits agree about figures.
"""

from danet_common.config.former_arguments import no_attribute
from danet_common.evaluation.evaluation import evaluate, require_same_classes
from danet_common.evaluation.prediction import Infer, predict_labels
from danet_common.evaluation.protocol import Protocol
from danet_common.evaluation.protocols import PROTOCOLS, fitting_window, get_protocol

__all__ = [
    "PROTOCOLS",
    "Infer",
    "Protocol",
    "evaluate",
    "fitting_window",
    "get_protocol",
    "predict_labels",
    "require_same_classes",
]


def __getattr__(name: str) -> object:
    """Raise AttributeError, with the new name of what has been renamed."""
    raise no_attribute(__name__, name, {"fitting_protocol": "it is fitting_window now"})
