"""docs/reproduce.md and the recipes of docs/training.md: every command is parsed, every name is a real one."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer

from danet_cli.commands import app
from danet_common import VARIANTS
from danet_common.config.recipes import RECIPES
from danet_common.evaluation import PROTOCOLS
from shared_tests.suites.docs.test_readme import ROOT

GROUP: Any = typer.main.get_command(app)
PAGE = (ROOT / "docs" / "reproduce.md").read_text()
TRAINING = (ROOT / "docs" / "training.md").read_text()
COMMANDS = re.findall(r"^    (danet .*)$", PAGE, re.MULTILINE)
ROW = re.compile(r"^\| `([a-z0-9-]+)` \| (`danet_[^|]*) \| (.*) \|$", re.MULTILINE)


def test_the_page_has_both_figures_commands() -> None:
    assert len(COMMANDS) >= 8
    assert any("--recipe official-cityscapes" in line for line in COMMANDS)
    assert sum("--protocol official-multi-scale" in line for line in COMMANDS) == 1
    assert "[reproduce.md](reproduce.md)" in TRAINING


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_parsed(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    given = GROUP.commands[name].make_context(name, arguments).params
    if given.get("recipe"):
        recipe = RECIPES[given["recipe"]]
        assert given["network"] in (None, *recipe.networks)
        assert recipe.data.split()[0] == given["data"].partition(":")[0]
    assert given.get("protocol") in (None, *PROTOCOLS)


def test_published_figures_are_of_the_recipes_own_networks() -> None:
    rows = ROW.findall(PAGE)
    assert len(rows) >= 10
    for name, network, _ in rows:
        assert network.strip("` ") in RECIPES[name].networks


def test_the_table_of_recipes_is_whole() -> None:
    rows = ROW.findall(TRAINING)
    assert [name for name, _, _ in rows] == list(RECIPES)
    for name, networks, rest in rows:
        recipe = RECIPES[name]
        named = tuple(word.strip("` ") for word in networks.split(","))
        assert named == recipe.networks
        assert all(network in VARIANTS for network in named)
        height, width = recipe.augmentation.crop
        steps, batch = f"{recipe.train.steps:,}", recipe.train.batch_size
        assert rest == f"{recipe.data} | {steps} | {batch} | {height}x{width}"
