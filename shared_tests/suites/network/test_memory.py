"""Memory that is used again: never while anything lies in it."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from danet_common import memory, winograd
from danet_common.memory import Memory
from shared_tests.fixtures.cases import CASES
from shared_tests.parity.check_case import CheckpointOf
from shared_tests.suites.network.transforming import ALWAYS

SIZE = 1 << 16


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def test_is_lent_again_when_it_is_free() -> None:
    lender = Memory()
    first, second = lender.lend(SIZE), lender.lend(SIZE)
    assert address(first) != address(second)
    where = address(first)
    del first
    third = lender.lend(SIZE)
    assert address(third) == where
    third[:] = 1
    second[:] = 2
    assert (third == 1).all()
    assert third.nbytes == SIZE


def test_the_smallest_that_fits() -> None:
    lender = Memory()
    small, large = lender.lend(SIZE), lender.lend(memory.SPARE * SIZE + 1)
    places = [address(small), address(large)]
    del small, large
    first, second = lender.lend(memory.SPARE * SIZE), lender.lend(SIZE)
    assert [address(first), address(second)] == places
    third = lender.lend(SIZE)
    assert address(third) not in places
    assert third.nbytes == second.nbytes == SIZE
    del first, second
    fourth = lender.lend(memory.SPARE * SIZE + 1)
    assert address(fourth) == places[1]


def test_without_any_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    new_pages = memory.new_pages

    def strict(size: int) -> np.ndarray:
        if size > SIZE:
            raise OSError("Cannot allocate memory")
        return new_pages(size)

    monkeypatch.setattr(memory, "new_pages", strict)
    lender = Memory()
    assert lender.lend(SIZE).nbytes == SIZE
    with pytest.raises(OSError, match="Cannot allocate memory"):
        lender.lend(SIZE + 1)


def test_is_returned_while_it_is_looked_for() -> None:
    """By the collector, which comes at any moment, or by another thread."""

    class Dropping(list[np.ndarray]):
        def __bool__(self) -> bool:
            held.clear()
            return len(self) > 0

        def __iter__(self) -> Iterator[np.ndarray]:
            held.clear()
            return super().__iter__()

    lender = Memory()
    for use in (lambda: lender.lend(SIZE), lender.tidy):
        held = [lender.lend(SIZE), lender.lend(100 * SIZE)]
        lender.free = {SIZE: Dropping()}
        use()
        assert not held
        lender.take_back()
        assert {len(pieces) for size, pieces in lender.free.items() if size >= 100 * SIZE} == {1}


class Owner:
    """Somebody who uses memory again."""


def lend(owner: Owner, *sizes: int) -> list[np.ndarray]:
    """One call's pieces."""
    with memory.used_again(owner):
        lender = memory.current.get()
        assert lender is not None
        return [lender.lend(size) for size in sizes]


def test_goes_with_its_owner() -> None:
    """What still lies in it stays; it is not kept once that is gone."""
    owner = Owner()
    lent, _ = lend(owner, SIZE, SIZE)
    lent[:] = 3
    gone = weakref.ref(memory.lenders.of[owner])
    del owner
    gc.collect()
    assert gone() is None
    assert (lent == 3).all()


def test_lasts_from_call_to_call() -> None:
    """For its owner, as far as the last call needed it."""
    owner, other = Owner(), Owner()
    places = [address(piece) for piece in lend(owner, SIZE, SIZE)]
    others = lend(other, SIZE)
    assert address(others[0]) not in places
    held = lend(owner, SIZE, SIZE)
    assert sorted(map(address, held)) == sorted(places)
    del held
    assert address(lend(owner, SIZE)[0]) in places
    lender = memory.lenders.of[owner]
    lender.take_back()
    assert [len(pieces) for pieces in lender.free.values()] == [1]  # the other went back


def test_ends_with_an_error_too() -> None:
    with pytest.raises(KeyError), memory.used_again(Owner()):
        raise KeyError
    assert memory.current.get() is None


def test_is_of_one_thread() -> None:
    owner = Owner()
    seen: list[object] = []

    def other() -> None:
        seen.append(memory.current.get())
        seen.append(address(lend(owner, SIZE)[0]))

    with memory.used_again(owner):
        lender = memory.current.get()
        assert lender is not None
        place = address(lender.lend(SIZE))  # and it is free at once
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen[0] is None
    assert seen[1] != place


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for the activations of a tiny network, in many bands."""
    monkeypatch.setattr(memory, "LARGE", 1)
    monkeypatch.setattr(memory, "BAND_SIZE", 1)
    for name, value in ALWAYS.items():
        monkeypatch.setattr(winograd, name, value)


@pytest.mark.usefixtures("everywhere")
def test_kept_activations_stay_as_they_are(checkpoint_of: CheckpointOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a hook keeps: no later layer writes into it. And memory is used again."""
    torch = pytest.importorskip("torch")
    model = pytest.importorskip("danet_torch").load(checkpoint_of(CASES["bottleneck"].config), winograd=True)
    places: list[int] = []
    lend = Memory.lend

    def noted(self: Memory, size: int) -> np.ndarray:
        lent = lend(self, size)
        places.append(address(lent))
        return lent

    monkeypatch.setattr(Memory, "lend", noted)
    pictures = torch.randn(2, 3, 65, 97, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain = model(pictures)
    first = set(places)
    assert len(first) < len(places) / 2
    places.clear()
    with torch.inference_mode():
        model(pictures)
    assert set(places) <= first  # a second pass finds the first one's
    kept = []
    backbone = model.backbone  # the stem's ReLU is in place
    stages = torch.nn.ModuleList([backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4])
    for module in stages.modules():
        module.register_forward_hook(lambda module, _, out: kept.append((out, [part.clone() for part in out])))
    with torch.inference_mode():
        hooked = model(pictures)
    assert len(kept) > 20
    assert all(torch.equal(part, copy) for out, copies in kept for part, copy in zip(out, copies, strict=True))
    assert all(torch.equal(plain[name], hooked[name]) for name in plain)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_where_gradients_are_recorded(dtype: str, checkpoint_of: CheckpointOf) -> None:
    """There no memory is used again, and nothing is in bands."""
    torch = pytest.importorskip("torch")
    model = pytest.importorskip("danet_torch").load(checkpoint_of(CASES["bottleneck"].config), dtype, winograd=True)
    pictures = torch.randn(2, 3, 65, 97, generator=torch.Generator().manual_seed(0))
    recorded = model(pictures)
    with torch.no_grad():
        banded = model(pictures)
    assert recorded["fused"].requires_grad
    assert not banded["fused"].requires_grad
    for name, logits in recorded.items():
        largest = logits.abs().max()
        assert (logits - banded[name]).abs().max() <= largest * (1e-5 if dtype == "float32" else 1e-13)  # other kernels


@pytest.mark.usefixtures("everywhere")
def test_a_hook_that_records_gradients(checkpoint_of: CheckpointOf) -> None:
    """In the middle of a pass that recorded none: from there on nothing is written into places."""
    torch = pytest.importorskip("torch")
    model = pytest.importorskip("danet_torch").load(checkpoint_of(CASES["bottleneck"].config), "float64", winograd=True)
    pictures = torch.randn(1, 3, 65, 97, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = model(pictures)["fused"]
        model.backbone.layer3[0].register_forward_pre_hook(lambda *_: torch.set_grad_enabled(True) and None)
        recorded = model(pictures)["fused"]
    assert recorded.requires_grad
    assert (recorded - plain).abs().max() <= 1e-13 * plain.abs().max()
