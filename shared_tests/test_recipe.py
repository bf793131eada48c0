"""Recipes: what is refused, the learning rate's course, and that a recipe survives JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from danet_common.recipe import RECIPES, TrainConfig, get_recipe, learning_rate, rate_factor


@pytest.mark.parametrize("name", RECIPES)
def test_round_trip(name: str) -> None:
    recipe = get_recipe(name).replace(class_weights=(1.0, 0.25))
    assert TrainConfig.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("optimizer", "lion"),
        ("dtype", "float16"),
        ("dtype", "bfloat16"),
        ("steps", 0),
        ("batch_size", 0),
        ("accumulation", 3),
        ("learning_rate", -1.0),
        ("learning_rate", float("nan")),
        ("momentum", 1.0),
        ("clip_norm", 0.0),
        ("clip_norm", float("inf")),  # JSON has no such number, so a run of it could not be gone on with
        ("adam_epsilon", float("inf")),
        ("average_decay", 1.0),
        ("ohem_threshold", 0.0),
        ("class_weights", (1.0, -1.0)),
        ("class_weights", (1.0, float("inf"))),
        ("class_weights", (1.0, float("nan"))),
        ("class_weights", ()),
        ("aux_weight", -0.4),
    ],
)
def test_what_trains_nothing_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        TrainConfig(**{field: value})


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="mmseg-40k"):
        get_recipe("mmseg-41k")
    with pytest.raises(ValueError, match="learning_ratio"):
        TrainConfig.from_dict({"learning_ratio": 1})


def test_learning_rate() -> None:
    recipe = TrainConfig(steps=100, learning_rate=0.2, minimum_rate=0.02, power=2.0)
    assert learning_rate(recipe, 0) == 0.2
    assert learning_rate(recipe, 50) == pytest.approx(0.18 / 4 + 0.02, rel=1e-15)
    assert learning_rate(recipe, 100) == learning_rate(recipe, 200) == 0.02
    warm = recipe.replace(warmup_steps=10)
    assert learning_rate(warm, 0) == pytest.approx(0.02, rel=1e-15)
    assert learning_rate(warm, 9) == learning_rate(recipe, 9)


def test_the_head_learns_faster() -> None:
    recipe = TrainConfig(head_rate=10.0)
    assert rate_factor(recipe, "backbone.layer1.0.conv1.weight") == 1
    assert rate_factor(recipe, "head.position_attention.gamma") == rate_factor(recipe, "auxiliary.x") == 10
