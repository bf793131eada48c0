"""Recipes: what is refused, the learning rate's course, and that a recipe survives JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from danet_common import VARIANTS
from danet_common.config.parameters import count_trainable
from danet_common.config.recipe import TrainConfig, learning_rate, rate_factor
from danet_common.config.recipes import RECIPES, get_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_round_trip(name: str) -> None:
    recipe = get_recipe(name).train.replace(class_weights=(1.0, 0.25))
    assert TrainConfig.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("optimizer", "lion"),
        ("initialisation", "he"),
        ("loss_mean", "sum"),
        ("dtype", "float16"),
        ("dtype", "bfloat16"),
        ("steps", 0),
        ("batch_size", 0),
        ("gradient_accumulation_steps", 3),
        ("learning_rate", -1.0),
        ("learning_rate", float("nan")),
        ("momentum", 1.0),
        ("clip_norm", 0.0),
        ("clip_norm", float("inf")),  # JSON has no such number, so a run of it could not be gone on with
        ("adam_epsilon", float("inf")),
        ("ema_decay", 1.0),
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


def test_the_default_is_the_authors() -> None:
    """Rate 0.003 with the head's tenfold and three losses; PyTorch's initial head."""
    assert TrainConfig(steps=240 * 371) == get_recipe("official-cityscapes").train
    default = TrainConfig()
    assert (default.learning_rate, default.head_lr_multiplier, default.initialisation) == (0.003, 10, "pytorch")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_networks_that_give_its_losses(name: str) -> None:
    recipe = get_recipe(name)
    for network in recipe.networks:
        config = VARIANTS[network]
        assert config.outputs[:3] == ("fused", "position", "channel")
        assert ("aux" in config.outputs) == name.startswith(("mmseg", "paddleseg"))
    depths = [VARIANTS[network].layers[2] for network in recipe.networks]
    assert depths[0] == (23 if name.startswith("official") or "r101" in name else 6)


@pytest.mark.parametrize(
    ("variant", "weights"),
    [
        ("danet_r50", 47_462_651),
        ("danet_r101", 66_454_779),
        ("danet_r50_gluoncv", 47_586_427),
        ("danet_r101_gluoncv", 66_578_555),
        ("danet_r50_mmseg", 49_846_574),
        ("danet_r101_mmseg", 68_838_702),
    ],
)
def test_variants_are_as_large_as_their_owners(variant: str, weights: int) -> None:
    """Trainable values with 19 classes, counted in the upstream networks."""
    assert count_trainable(VARIANTS[variant]) == weights


def test_the_networks_of_others_are_dilated_as_theirs() -> None:
    dilations = {name: VARIANTS[name].block_dilations[2:] for name in VARIANTS if name.startswith("danet_r50_")}
    assert dilations["danet_r50_mmseg"] == ((1, 2, 2, 2, 2, 2), (2, 4, 4))
    assert dilations["danet_r50_gluoncv"] == ((1, 2, 2, 2, 2, 2), (2, 4, 4))
    assert dilations["danet_r50_paddle"] == ((2,) * 6, (4, 4, 4))
    grids = {name: VARIANTS[name].upsample_grid for name in dilations}
    assert grids == {
        "danet_r50_mmseg": "half_pixel",
        "danet_r50_mmseg_769": "corners",
        "danet_r50_paddle": "asymmetric",
        "danet_r50_gluoncv": "corners",
    }


def test_learning_rate() -> None:
    recipe = TrainConfig(steps=100, learning_rate=0.2, min_learning_rate=0.02, poly_power=2.0)
    assert learning_rate(recipe, 0) == 0.2
    assert learning_rate(recipe, 50) == pytest.approx(0.18 / 4 + 0.02, rel=1e-15)
    assert learning_rate(recipe, 100) == learning_rate(recipe, 200) == 0.02
    warm = recipe.replace(warmup_steps=10)
    assert learning_rate(warm, 0) == pytest.approx(0.02, rel=1e-15)
    assert learning_rate(warm, 9) == learning_rate(recipe, 9)


def test_the_head_learns_faster() -> None:
    recipe = TrainConfig(head_lr_multiplier=10.0)
    assert rate_factor(recipe, "backbone.layer1.0.conv1.weight") == 1
    assert rate_factor(recipe, "head.position_attention.gamma") == rate_factor(recipe, "auxiliary.x") == 10
