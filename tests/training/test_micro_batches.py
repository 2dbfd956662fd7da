"""Micro-batches: their number, their sizes, and where halving ends."""

import pytest
import torch

from carvision.training.micro_batches import MicroBatches


@pytest.mark.parametrize(
    ("images", "size", "smallest", "sizes"),
    [
        (8, 8, 2, [8]),
        (8, 3, 2, [3, 3, 2]),
        (4, 9, 1, [4]),
        # Rather three at a time than one alone.
        (5, 2, 2, [3, 2]),
        (3, 2, 2, [3]),
        (3, 2, 1, [2, 1]),
        (1, 2, 2, [1]),
    ],
)
def test_parts_of_a_batch(images: int, size: int, smallest: int, sizes: list[int]) -> None:
    micro_batches = MicroBatches(size, smallest)
    batch = torch.arange(images)
    parts = micro_batches.split(batch)
    assert [len(part) for part in parts] == sizes
    assert torch.equal(torch.cat(parts), batch)
    assert micro_batches.largest(images) == max(sizes)


@pytest.mark.parametrize(
    ("images", "smallest", "sizes"),
    [(12, 2, [12, 6, 3, 2]), (5, 2, [5, 2]), (6, 1, [6, 3, 1]), (3, 2, [3]), (1, 1, [1])],
)
def test_halving_ends_where_a_batch_splits_no_further(
    images: int, smallest: int, sizes: list[int]
) -> None:
    found = [images]
    while (smaller := MicroBatches(found[-1], smallest).halved(images)) is not None:
        found.append(smaller)
    assert found == sizes
