"""danet_torch, danet_tf and danet_jax are parallel: a diff of the same file of two of them shows syntax only.

Read from their syntax trees, so no framework is imported.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = {"torch": "danet_torch", "tf": "danet_tf", "jax": "danet_jax"}


def files(package: str) -> list[str]:
    """Paths of a package's files within it; `accelerated` may differ between the packages."""
    paths = (path.relative_to(ROOT / package) for path in (ROOT / package).rglob("*.py"))
    return sorted(str(path) for path in paths if path.parts[0] != "accelerated")


FILES = files("danet_torch")

FORWARD = {"call": "forward", "__call__": "forward"}

# What one framework alone needs.
FRAMEWORK_ONLY = {
    "torch": {
        "Module.__init__",  # fills a layer's weights when it is made
        "Module.__init_subclass__",  # turns autocast off in every forward pass
        # A training step is written for one process among several, and asks for what is of all.
        "Distributed.default_placement",
        "replicate",
    },
    "tf": {
        "Module.__new__",  # Keras wants base classes and serialisation, and has no walk over its layers
        "Module.__init__",
        "get_config",
        "from_config",
        "Network",
        "takes_keras_options",
        "named_modules",
        "TorchOptimizer",  # Keras has no SGD with PyTorch's momentum
        # A training step is written for one device among several, and asks for what is of all.
        "scope",
        "local",
        "on_replicas",
    },
    "jax": {
        "Module.__init__",
        "ModeModule",  # Flax asks layers for the mode of a view
        "transformation",  # Optax has the parts of torch's optimizers
        "replicate",  # only a step's arrays are told where to be
    },
}
# torch has the first two as layers and the others as functions, so torch does not name what is in them. Keras asks its
# modules for their constructor's arguments, so they keep those.
LEAVES = {"Conv", "BatchNorm", "Module"}

OUT = "out"  # torch writes into a tensor that is there, where the others hand back a new one
MODE = "training"  # Keras hands the mode down as an argument; torch and Flax keep it as an attribute
STATE = {"built", "rngs", "seed_generator"}  # of Keras's building, and of dropout's generators

# Two phrases for one thing.
MEANINGS = {
    "Keras 3 (on TensorFlow)": "PyTorch",
    "Flax (NNX, on JAX)": "PyTorch",
    "Keras 3, N,H,W,C": "PyTorch, N,C,H,W",
    "Flax (NNX), N,H,W,C": "PyTorch, N,C,H,W",
    ". None: Keras's policy": "",
    "* gamma + beta": "* weight + bias",
    "* scale + bias": "* weight + bias",
    " Sets the model to inference.": "",
}

Definition = ast.FunctionDef | ast.ClassDef


def definitions(backend: str, file: str) -> dict[str, Definition]:
    """Classes, their methods and functions by qualified name, in order, without what the framework alone needs."""
    actual: dict[str, Definition] = {}
    for node in ast.parse((ROOT / PACKAGES[backend] / file).read_text()).body:
        if isinstance(node, Definition) and node.name not in FRAMEWORK_ONLY[backend]:
            actual[node.name] = node
            for method in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(method, ast.FunctionDef) and method.name not in FRAMEWORK_ONLY[backend]:
                    actual[f"{node.name}.{FORWARD.get(method.name, method.name)}"] = method
    return {name: node for name, node in actual.items() if name not in FRAMEWORK_ONLY[backend]}


def parameters(node: Definition) -> list[str] | None:
    """Names of a function's parameters, in order."""
    if not isinstance(node, ast.FunctionDef):
        return None
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [argument.arg for argument in every if argument and argument.arg not in (MODE, OUT)]


def attributes(node: ast.ClassDef) -> list[str]:
    """Return the attributes that a constructor assigns, in order: they name the parameters."""
    makers = [method for method in node.body if getattr(method, "name", "") in ("__init__", "build")]
    targets = [
        target
        for maker in makers
        for statement in ast.walk(maker)
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self"
    ]
    targets.sort(key=lambda target: (target.lineno, target.col_offset))  # ast.walk goes level by level
    return list(dict.fromkeys(target.attr for target in targets if target.attr not in STATE))


def meaning(docstring: str | None) -> str | None:
    """A docstring in torch's words."""
    for phrase, same in MEANINGS.items():
        docstring = docstring and docstring.replace(phrase, same)
    return docstring


def test_same_files() -> None:
    for package in PACKAGES.values():
        assert files(package) == FILES


@pytest.mark.parametrize("backend", ["tf", "jax"])
@pytest.mark.parametrize("file", FILES)
class TestPackage:
    """One file of the Keras or Flax package beside torch's."""

    def test_same_definitions_in_the_same_order(self, file: str, backend: str) -> None:
        assert list(definitions(backend, file)) == list(definitions("torch", file))

    def test_same_parameters(self, file: str, backend: str) -> None:
        here, torch = definitions(backend, file), definitions("torch", file)
        for name, node in torch.items():
            assert parameters(here[name]) == parameters(node), name

    def test_same_attributes_in_the_same_order(self, file: str, backend: str) -> None:
        here = definitions(backend, file)
        for name, node in definitions("torch", file).items():
            other = here[name]
            if isinstance(node, ast.ClassDef) and isinstance(other, ast.ClassDef) and name not in LEAVES:
                assert attributes(other) == attributes(node), name

    def test_same_words(self, file: str, backend: str) -> None:
        modules = [ast.parse((ROOT / PACKAGES[name] / file).read_text()) for name in (backend, "torch")]
        here, torch = (meaning(ast.get_docstring(module)) for module in modules)
        assert here == torch
        others = definitions(backend, file)
        for name, node in definitions("torch", file).items():
            assert meaning(ast.get_docstring(others[name])) == meaning(ast.get_docstring(node)), name


def test_exceptions_are_all_needed() -> None:
    """A name that no package has any more leaves the lists above."""
    trees = {
        backend: [ast.parse((ROOT / package / file).read_text()) for file in FILES]
        for backend, package in PACKAGES.items()
    }
    for backend, names in FRAMEWORK_ONLY.items():
        defined = {node.name for tree in trees[backend] for node in ast.walk(tree) if isinstance(node, Definition)}
        assert {name.rpartition(".")[2] for name in names} <= defined
    texts = "".join((ROOT / package / file).read_text() for package in PACKAGES.values() for file in FILES)
    assert not [phrase for phrase in MEANINGS if phrase not in texts]
    assert not [name for name in (*LEAVES, *STATE, MODE, OUT) if name not in texts]
