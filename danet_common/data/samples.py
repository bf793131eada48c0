"""Every item of a data set once, as it is: for evaluation."""

from __future__ import annotations

from collections.abc import Generator

from danet_common.data.dataset import Dataset, Sample


def each_sample(
    dataset: Dataset, *, shard_index: int = 0, shard_count: int = 1, threads: int = 2
) -> Generator[tuple[int, Sample], None, None]:
    """Numbers and samples in order, read ahead by grain in threads.

    Of several processes each has every `shard_count`th item; all of them together have every item once, so the sum
    of their confusion matrices is that of one process.
    """
    numbers = range(shard_index, len(dataset), shard_count)
    if not numbers:
        return
    import grain

    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
    items = grain.MapDataset.range(numbers.start, numbers.stop, numbers.step).map(dataset.item)
    reader = iter(items.to_iter_dataset(options))
    try:
        yield from zip(numbers, reader, strict=True)
    finally:
        reader.close()
