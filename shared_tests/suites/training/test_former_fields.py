"""Recipe fields that were renamed: older files are read, and code or options with an old name fail with the new one."""

from __future__ import annotations

import pytest

from danet_cli.settings import training_settings
from danet_common.config.former_arguments import FORMER_FIELDS
from danet_common.config.recipe import TrainConfig
from danet_common.config.typed_json import from_json
from danet_common.training.plan import RunPlan


@pytest.mark.parametrize(("former", "name"), FORMER_FIELDS.items())
class TestField:
    """One renamed field."""

    def test_files_are_read(self, former: str, name: str) -> None:
        recipe = TrainConfig(steps=7, batch_size=4, gradient_accumulation_steps=2, ema_decay=0.5, remat=True)
        old = {key if key != name else former: value for key, value in recipe.to_dict().items()}
        assert TrainConfig.from_dict(old) == recipe
        assert from_json(TrainConfig, old) == recipe

    def test_code_learns_the_new_name(self, former: str, name: str) -> None:
        with pytest.raises(TypeError, match=rf"{former}= is gone; use {name}$"):
            TrainConfig(**{former: 1})  # type: ignore[arg-type]

    def test_options_learn_the_new_name(self, former: str, name: str) -> None:
        with pytest.raises(Exception, match=f"--set {former}: the field is {name} now"):
            training_settings([f"{former}=1"])


def test_a_plan_with_a_cadence_has_intervals() -> None:
    assert RunPlan.from_old_fields({"cadence": {"log": 1}, "val": None}) == {"intervals": {"log": 1}, "val": None}
