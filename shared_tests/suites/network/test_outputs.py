"""Only the outputs that are asked for, and what leads to them: the numbers of a whole pass."""

from __future__ import annotations

import numpy as np
import pytest

from danet_common.numerics.taps import resolve_request
from danet_common.numerics.taps import tap_names as tap_names
from shared_tests.fixtures.cases import TINY, Case
from shared_tests.mutation.mutations import Mutation, mutate
from shared_tests.mutation.network import OUTPUTS
from shared_tests.parity.check_case import CheckpointOf, case_input, expected
from shared_tests.suites.network.test_parity import FASTEST
from shared_tests.workers.backends import BackendError, Worker
from shared_tests.workers.protocol import Request, Response

CASE = Case(TINY.replace(auxiliary="fcn"), height=17, width=23)
BACKBONE = ("stem", "layer1", "layer2", "layer3", "layer4")
ASKED: dict[tuple[str, ...], tuple[str, ...]] = {
    (): BACKBONE,
    ("fused",): ("position_out", "channel_map", "fused_logits"),
    ("channel",): ("channel_map", "channel_logits"),
    ("aux", "position"): ("position_map", "aux_logits"),  # in any order
}


def run(asked: tuple[str, ...], taps: tuple[str, ...], worker: Worker, checkpoint_of: CheckpointOf) -> Response:
    """A pass that computes some outputs."""
    mode = FASTEST[worker.backend.name]
    x, checkpoint = case_input(CASE), checkpoint_of(CASE.config)
    return worker.run(Request(checkpoint=checkpoint, x=x, dtype="float64", mode=mode, asked=asked, taps=taps))


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: "+".join(asked) or "none")
def test_only_what_is_asked_for(asked: tuple[str, ...], worker: Worker, checkpoint_of: CheckpointOf) -> None:
    actual = run(asked, ASKED[asked], worker, checkpoint_of)
    expected_values = expected(CASE)
    assert actual.outputs.keys() == set(asked)
    assert actual.taps.keys() == set(ASKED[asked])
    for name, array in {**actual.outputs, **actual.taps}.items():
        assert np.abs(array - expected_values[name]).max() <= 1e-10 * np.abs(expected_values[name]).max(), name


def test_stages_lead_to_outputs() -> None:
    """A tap is one of the network's where one of its outputs needs it."""
    config = CASE.config
    assert tap_names(config, config.outputs) == tap_names(config)
    assert tap_names(config, ("fused",)) == tuple(
        name for name in tap_names(config) if name not in ("position_logits", "channel_logits", "aux_logits")
    )
    assert tap_names(config, ()) == BACKBONE
    plain = config.replace(context=())
    assert "plain_out" in tap_names(plain, ("fused",))
    assert "plain_out" not in tap_names(plain, ("aux",))
    assert resolve_request(config, ("aux", "fused"), ())[0] == ("fused", "aux")
    with pytest.raises(ValueError, match=r"^unknown outputs mask; this network has fused, position, channel, aux$"):
        resolve_request(config, ("fused", "mask"), ())
    with pytest.raises(ValueError, match=r"^unknown taps position_map; the outputs channel have stem, "):
        resolve_request(config, ("channel",), ("position_map",))
    with pytest.raises(ValueError, match=r"^unknown dropout masks fusd; this network has fused, "):
        resolve_request(config, None, (), {"fusd": None})


def test_unknown_output(worker: Worker, checkpoint_of: CheckpointOf) -> None:
    with pytest.raises(BackendError, match="unknown outputs mask; this network has fused, position, channel, aux"):
        run(("mask",), (), worker, checkpoint_of)


@pytest.mark.parametrize("mutation", OUTPUTS, ids=lambda mutation: mutation.name)
def test_mutation_is_caught(mutation: Mutation, worker: Worker, checkpoint_of: CheckpointOf) -> None:
    mutate(worker, mutation.sources(worker.backend.name))
    try:
        actual = run(("channel",), (), worker, checkpoint_of)
        assert actual.outputs.keys() != {"channel"}, f"survives: {mutation.trap}"
    finally:
        mutate(worker, None)
