"""The limits of a request: how many photos, and how many pixels each.

An environment variable of the server sets a limit, or else a key of the model's configuration.
Without either, a server has the limits below, and a model that is loaded into another program has
none.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from PIL import Image

from carvision.data.photo.file import read_photo
from carvision.data.photo.metadata import without_metadata
from carvision.errors import ConfigError, DataError

log = logging.getLogger(__name__)

MAX_PIXELS_KEY: Final = "max_photo_pixels"
MAX_PHOTOS_KEY: Final = "max_photos"
MAX_PIXELS: Final = "CARVISION_MAX_PHOTO_PIXELS"
MAX_PHOTOS: Final = "CARVISION_MAX_PHOTOS"
#: Cameras have up to 50 megapixels, which take about a second and 0.5 GB to decode.
_SERVER_PIXELS: Final = 50_000_000
#: In batches these take seconds to minutes, and as base64 text some 150 MB.
_SERVER_PHOTOS: Final = 1000
#: Set by MLflow in the process of a server.
_IN_SERVER: Final = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"
#: Pillow runs another program for the first; the others may hold photos larger than they say.
_NO_PHOTOS: Final = ("EPS", "ICO", "ICNS")


@dataclass(frozen=True)
class Limits:
    """The most photos of a request and pixels of a photo; None for what was not set."""

    photos: int | None
    pixels: int | None

    @classmethod
    def of(cls, model_config: Mapping[str, Any]) -> "Limits":
        """Read the settings of the environment, or else of the model's configuration.

        Raises:
            ConfigError: a setting is no whole number above 0.
        """
        return cls(
            _number(MAX_PHOTOS, MAX_PHOTOS_KEY, model_config),
            _number(MAX_PIXELS, MAX_PIXELS_KEY, model_config),
        )

    def check(self, photos: Sequence[Path | bytes]) -> None:
        """Check a request before any of its photos is decoded.

        Raises:
            DataError: there are too many photos, or one has too many pixels by its header.
        """
        server = os.environ.get(_IN_SERVER) == "true"
        most = self.photos or (_SERVER_PHOTOS if server else None)
        if most is not None and len(photos) > most:
            raise DataError(
                f"{len(photos):,} photos in one request are more than the {most:,} that this "
                f"server takes ({MAX_PHOTOS} sets it): send them in several requests"
            )
        pixels = self.pixels or (_SERVER_PIXELS if server else None)
        if pixels is not None:
            for row, photo in enumerate(photos):
                _check_pixels(photo, row, pixels)


def _number(variable: str, key: str, model_config: Mapping[str, Any]) -> int | None:
    name, value = variable, os.environ.get(variable)
    if not value:
        name, value = key, model_config.get(key)
    if value is None:
        return None
    try:
        number = int(value) if int(value) == float(value) else 0
    except (TypeError, ValueError, OverflowError):  # the last: infinity, or 400 digits
        number = 0
    if number < 1:
        raise ConfigError(f"{name}={value!r}: expected a whole number above 0")
    return number


def _check_pixels(photo: Path | bytes, row: int, most: int) -> None:
    for kind, pixels in _headers(photo):
        if kind in _NO_PHOTOS:
            raise DataError(f"image {row}: {kind} files are not taken here: send a JPEG or a PNG")
        if pixels > most:
            raise DataError(
                f"image {row}: {pixels / 1e6:,.1f} megapixels are more than the {most / 1e6:,.1f} "
                f"that this server takes ({MAX_PIXELS} sets it): send a smaller photo"
            )


def _headers(photo: Path | bytes) -> Iterator[tuple[str, int]]:
    """Format and pixels of a photo, with its metadata and without: it may be decoded either way.

    Nothing for a photo that cannot be read: decoding it gives the reason.
    """
    try:
        content = photo if isinstance(photo, bytes) else read_photo(photo)
    except OSError:
        return
    bare = without_metadata(content)
    for each in (content, *(bare[:1] if bare else ())):
        try:
            with Image.open(BytesIO(each)) as image:
                yield image.format or "", image.width * image.height
        # Pillow's formats raise nearly every kind of error on broken files.
        except Exception as error:
            log.debug("the header of a photo cannot be read: %s", error)
