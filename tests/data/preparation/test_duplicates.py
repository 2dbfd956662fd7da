"""Duplicates, against a comparison of all pairs."""

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image

from carvision.data.preparation.duplicates import group_duplicates, near_pairs


def _planted(seed: int) -> np.ndarray:
    """Random hashes, and copies of some of them with 0 to 6 bits turned."""
    generator = np.random.default_rng(seed)
    hashes = generator.integers(0, 2**64, 300, dtype=np.uint64)
    copies = []
    for bits in range(7):
        for source in hashes[bits * 20 : bits * 20 + 20]:
            turned = generator.choice(64, bits, replace=False)
            copies.append(source ^ np.bitwise_or.reduce(np.uint64(1) << turned.astype(np.uint64)))
    return np.concatenate([hashes, np.array(copies, dtype=np.uint64)])


@pytest.mark.parametrize("distance", [0, 1, 3, 4, 6])
@pytest.mark.parametrize("seed", [0, 1])
def test_all_near_pairs_are_found(distance: int, seed: int) -> None:
    hashes = _planted(seed)
    first, second = near_pairs(hashes, distance)
    every = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= distance
    expected = np.argwhere(np.triu(every, 1))
    assert np.array_equal(np.stack([first, second], axis=1), expected)
    assert len(expected) >= 20 * (distance + 1)


def test_crowded_pieces() -> None:
    """Hashes that share most of their bits are compared all the same."""
    hashes = np.arange(64, dtype=np.uint64)
    first, _ = near_pairs(hashes, 2)
    every = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= 2
    assert len(first) == np.triu(every, 1).sum()


@pytest.mark.parametrize("hashes", [[], [5]])
def test_too_few_to_compare(hashes: list[int]) -> None:
    first, second = near_pairs(np.array(hashes, dtype=np.uint64), 4)
    assert len(first) == len(second) == 0


def test_groups_join_content_and_looks() -> None:
    rows = [
        # A copy of content, one of looks, and one that joins both by way of the second.
        ("d", "content 1", "00000000ffff0000"),
        ("b", "content 1", "1234567890abcdef"),
        ("c", "content 2", "1234567890abcdee"),
        ("a", "content 3", "ffffffff00000000"),
    ]
    frame = pd.DataFrame(rows, columns=["image_id", "content_hash", "perceptual_hash"])
    frame["class_index"] = 0
    assert group_duplicates(frame).tolist() == ["b", "b", "b", "a"]


def test_order_does_not_matter() -> None:
    hashes = [f"{value:016x}" for value in _planted(3)]
    ids = [f"{i:04d}" for i in range(len(hashes))]
    frame = pd.DataFrame({"image_id": ids, "content_hash": ids, "perceptual_hash": hashes})
    frame["class_index"] = 0
    groups = dict(zip(ids, group_duplicates(frame), strict=True))
    shuffled = frame.sample(frac=1, random_state=0)
    assert dict(zip(shuffled["image_id"], group_duplicates(shuffled), strict=True)) == groups


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
@pytest.mark.parametrize("change", ["smaller", "mirrored", "both"])
def test_a_real_photos_copy_is_found(name: str, change: str) -> None:
    photo = Image.fromarray(load_sample_image(name))
    copy = ImageOps.mirror(photo) if change != "smaller" else photo
    copy = copy.resize((160, 107)) if change != "mirrored" else copy
    other = Image.fromarray(load_sample_image("flower.jpg" if name == "china.jpg" else "china.jpg"))
    hashes = [str(imagehash.phash(image)) for image in (photo, copy, other)]
    ids = ["a", "b", "c"]
    frame = pd.DataFrame({"image_id": ids, "content_hash": ids, "perceptual_hash": hashes})
    assert group_duplicates(frame.assign(class_index=0)).tolist() == ["a", "a", "c"]


@pytest.mark.parametrize(
    ("bits", "labels", "joined"),
    [
        (4, [0, 0], True),
        (4, [0, 1], True),
        (6, [0, 0], True),
        (6, [0, 1], False),
        (7, [0, 0], False),
    ],
)
def test_other_labels_need_more_likeness(bits: int, labels: list[int], joined: bool) -> None:
    hashes = [0x123456789ABCDEF0, 0x123456789ABCDEF0 ^ ((1 << bits) - 1)]
    ids = ["a", "b"]
    frame = pd.DataFrame({"image_id": ids, "content_hash": ids, "class_index": labels})
    frame["perceptual_hash"] = [f"{value:016x}" for value in hashes]
    assert (group_duplicates(frame).nunique() == 1) == joined
