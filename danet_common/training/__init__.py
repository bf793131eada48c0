"""A training run: the loop that drives any of the three frameworks, and the folder that it leaves.

NumPy only; matplotlib and tensorboard, which draw and record it, are imported when they are needed.
"""

from danet_common.training.callback import Callback
from danet_common.training.folder import RunError, RunFolder
from danet_common.training.framework import Framework
from danet_common.training.initial_state import fine_tuned
from danet_common.training.loop import DivergenceError, StopReason, Trainer, data_state
from danet_common.training.plan import Intervals, RunPlan

__all__ = [
    "Callback",
    "DivergenceError",
    "Framework",
    "Intervals",
    "RunError",
    "RunFolder",
    "RunPlan",
    "StopReason",
    "Trainer",
    "data_state",
    "fine_tuned",
]
