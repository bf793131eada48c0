"""The packages behind danet's optional extras, and the error for a missing one."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

FRAMEWORKS = {"torch": ("torch",), "tf": ("keras", "tensorflow"), "jax": ("jax", "flax")}
TRAINING = ("grain", "matplotlib", "tensorboard")  # batches, curves and events
EXTRAS = {
    **{package: extra for extra, packages in FRAMEWORKS.items() for package in packages},
    **dict.fromkeys(TRAINING, "train"),
    "optax": "jax",
    "tensorstore": "jax",  # of Orbax files
    "huggingface_hub": "hub",
}


def missing_packages(packages: Iterable[str]) -> list[str]:
    """Return the packages that are not installed, without importing any."""
    return [package for package in packages if find_spec(package) is None]


def explain_missing(purpose: str, missing: Iterable[str]) -> str:
    """Return the error for packages that are not installed, with the command that installs them."""
    names = list(missing)
    extras = list(dict.fromkeys(EXTRAS.get(name, "all") for name in names))
    chosen = "all" if "all" in extras or len(extras) > 2 else ",".join(extras)
    return f"{purpose} needs {', '.join(names)}, not installed: pip install 'danet[{chosen}]'"


def require_packages(purpose: str, packages: Iterable[str]) -> None:
    """Raise ModuleNotFoundError, with the command that installs them, where packages are missing."""
    missing = missing_packages(packages)
    if missing:
        raise ModuleNotFoundError(explain_missing(purpose, missing), name=missing[0])
