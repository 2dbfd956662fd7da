"""Batches are the same whatever the number of workers; each photo comes once an epoch."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from carvision.config import AugmentationConfig
from carvision.data.augment import Augmenter
from carvision.data.decode import decode
from carvision.data.loader import (
    EpochSampler,
    TrainingPhotos,
    WholePhotos,
    default_workers,
    training_loader,
    whole_photo_loader,
)
from carvision.errors import DataError

SIZE = 8
PHOTOS = 7


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(PHOTOS):
        pixels = np.random.default_rng(i).integers(0, 255, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def _training_photos(root, count=PHOTOS):
    augmentation = AugmentationConfig(
        crop_scale=(0.5, 1.0),
        crop_jitter=0.2,
        hflip=0.5,
        brightness=0.2,
        contrast=0.2,
        saturation=0.2,
    )
    rows = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(count)],
            "image_id": [f"id {i}" for i in range(count)],
            "class_index": np.arange(count) * 10,
        }
    )
    return TrainingPhotos(root, rows, Augmenter(augmentation, SIZE, 0))


def _epochs(root, workers, batch_size=3, epochs=(1, 2)):
    photos = _training_photos(root)
    sampler = EpochSampler(len(photos), 0)
    loader = training_loader(photos, sampler, batch_size, workers, "cpu")
    batches = []
    for sampler.epoch in epochs:
        batches.append(list(loader))
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
    photos = _training_photos(root)
    for index in range(PHOTOS):
        image, target = photos[3, index]
        assert target == index * 10
        augmenter = _training_photos(root)._augmenter
        expected = augmenter(root / f"{index}.png", f"id {index}", 3)
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


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_whole_photos_in_order(root, workers, as_bytes):
    paths = [root / f"{i}.png" for i in range(PHOTOS)]
    sources = [path.read_bytes() for path in paths] if as_bytes else paths
    batches = list(whole_photo_loader(WholePhotos(sources, SIZE), 3, workers, "cpu"))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    images = torch.cat(batches).numpy().transpose(0, 2, 3, 1)
    for image, path in zip(images, paths, strict=True):
        np.testing.assert_array_equal(image, decode(path, SIZE))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_photo_is_named(root, tmp_path, workers):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    loader = whole_photo_loader(WholePhotos([root / "0.png", broken], SIZE), 2, workers, "cpu")
    with pytest.raises(DataError, match=r"broken\.jpg cannot be read"):
        list(loader)


def test_default_workers():
    assert default_workers("mps") == 0
    assert default_workers("cpu") in (0, 1)
    assert 0 <= default_workers("cuda") <= 8
