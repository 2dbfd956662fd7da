"""Batches are the same whatever the number of workers; each photo comes once an epoch."""

import numpy as np
import pytest
import torch

from carvision.config import LoaderConfig
from carvision.data.loading.training_photos import EpochSampler, training_loader
from carvision.data.photo.decode import decode
from tests.data.loading.small_photos import (
    PHOTOS,
    SIZE,
    augmenter_of_seven,
    kept_batches,
    seven_photos,
)


def _epochs(root, workers, batch_size=3, epochs=(1, 2)):
    photos = seven_photos(root)
    sampler = EpochSampler(len(photos), 0)
    loader = training_loader(photos, sampler, batch_size, LoaderConfig(workers=workers), "cpu")
    batches = []
    for sampler.epoch in epochs:
        batches.append(kept_batches(loader))
    return batches


def test_batches_do_not_depend_on_workers(root):
    alone, helped = _epochs(root, workers=0), _epochs(root, workers=2)
    for one, other in zip(alone, helped, strict=True):
        assert len(one) == len(other) == 2
        for (images, targets), (others, other_targets) in zip(one, other, strict=True):
            assert torch.equal(images, others)
            assert torch.equal(targets, other_targets)


def test_epochs_differ_and_come_again(root):
    first, second = _epochs(root, workers=0, batch_size=PHOTOS)
    (resumed,) = _epochs(root, workers=0, batch_size=PHOTOS, epochs=(2,))
    assert torch.equal(second[0][0], resumed[0][0])
    assert first[0][1].tolist() != second[0][1].tolist()
    # The photos are seen otherwise too, not only in another order.
    by_target = [dict(zip(e[0][1].tolist(), e[0][0], strict=True)) for e in (first, second)]
    assert not all(torch.equal(by_target[0][key], by_target[1][key]) for key in by_target[0])


def test_shapes_and_types(root):
    images, targets = _epochs(root, workers=0)[0][0]
    assert (images.shape, images.dtype) == ((3, 3, SIZE, SIZE), torch.uint8)
    assert (targets.shape, targets.dtype) == ((3,), torch.int64)


def test_a_target_belongs_to_its_photo(root):
    photos = seven_photos(root)
    for index in range(PHOTOS):
        image, target = photos[3, index]
        assert target == index * 10
        augmenter = augmenter_of_seven()
        draw = augmenter.draw(f"id {index}", 3)
        expected = augmenter.apply(decode(root / f"{index}.png", SIZE, draw.box), draw)
        np.testing.assert_array_equal(image.numpy().transpose(1, 2, 0), expected)


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [(3, [3, 3]), (PHOTOS, [PHOTOS]), (PHOTOS - 1, [PHOTOS - 1]), (50, [PHOTOS])],
)
def test_the_last_partial_batch(root, batch_size, sizes):
    (batches,) = _epochs(root, workers=0, batch_size=batch_size, epochs=(1,))
    assert [len(targets) for _, targets in batches] == sizes


def test_sampler_permutes():
    sampler = EpochSampler(50, seed=0)
    assert len(sampler) == 50
    orders = []
    for sampler.epoch in (1, 2):
        keys = list(sampler)
        assert {epoch for epoch, _ in keys} == {sampler.epoch}
        order = [index for _, index in keys]
        assert sorted(order) == list(range(50))
        assert all(type(index) is int for index in order)
        orders.append(order)
    assert orders[0] != orders[1]
    assert orders[0] != list(range(50))
    sampler.epoch = 1
    assert [index for _, index in sampler] == orders[0]
    assert [index for _, index in EpochSampler(50, seed=1)] != orders[0]


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("start", [0, 2, 4])
def test_going_on_inside_an_epoch_gives_the_batches_that_are_left(root, workers, start):
    photos = seven_photos(root)
    sampler = EpochSampler(len(photos), 0)
    whole = list(training_loader(photos, sampler, 2, LoaderConfig(workers=0), "cpu"))
    resumed = EpochSampler(len(photos), 0)
    resumed.start = start
    loader = training_loader(photos, resumed, 2, LoaderConfig(workers=workers), "cpu")
    rest = kept_batches(loader)
    assert len(rest) == len(whole) - start // 2
    for (images, targets), (others, other_targets) in zip(rest, whole[start // 2 :], strict=True):
        assert torch.equal(images, others)
        assert torch.equal(targets, other_targets)


@pytest.mark.parametrize("start_method", ["spawn", "forkserver"])
def test_workers_that_start_anew_give_the_same_batches(root, start_method):
    photos = seven_photos(root)
    expected = list(
        training_loader(photos, EpochSampler(PHOTOS, 0), 3, LoaderConfig(workers=0), "cpu")
    )
    config = LoaderConfig(workers=1, start_method=start_method)
    found = kept_batches(training_loader(photos, EpochSampler(PHOTOS, 0), 3, config, "cpu"))
    for (images, targets), (others, other_targets) in zip(found, expected, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(targets, other_targets)
