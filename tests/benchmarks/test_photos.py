"""Photos to measure with differ, have the wanted size, and are the user's where these will do."""

import numpy as np
from PIL import Image

from carvision.benchmarks.photos import pictures, write_photos


def test_photos_differ_and_have_their_size(tmp_path):
    write_photos(pictures([], 2), tmp_path, (120, 80), 40, classes=4)
    paths = sorted(tmp_path.glob("train/*/*.jpg"))
    assert len(paths) == 40
    assert len({path.read_bytes() for path in paths}) == 40
    for path in paths:
        with Image.open(path) as image:
            assert image.size == (120, 80)


def test_pictures_are_the_users_where_they_are_large_enough(tmp_path):
    pixels = np.full((300, 400, 3), 200, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    Image.fromarray(pixels[:50, :50]).save(tmp_path / "small.png")
    (tmp_path / "broken.png").write_bytes(b"no photo")
    paths = sorted(tmp_path.glob("*.png"))
    (found,) = pictures(paths, 5)
    np.testing.assert_array_equal(found, pixels)
    assert len(pictures([tmp_path / "small.png"], 5)) == 2
