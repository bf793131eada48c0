"""A training run: the loop that drives any of the three frameworks, and the folder that it leaves.

NumPy only; matplotlib and tensorboard, which draw and record it, are imported when they are needed.
"""

from danet_common.training.callback import Watcher
from danet_common.training.folder import RunError, RunFolder
from danet_common.training.framework import Framework
from danet_common.training.initial_state import fine_tuned
from danet_common.training.loop import Diverged, Ending, Run, place_in
from danet_common.training.plan import Cadence, RunPlan

__all__ = [
    "Cadence",
    "Diverged",
    "Ending",
    "Framework",
    "Run",
    "RunError",
    "RunFolder",
    "RunPlan",
    "Watcher",
    "fine_tuned",
    "place_in",
]
