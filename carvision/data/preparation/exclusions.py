"""The user's list of photos to leave out: ``exclude=list.csv``."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path

import pandas as pd

from carvision.config.words import quoted
from carvision.contracts import nfc
from carvision.data.tables import plain_cell, read_table, refuse_repeated
from carvision.errors import DataError
from carvision.files import read_json, write_json

_LISTED = "listed"
_FILE = "exclusions.json"


def read_exclusions(path: Path) -> dict[str, str]:
    """Read a list: why each photo is excluded, by ``image_id``. A column ``reason`` is optional.

    Raises:
        DataError: the list cannot be read, or names a photo twice.
    """
    table = read_table(path, ["image_id"])
    ids = [nfc(plain_cell(name)) for name in table["image_id"]]
    refuse_repeated(ids, path)
    reasons = table["reason"] if "reason" in table.columns else [""] * len(ids)
    return {
        name: f"{_LISTED}: {reason}" if reason else _LISTED
        for name, reason in zip(ids, reasons, strict=True)
    }


def write_exclusions(folder: Path, exclusions: Mapping[str, str]) -> None:
    """Write a list beside a manifest, with photos that do not exist or cannot be read."""
    write_json(folder / _FILE, dict(exclusions))


def kept_exclusions(folder: Path, frame: pd.DataFrame) -> dict[str, str]:
    """Read what :func:`write_exclusions` wrote beside the manifest of the rows ``frame``.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / _FILE
    if not path.exists():  # an earlier version wrote the manifest alone
        return _listed_in(frame)
    try:
        kept = read_json(path)
        return {str(name): str(reason) for name, reason in kept.items()}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"the list of excluded photos {path} cannot be read: {error}") from error


def exclusions_digest(exclusions: Mapping[str, str]) -> str:
    """Digest a list: equal when two lists exclude the same photos, whatever their reasons."""
    return sha256("\n".join(sorted(exclusions)).encode()).hexdigest()[:16]


def _listed_in(frame: pd.DataFrame) -> dict[str, str]:
    rows = frame[frame["excluded"].str.startswith(_LISTED)]
    return dict(zip(rows["image_id"], rows["excluded"], strict=True))


def refuse_unknown(exclusions: Mapping[str, str], image_ids: Collection[str]) -> None:
    """Refuse a list that names photos which do not exist.

    Raises:
        DataError: the list names such a photo; the message has the nearest ``image_id``.
    """
    unknown = sorted(set(exclusions) - set(image_ids))
    if unknown:
        nearest = get_close_matches(unknown[0][:1_000], list(image_ids), n=1, cutoff=0.3)
        raise DataError(
            f"the exclusion list names {len(unknown)} photos that are not in the data, the first "
            f"{quoted(unknown[0])}; an image_id looks like {(nearest or list(image_ids))[0]!r}"
        )
