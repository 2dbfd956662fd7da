"""A cache of resized photos, which every epoch of every backbone would otherwise decode again.

Each photo is squashed to a square once and stored as planar YUV 4:2:0, the form inside a JPEG: half
the size of RGB, about one level of 255 away from it in a real photo, and much faster to read than a
JPEG is to decode. All photos lie in one file, in records of one size, beside the list of their
content hashes. A photo is found by its content, so one cache serves other folds, labels and names.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from shutil import disk_usage, rmtree
from typing import Any

import cv2
import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from carvision.data.manifest import Manifest
from carvision.data.names import printable
from carvision.data.photo.decode import WHOLE, Box, decode, in_pixels
from carvision.data.photo.file import hash_of, read_photo, reason_of
from carvision.data.photo.resize import resized
from carvision.errors import DataError
from carvision.files import read_json, replacing_folder, write_json

_RECORDS = "photos.yuv420"
_INDEX = "index.json"
#: Photos that are decoded before they are written: a limit of memory where the disk is slow.
_CHUNK = 64
#: To be changed whenever the same photo would be stored differently.
_FORMAT = "1"


class CachedPhotos:
    """Photos of a cache, in the order of the content hashes that were asked for."""

    def __init__(self, folder: Path, side: int, records: Sequence[int], interpolation: str) -> None:
        self._path = folder / _RECORDS
        self._side = side
        self._records = records
        self._interpolation = interpolation
        self._descriptor: int | None = None

    def __len__(self) -> int:
        return len(self._records)

    def __getstate__(self) -> dict[str, Any]:
        # Each worker process opens the file itself.
        return self.__dict__ | {"_descriptor": None}

    def crop(self, index: int, size: int, box: Box) -> NDArray[np.uint8]:
        """Read the part ``box`` of a photo, squashed to ``[size, size, 3]``, RGB.

        Raises:
            DataError: the cache was removed or cut short.
        """
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY)
            except OSError as error:
                raise DataError(f"the cache {self._path} cannot be read: {error}") from error
        length = _record_length(self._side)
        # Not a memory map: an I/O error on one raises SIGBUS, which kills the process.
        content = os.pread(self._descriptor, length, self._records[index] * length)
        if len(content) < length:
            raise DataError(f"the cache {self._path} was cut short; remove its folder")
        planes = np.frombuffer(content, np.uint8).reshape(self._side * 3 // 2, self._side)
        pixels = cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)
        left, upper, right, lower = in_pixels(box, self._side, self._side)
        part = pixels[upper:lower, left:right].astype(np.uint8, copy=False)
        return resized(part, size, self._interpolation)

    def name(self, index: int) -> str:
        """Return the place of the photo."""
        return f"{self._path}, record {self._records[index]}"


class PhotoCache:
    """A manifest's photos, resized to ``side``, below a folder of caches.

    Photos that the user excluded are cached, too, so that another list needs no other cache.
    """

    def __init__(self, below: Path, manifest: Manifest, side: int) -> None:
        if side % 2:
            raise ValueError(f"the side of a cached photo is an even number of pixels; got {side}")
        self._below = below
        readable = manifest.frame[manifest.frame["width"] > 0]
        self._rows = readable.drop_duplicates("content_hash").sort_values("content_hash")
        self._hashes = self._rows["content_hash"].tolist()
        self.side = side
        digest = sha256("\n".join([_FORMAT, *self._hashes]).encode()).hexdigest()[:16]
        self.folder = below / f"{digest}-{side}px"

    @property
    def photo_count(self) -> int:
        """The number of photos with different content."""
        return len(self._hashes)

    @property
    def bytes_needed(self) -> int:
        """The size on disk in bytes."""
        return len(self._hashes) * _record_length(self.side)

    def is_written(self) -> bool:
        """Whether the cache exists and is complete."""
        records = self.folder / _RECORDS
        try:
            return (
                read_json(self.folder / _INDEX)["content_hashes"] == self._hashes
                and records.stat().st_size == self.bytes_needed
            )
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def write(self, root: Path, progress: Callable[[int], None] = lambda done: None) -> None:
        """Write the cache unless it exists; another process that wants the same cache waits.

        A killed process leaves its files under another name. They are never read, and are removed
        when the next cache is written.

        Raises:
            DataError: a photo was removed or changed since it was scanned, or the disk refuses.
        """
        try:
            self._below.mkdir(parents=True, exist_ok=True)
            with FileLock(self._below / ".lock"):
                if self.is_written():
                    return
                for leftover in self._below.glob(".*px.*"):
                    rmtree(leftover, ignore_errors=True)
                with replacing_folder(self.folder) as temporary:
                    self._write_records(root, temporary / _RECORDS, progress)
                    write_json(temporary / _INDEX, {"content_hashes": self._hashes})
        except OSError as error:
            raise DataError(
                f"the cache {self.folder} cannot be written: {error}; "
                "data.cache=off trains without one"
            ) from error

    def photos(self, rows: pd.DataFrame, interpolation: str = "bicubic") -> CachedPhotos:
        """Return the cached photos of a manifest's rows.

        Raises:
            KeyError: a row's content is not in the cache.
        """
        record = {content: position for position, content in enumerate(self._hashes)}
        records = [record[c] for c in rows["content_hash"]]
        return CachedPhotos(self.folder, self.side, records, interpolation)

    def fits(self) -> bool:
        """Whether the cache needs at most half of the free disk; checkpoints need the rest."""
        self._below.mkdir(parents=True, exist_ok=True)
        return self.bytes_needed <= disk_usage(self._below).free // 2

    def _write_records(self, root: Path, path: Path, progress: Callable[[int], None]) -> None:
        sources = list(zip(self._rows["path"].map(root.joinpath), self._hashes, strict=True))
        # Threads decode in parallel, since Pillow releases the GIL.
        with path.open("wb") as file, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for start in range(0, len(sources), _CHUNK):
                chunk = sources[start : start + _CHUNK]
                for record in pool.map(partial(_planes, side=self.side), *zip(*chunk, strict=True)):
                    file.write(record)
                progress(len(chunk))
            file.flush()
            os.fsync(file.fileno())


def _planes(path: Path, content_hash: str, side: int) -> bytes:
    """Make a photo's record, after a check that its content is what was scanned."""
    try:
        content = read_photo(path)
    except OSError as error:
        raise DataError(
            f"the photo {printable(path)} cannot be read: {reason_of(error)}"
        ) from error
    if hash_of(content) != content_hash:
        raise DataError(
            f"the photo {printable(path)} has changed since it was scanned; prepare it again"
        )
    pixels = decode(content, side, WHOLE, name=printable(path))
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV_I420).tobytes()


def _record_length(side: int) -> int:
    return side * side * 3 // 2
