"""Build the manifest of a folder's photos: scan, label, group copies, assign folds."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from carvision.config import SplitSettings
from carvision.contracts import ClassMap, nfc
from carvision.data.folder.layout import Layout
from carvision.data.folder.listing import Photo
from carvision.data.manifest import COLUMNS, Manifest, paths_on_disk
from carvision.data.names import printable
from carvision.data.preparation.duplicates import group_duplicates
from carvision.data.preparation.exclusions import refuse_unknown
from carvision.data.preparation.folds import assign_folds
from carvision.data.preparation.scan import scan_photos
from carvision.data.submission import Template
from carvision.errors import DataError


def build_manifest(
    layout: Layout,
    photos: list[Photo],
    split: SplitSettings,
    progress: Callable[[int], None] = lambda done: None,
    exclusions: Mapping[str, str] = MappingProxyType({}),
    scan_cache: Path | None = None,
) -> Manifest:
    """Scan ``photos`` and assign them to folds.

    Args:
        layout: The folder that holds the photos.
        photos: Its training photos.
        split: The number of folds, their seed, and the classes that count as one.
        progress: Called with the number of photos just scanned.
        exclusions: The reason for each ``image_id`` that the user leaves out.
        scan_cache: A file that remembers the scan (:func:`scan_photos`).

    Raises:
        DataError: there is no photo, no readable photo, fewer than two classes, or a class with
            fewer photos than folds.
    """
    if not photos:
        raise DataError(
            f"{printable(layout.train)} holds no photo in a class folder; "
            "expected train/<class>/*.jpg"
        )
    _refuse_twins(photos)
    refuse_unknown(exclusions, [photo.image_id for photo in photos])
    frame = scan_photos(layout.root, photos, progress, scan_cache)
    listed = frame["image_id"].map(exclusions).fillna("")
    frame["excluded"] = frame["excluded"].where(frame["excluded"] != "", listed)
    frame["label"] = layout.labels_of(photos)
    frame["path"] = paths_on_disk(frame["path"])
    readable = frame["excluded"] == ""
    if not readable.any():
        raise DataError(
            f"none of the {len(frame)} photos in {printable(layout.train)} can be used; the first: "
            f"{frame['image_id'].iloc[0]}: {frame['excluded'].iloc[0]}"
        )
    _refuse_misspelt(layout, frame["label"], split)
    classes = ClassMap.of(frame["label"], split.same_classes)
    if len(classes.names) < 2:
        raise DataError(
            f"{printable(layout.train)} holds a single class, {classes.names[0]!r}; two are needed"
        )
    return divided(frame, classes, split)


def divided(frame: pd.DataFrame, classes: ClassMap, split: SplitSettings) -> Manifest:
    """Group the copies among scanned and labelled photos, and assign folds.

    ``frame`` is what :func:`~carvision.data.preparation.scan.scan_photos` returns, with a column
    ``label``.

    Raises:
        DataError: a class has fewer photos than folds.
    """
    frame = frame.reset_index(drop=True)
    readable = frame["excluded"] == ""
    frame["class_index"] = frame["label"].map(classes.index_by_folder()).astype(np.int64)
    frame["group"] = frame["image_id"]
    frame.loc[readable, "group"] = group_duplicates(frame[readable])
    labels = frame[readable].groupby("group")["class_index"].transform("nunique")
    validated = readable & (labels.reindex(frame.index, fill_value=0) == 1)
    frame["fold"] = 0
    frame.loc[validated, "fold"] = assign_folds(
        frame[validated], classes.names, split.folds, split.split_seed
    )
    return Manifest(frame[COLUMNS], classes)


def _refuse_misspelt(layout: Layout, labels: pd.Series, split: SplitSettings) -> None:
    known = set(labels)
    if layout.template:
        known |= {nfc(column) for column in Template.read(layout.template).columns}
    for name in (nfc(name) for group in split.same_classes for name in group):
        if name not in known:
            nearest = get_close_matches(name, sorted(known), n=1)
            hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
            raise DataError(
                f"data.same_classes: {name!r} is neither a class folder nor a column of the "
                f"template{hint}"
            )


def _refuse_twins(photos: list[Photo]) -> None:
    by_id: dict[str, str] = {}
    for photo in photos:
        twin = by_id.setdefault(photo.image_id, photo.path)
        if twin != photo.path:
            raise DataError(
                "two files differ only in the Unicode form or the encoding of their names: "
                f"{twin!r} and {photo.path!r}; rename or remove one of them"
            )
