"""Prediction at any image size and evaluation, by the procedures of the published networks.

A framework gives one function, `predict_logits`, from normalised images to logits. All further steps are NumPy, so
frameworks with equal logits have equal scores.
"""

from danet_common.config.former_arguments import no_attribute
from danet_common.evaluation.evaluation import evaluate, require_same_classes
from danet_common.evaluation.prediction import PredictLogits, predict_labels
from danet_common.evaluation.protocol import Protocol
from danet_common.evaluation.protocols import PROTOCOLS, fitting_window, get_protocol

__all__ = [
    "PROTOCOLS",
    "PredictLogits",
    "Protocol",
    "evaluate",
    "fitting_window",
    "get_protocol",
    "predict_labels",
    "require_same_classes",
]


def __getattr__(name: str) -> object:
    """Raise AttributeError, with the new name of a renamed attribute."""
    raise no_attribute(
        __name__, name, {"fitting_protocol": "it is fitting_window now", "Infer": "it is PredictLogits now"}
    )
