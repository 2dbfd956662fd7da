"""Batches are the same whatever the number of workers; each photo comes once an epoch."""

import os
import re
import signal
import time
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from carvision.config import LoaderConfig, load_config
from carvision.data.augment import Augmenter
from carvision.data.decode import decode
from carvision.data.loader import loader_settings
from carvision.data.preview import augmentation_preview
from carvision.data.resize import resized
from carvision.data.shared_batches import SharedBatches
from carvision.data.sources import OriginalPhotos
from carvision.data.training_photos import EpochSampler, TrainingPhotos, training_loader
from carvision.data.whole_photos import WholePhotos, whole_photo_loader
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
    rows = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(count)],
            "image_id": [f"id {i}" for i in range(count)],
            "class_index": np.arange(count) * 10,
        }
    )
    source = OriginalPhotos([root / path for path in rows["path"]])
    return TrainingPhotos(source, rows, Augmenter(load_config().augmentation, SIZE, 0))


def _epochs(root, workers, batch_size=3, epochs=(1, 2)):
    photos = _training_photos(root)
    sampler = EpochSampler(len(photos), 0)
    loader = training_loader(photos, sampler, batch_size, LoaderConfig(workers=workers), "cpu")
    batches = []
    for sampler.epoch in epochs:
        batches.append(_kept(loader))
    return batches


def _kept(loader):
    """All batches, each copied before the next one takes its memory."""
    return [tuple(part.clone() for part in batch) for batch in loader]


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
        expected = augmenter(partial(decode, root / f"{index}.png"), f"id {index}", 3)
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
    loader = whole_photo_loader(WholePhotos(sources, SIZE), 3, LoaderConfig(workers=workers), "cpu")
    batches = [batch.clone() for batch in loader]
    assert [len(batch) for batch in batches] == [3, 3, 1]
    images = torch.cat(batches).numpy().transpose(0, 2, 3, 1)
    for image, path in zip(images, paths, strict=True):
        np.testing.assert_array_equal(image, decode(path, SIZE))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_photo_is_named(root, tmp_path, workers):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    photos = WholePhotos([root / "0.png", broken], SIZE)
    loader = whole_photo_loader(photos, 2, LoaderConfig(workers=workers), "cpu")
    with pytest.raises(DataError, match=r"broken\.jpg cannot be read"):
        list(loader)


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("start", [0, 2, 4])
def test_going_on_inside_an_epoch_gives_the_batches_that_are_left(root, workers, start):
    photos = _training_photos(root)
    sampler = EpochSampler(len(photos), 0)
    whole = list(training_loader(photos, sampler, 2, LoaderConfig(workers=0), "cpu"))
    resumed = EpochSampler(len(photos), 0)
    resumed.start = start
    loader = training_loader(photos, resumed, 2, LoaderConfig(workers=workers), "cpu")
    rest = _kept(loader)
    assert len(rest) == len(whole) - start // 2
    for (images, targets), (others, other_targets) in zip(rest, whole[start // 2 :], strict=True):
        assert torch.equal(images, others)
        assert torch.equal(targets, other_targets)


@pytest.mark.parametrize("start_method", ["spawn", "forkserver"])
def test_workers_that_start_anew_give_the_same_batches(root, start_method):
    photos = _training_photos(root)
    expected = list(
        training_loader(photos, EpochSampler(PHOTOS, 0), 3, LoaderConfig(workers=0), "cpu")
    )
    config = LoaderConfig(workers=1, start_method=start_method)
    found = _kept(training_loader(photos, EpochSampler(PHOTOS, 0), 3, config, "cpu"))
    for (images, targets), (others, other_targets) in zip(found, expected, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(targets, other_targets)


@pytest.mark.parametrize(
    ("device", "cores", "given", "expected"),
    [
        ("mps", 10, {}, {"num_workers": 0, "pin_memory": False}),
        ("cuda", 32, {}, {"num_workers": 8, "pin_memory": True, "prefetch_factor": 2}),
        ("cuda", 4, {}, {"num_workers": 3, "persistent_workers": True}),
        ("cpu", 4, {}, {"num_workers": 1, "pin_memory": False, "prefetch_factor": 2}),
        ("cpu", 1, {}, {"num_workers": 0}),
        ("mps", 10, {"workers": 2}, {"num_workers": 2, "persistent_workers": True}),
        ("cuda", 8, {"workers": 0, "prefetch": 7}, {"num_workers": 0, "pin_memory": True}),
        (
            "cuda",
            8,
            {
                "pin_memory": False,
                "persistent_workers": False,
                "prefetch": 7,
                "start_method": "spawn",
            },
            {
                "pin_memory": False,
                "persistent_workers": False,
                "prefetch_factor": 7,
                "multiprocessing_context": "spawn",
            },
        ),
    ],
)
def test_what_a_device_gets(monkeypatch, root, device, cores, given, expected):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    settings = loader_settings(LoaderConfig(**given), device)
    assert expected.items() <= settings.items()
    without_workers = {"num_workers", "pin_memory"}
    assert (set(settings) == without_workers) == (settings["num_workers"] == 0)
    # DataLoader itself takes them all.
    torch.utils.data.DataLoader(_training_photos(root), **settings)


class _Deadly(OriginalPhotos):
    """The third photo kills the process that opens it, as a broken decoder does."""

    def crop(self, index, size, box):
        if index == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().crop(index, size, box)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_worker_that_dies_names_its_photo(root, workers):
    rows = pd.DataFrame({"image_id": [f"id {i}" for i in range(PHOTOS)], "class_index": 0})
    source = _Deadly([root / f"{i}.png" for i in range(PHOTOS)])
    photos = TrainingPhotos(source, rows, Augmenter(load_config().augmentation, SIZE, 0))
    loader = training_loader(
        photos, EpochSampler(PHOTOS, 0), 2, LoaderConfig(workers=workers), "cpu"
    )
    seen = 0
    with (
        pytest.raises(DataError, match=r"loads photos died .* it held id 2 \(.*2\.png\)"),
        loader.watched(),
    ):
        for _ in loader:
            # torch notices by a signal, which comes while the main process computes.
            seen += 1
            time.sleep(2)
    assert seen < 3


class _Faulty(OriginalPhotos):
    """A bug in a decoder."""

    def crop(self, index, size, box):
        raise KeyError("no such table")


def test_any_error_of_a_worker_names_its_photo(root):
    rows = pd.DataFrame({"image_id": ["id 0", "id 1"], "class_index": 0})
    source = _Faulty([root / "0.png", root / "1.png"])
    photos = TrainingPhotos(source, rows, Augmenter(load_config().augmentation, SIZE, 0))
    config = LoaderConfig(workers=1)
    with pytest.raises(DataError, match=r"id [01] .* cannot be loaded: KeyError"):
        list(training_loader(photos, EpochSampler(2, 0), 2, config, "cpu"))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("prefetch", [1, 3])
def test_a_batch_holds_until_the_next_one_is_asked_for(root, workers, prefetch):
    """Many more batches than places in the ring, and a consumer that lags behind."""
    sources = [root / f"{i % PHOTOS}.png" for i in range(60)]
    photos = WholePhotos(sources, SIZE)
    config = LoaderConfig(workers=workers, prefetch=prefetch)
    expected = {path: decode(path, SIZE).transpose(2, 0, 1) for path in sources[:PHOTOS]}
    loader = whole_photo_loader(photos, 2, config, "cpu")
    for epoch in range(2):
        for number, batch in enumerate(loader):
            time.sleep(0.01)
            for image, path in zip(batch, sources[2 * number :], strict=False):
                np.testing.assert_array_equal(image.numpy(), expected[path], err_msg=str(epoch))
            if epoch == 0 and number == 10:
                break  # what was begun of this epoch must not show in the next


def test_too_little_shared_memory_is_said(root, monkeypatch):
    def refuse(self):
        raise RuntimeError("unable to allocate shared memory(shm)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    with pytest.raises(DataError, match=r"smaller loader\.workers .*--shm-size"):
        SharedBatches(workers=2, prefetch=2, batch_size=4, shape=(3, 8, 8))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_photo_that_went_away_is_named_in_one_line(root, tmp_path, workers):
    photos = WholePhotos([root / "0.png", tmp_path / "gone.jpg"], SIZE)
    with pytest.raises(DataError) as caught:
        list(whole_photo_loader(photos, 2, LoaderConfig(workers=workers), "cpu"))
    assert re.match(r"the photo .*gone\.jpg cannot be read: .*$", str(caught.value))


def test_the_preview_shows_what_training_sees(root):
    photos = _training_photos(root)
    sheet = augmentation_preview(photos, seed=0)
    assert (sheet.shape, sheet.dtype) == ((4 * 160, 8 * 160, 3), np.uint8)
    keys = [*EpochSampler(PHOTOS, 0)]
    # Seven photos: the eighth tile is of the second epoch.
    sampler = EpochSampler(PHOTOS, 0)
    sampler.epoch = 2
    keys += [*sampler]
    for position in (0, 6, 7, 9):
        row, column = divmod(position, 8)
        tile = sheet[row * 160 : (row + 1) * 160, column * 160 : (column + 1) * 160]
        np.testing.assert_array_equal(tile, resized(photos.image(*keys[position]), 160))
