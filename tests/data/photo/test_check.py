"""Which photos cannot be decoded is found out once, and again where they changed."""

import os

import numpy as np
import pytest
from PIL import Image

from carvision.data.photo import check
from carvision.data.photo.check import unreadable_photos


def _photo(path, **options):
    pixels = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def _cut(folder, name, share):
    """A photo whose last bytes are missing, as after a broken download."""
    path = _photo(folder / name)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def _pipe(folder):
    os.mkfifo(folder / "pipe.jpg")
    return folder / "pipe.jpg"


def _text(folder):
    (folder / "text.jpg").write_text("<html>404</html>")
    return folder / "text.jpg"


def _empty(folder):
    (folder / "empty.jpg").touch()
    return folder / "empty.jpg"


def _folder(folder):
    (folder / "folder.jpg").mkdir()
    return folder / "folder.jpg"


BAD = {
    "JPEG cut early": lambda folder: _cut(folder, "a.jpg", 0.03),
    "JPEG cut late": lambda folder: _cut(folder, "b.jpg", 0.98),
    "PNG cut late": lambda folder: _cut(folder, "c.png", 0.98),
    "WebP cut": lambda folder: _cut(folder, "d.webp", 0.5),
    "not an image": _text,
    "empty": _empty,
    "gone": lambda folder: folder / "gone.jpg",
    "a folder": _folder,
    "a pipe": _pipe,
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD.keys())
def test_a_bad_photo_is_named_with_its_reason(tmp_path, make):
    path, done = make(tmp_path), []
    paths = [_photo(tmp_path / "sound.jpg"), path, _photo(tmp_path / "sound.png")]
    ((place, reason),) = unreadable_photos(paths, done.append).items()
    assert place == 1 and str(path) in reason
    assert sum(done) == 3


def test_no_photos():
    assert unreadable_photos([]) == {}


def test_sound_photos_are_decoded_once(tmp_path, monkeypatch):
    decoded = []
    real = check.decode
    monkeypatch.setattr(
        check, "decode", lambda path, side: (decoded.append(path.name), real(path, side))
    )
    paths = [_photo(tmp_path / "a.jpg"), _photo(tmp_path / "b.jpg"), _text(tmp_path)]
    assert list(unreadable_photos(paths)) == [2]
    assert sorted(decoded) == ["a.jpg", "b.jpg", "text.jpg"]
    decoded.clear()
    # Only what was bad is tried again, and what has changed: here one is repaired, one breaks.
    _photo(paths[2], quality=30)
    paths[0].write_bytes(b"broken")
    assert list(unreadable_photos(paths)) == [0]
    assert sorted(decoded) == ["a.jpg", "text.jpg"]
