"""Two splits of a data set as one: `trainval`, by which results on test servers are trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from danet_common.data.dataset import Census, DataError, Dataset, Sample, log_remark


class Joined(Dataset):
    """The items of several splits, in their order; where two have one name, the split's stands before it."""

    def __init__(self, title: str, parts: Mapping[str, Dataset]) -> None:
        first = next(iter(parts.values()))
        super().__init__(title, first.classes)
        self.parts = tuple(parts.values())
        times = Counter(name for part in self.parts for name in part.item_names)
        self._names = tuple(
            name if times[name] == 1 else f"{split}/{name}" for split, part in parts.items() for name in part.item_names
        )

    @property
    def item_names(self) -> Sequence[str]:
        """Those of the splits."""
        return self._names

    def item(self, index: int) -> Sample:
        """The sample of one number, from the split that has it. Raises DataError as that does."""
        index = range(len(self))[index]
        place = index
        for part in self.parts:
            if place < len(part):
                return replace(part.item(place), name=self._names[index])
            place -= len(part)
        raise IndexError(index)

    def check(self, limit: int | None = None, log: Callable[[str], None] = log_remark) -> Census | None:
        """Look at the items of every split, as `Dataset.check`."""
        left = len(self) if limit is None else limit
        found: list[Census | None] = []
        faults: list[str] = []
        for part in self.parts:
            if left <= 0:
                break
            try:
                found.append(part.check(min(left, len(part)), log))
            except DataError as error:
                faults += error.faults
            left -= len(part)
        if faults:
            raise DataError(*faults)
        pluralise = [census for census in found if census is not None]
        if not pluralise:
            return None
        pixels = zip(*(census.pixels for census in pluralise), strict=True)
        return Census(tuple(map(sum, pixels)), sum(census.void for census in pluralise))
