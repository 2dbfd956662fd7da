"""Augmentation depends on (seed, epoch, image id) alone, and its parts on nothing of each other."""

import numpy as np
import pytest
from PIL import Image

from carvision.config import AugmentationConfig, load_config
from carvision.data.loading.augment import Augmenter
from carvision.data.photo.decode import decode

SIZE = 16
NOTHING = {"crop_scale": (1.0, 1.0), "crop_jitter": 0.0, "hflip": 0.0}
NOTHING |= {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
ALL = {"crop_scale": (0.35, 1.0), "crop_jitter": 0.35, "hflip": 0.5}
ALL |= {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3}


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """Darker on the left than on the right, and coloured."""
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    pixels = np.full((40, 60, 3), (100, 110, 90), dtype=np.uint8)
    pixels[:, 30:] = (130, 140, 120)
    pixels[30:] += 20
    Image.fromarray(pixels).save(path)
    return path


def _augmenter(seed=0, **settings):
    """A function of a photo, its id and the epoch."""
    base = load_config().augmentation.model_dump()
    augmenter = Augmenter(AugmentationConfig(**(base | NOTHING | settings)), SIZE, seed)

    def augmented(path, image_id, epoch):
        draw = augmenter.draw(image_id, epoch)
        return augmenter.apply(decode(path, SIZE, draw.box), draw)

    return augmented


def test_the_same_key_gives_the_same_pixels(photo):
    one, other = _augmenter(**ALL), _augmenter(**ALL)
    expected = [one(photo, f"{i}.jpg", epoch) for epoch in (1, 2) for i in range(4)]
    # In another order, and by an augmenter that has seen other photos.
    other(photo, "another.jpg", 9)
    for k, (epoch, i) in reversed(list(enumerate((e, i) for e in (1, 2) for i in range(4)))):
        np.testing.assert_array_equal(other(photo, f"{i}.jpg", epoch), expected[k])
    assert expected[0].shape == (SIZE, SIZE, 3)
    assert expected[0].dtype == np.uint8


@pytest.mark.parametrize("part", ["epoch", "image id", "seed"])
def test_another_key_gives_other_pixels(photo, part):
    first = _augmenter(**ALL)(photo, "0.jpg", 1)
    if part == "epoch":
        others = [_augmenter(**ALL)(photo, "0.jpg", epoch) for epoch in range(2, 7)]
    elif part == "image id":
        others = [_augmenter(**ALL)(photo, f"{i}.jpg", 1) for i in range(1, 6)]
    else:
        others = [_augmenter(seed, **ALL)(photo, "0.jpg", 1) for seed in range(1, 6)]
    different = {image.tobytes() for image in [first, *others]}
    assert len(different) == 6


def test_the_global_random_states_play_no_part(photo):
    np.random.seed(1)
    first = _augmenter(**ALL)(photo, "0.jpg", 1)
    np.random.seed(2)
    np.testing.assert_array_equal(_augmenter(**ALL)(photo, "0.jpg", 1), first)


def test_nothing_to_vary_leaves_the_photo(photo):
    expected = decode(photo, SIZE)
    for epoch in range(1, 5):
        np.testing.assert_array_equal(_augmenter()(photo, "0.jpg", epoch), expected)


def test_a_flip_of_certainty(photo):
    flipped = _augmenter(hflip=1.0)(photo, "0.jpg", 1)
    np.testing.assert_array_equal(flipped, decode(photo, SIZE)[:, ::-1])


@pytest.mark.parametrize("colour", ["brightness", "contrast", "saturation"])
def test_each_colour_setting_acts(photo, colour):
    augmenter = _augmenter(**{colour: 0.5})
    images = [augmenter(photo, "0.jpg", epoch).astype(int) for epoch in range(1, 40)]
    if colour == "brightness":
        measured = [image.mean() for image in images]
    elif colour == "contrast":
        measured = [image[:, -1].mean() - image[:, 0].mean() for image in images]
    else:
        measured = [(image[..., 1] - image[..., 2]).mean() for image in images]
    before = decode(photo, SIZE).astype(int)
    plain = {
        "brightness": before.mean(),
        "contrast": before[:, -1].mean() - before[:, 0].mean(),
        "saturation": (before[..., 1] - before[..., 2]).mean(),
    }[colour]
    assert min(measured) < 0.85 * plain
    assert max(measured) > 1.15 * plain


def test_flips_and_colours_are_not_locked_together(photo):
    """Half of the photos are flipped, and half of either kind are made darker (400 draws)."""
    augmenter = _augmenter(hflip=0.5, brightness=0.3)
    plain = decode(photo, SIZE).mean()
    images = [augmenter(photo, f"{i}.jpg", 1).astype(int) for i in range(400)]
    flipped = np.array([image[:, 0].mean() > image[:, -1].mean() for image in images])
    darker = np.array([image.mean() < plain for image in images])
    assert 160 <= flipped.sum() <= 240
    assert 0.35 <= darker[flipped].mean() <= 0.65
    assert 0.35 <= darker[~flipped].mean() <= 0.65


def test_crops_and_flips_are_not_locked_together(photo):
    augmenter = _augmenter(hflip=0.5, crop_scale=(0.25, 0.25))
    images = [augmenter(photo, f"{i}.jpg", 1).astype(int) for i in range(400)]
    # The crop's height shows in the brighter strip at the photo's foot.
    low = np.array([image[-1].mean() > image[0].mean() + 5 for image in images])
    sides = [image[:, 0].mean() - image[:, -1].mean() for image in images]
    told = np.abs(sides) > 5
    flipped = np.array(sides) > 5
    assert 0.35 <= flipped[told].mean() <= 0.65
    assert abs(low[told & flipped].mean() - low[told & ~flipped].mean()) < 0.2


def test_a_crop_at_the_photos_edge_can_be_decoded(photo):
    augmenter = _augmenter(crop_scale=(0.01, 1.0), crop_jitter=0.99)
    for i in range(300):
        assert augmenter(photo, f"{i}.jpg", 1).shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ("setting", "measure"),
    [
        ({"darken": {"p": 1.0, "factor": (0.4, 0.6)}}, "darker"),
        ({"blur": {"p": 1.0, "sigma": (1.5, 2.0)}}, "smoother"),
        ({"compression": {"p": 1.0, "quality": (1, 5)}}, "blockier"),
        ({"dropout": {"p": 1.0, "holes": (2, 2), "side": (0.2, 0.4)}}, "painted"),
    ],
)
def test_each_damage_acts_by_its_probability(photo, setting, measure):
    plain = decode(photo, SIZE).astype(int)
    edge = abs(np.diff(plain, axis=1)).max()
    ((name, values),) = setting.items()
    for k in range(10):
        image = _augmenter(**setting)(photo, f"{k}.jpg", 1).astype(int)
        changed = abs(image - plain).max(axis=2) > 3
        if measure == "darker":
            assert 0.35 < image.mean() / plain.mean() < 0.65
        elif measure == "smoother":
            assert abs(np.diff(image, axis=1)).max() < 0.7 * edge
        elif measure == "blockier":
            assert changed.mean() > 0.2
        else:
            # Two boxes of a fifth to two fifths of the side; they may overlap.
            assert 0.03 < changed.mean() <= 2 * 0.45**2
    never = _augmenter(**{name: values | {"p": 0.0}})(photo, "0.jpg", 1)
    np.testing.assert_array_equal(never, plain)
    sometimes = _augmenter(**{name: values | {"p": 0.5}})
    touched = [not np.array_equal(sometimes(photo, f"{k}.jpg", 1), plain) for k in range(100)]
    assert 30 <= sum(touched) <= 70


def test_every_augmentation_at_once_depends_on_the_key_alone(photo):
    everything = ALL | {
        "part_crop": {"p": 0.5, "share": (0.5, 0.7)},
        "darken": {"p": 0.5, "factor": (0.4, 0.9)},
        "blur": {"p": 0.5, "sigma": (0.3, 1.5)},
        "compression": {"p": 0.5, "quality": (30, 90)},
        "dropout": {"p": 0.5, "holes": (1, 4), "side": (0.1, 0.3)},
    }
    one, other = _augmenter(**everything), _augmenter(**everything)
    expected = [one(photo, f"{k}.jpg", 1) for k in range(30)]
    for k in reversed(range(30)):
        np.testing.assert_array_equal(other(photo, f"{k}.jpg", 1), expected[k])


def test_part_crops_come_by_their_probability():
    config = AugmentationConfig(
        **load_config().augmentation.model_dump()
        | NOTHING
        | {"part_crop": {"p": 0.3, "share": (0.5, 0.5)}}
    )
    augmenter = Augmenter(config, SIZE, 0)
    boxes = [augmenter.draw(f"{k}.jpg", 1).box for k in range(400)]
    assert 90 <= sum(box != (0.0, 0.0, 1.0, 1.0) for box in boxes) <= 150
