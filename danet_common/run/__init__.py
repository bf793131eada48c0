"""A training run: the loop that drives any of the three frameworks, and the folder that it leaves.

NumPy only; matplotlib and tensorboard, which draw and record it, are imported when they are needed.
"""

from danet_common.run.beginning import fine_tuned
from danet_common.run.folder import RunError, RunFolder
from danet_common.run.framework import Framework
from danet_common.run.loop import Diverged, Ending, Run, place_in
from danet_common.run.plan import Cadence, RunPlan
from danet_common.run.watcher import Watcher

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
