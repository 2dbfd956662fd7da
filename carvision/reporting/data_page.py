"""The page of a ``prepare`` run: counts, sizes, excluded photos, copies."""

from pathlib import Path
from typing import Any, Final

import pandas as pd
from matplotlib.figure import Figure

from carvision.contracts import ClassMap
from carvision.data.folder.findings import Findings
from carvision.data.manifest import Manifest
from carvision.reporting.html import plot_uri, rendered, thumbnail_uri
from carvision.reporting.tables import manifest_summary

#: More would make the page too long to read; the manifest holds the rest.
_MOST_EXCLUDED: Final = 500
_MOST_NAMES: Final = 200
_MOST_GROUPS: Final = 60
_MOST_PHOTOS: Final = 6
_THUMBNAIL: Final = 160
_LONGEST_BAR: Final = 300


def data_page(name: str, manifest: Manifest, root: Path, findings: Findings | None = None) -> str:
    """Render the page as one HTML file with its images; photos are read below ``root``.

    ``findings`` list what below ``root`` is not in the manifest.
    """
    usable = manifest.usable
    counts = _counts(usable, manifest.classes)
    excluded = manifest.frame[manifest.frame["excluded"] != ""]
    groups = _copies(usable)
    return rendered(
        "data.html.j2",
        name=name,
        summary=manifest_summary(manifest),
        counts_plot=_counts_plot(counts),
        classes=[
            (_folders_of(str(label), usable, manifest.classes), count, _bar(count, counts.max()))
            for label, count in counts.items()
        ],
        sizes_plot=_sizes_plot(usable),
        kinds=_kinds(usable),
        passed_over=[each.text for each in findings.sentences(_MOST_NAMES)] if findings else [],
        excluded=excluded[["image_id", "excluded"]].head(_MOST_EXCLUDED).values.tolist(),
        excluded_more=max(0, len(excluded) - _MOST_EXCLUDED),
        groups=[_group(photos, root) for photos in groups[:_MOST_GROUPS]],
        group_count=len(groups),
        groups_more=max(0, len(groups) - _MOST_GROUPS),
    )


def _counts(usable: pd.DataFrame, classes: ClassMap) -> pd.Series:
    """Photos of each merged class."""
    counts = usable["class_index"].value_counts().sort_index()
    return counts.rename(index=dict(enumerate(classes.names)))


def _folders_of(name: str, usable: pd.DataFrame, classes: ClassMap) -> str:
    """A class's name; if several folders count as this class, also the photos in each."""
    folders = classes.folders[classes.names.index(name)]
    if len(folders) == 1:
        return name
    each = [f"{folder}: {(usable['label'] == folder).sum():,}" for folder in folders]
    return f"{name} ({', '.join(each)})"


def _bar(count: int, most: int) -> int:
    return round(_LONGEST_BAR * count / most)


def _kinds(usable: pd.DataFrame) -> list[tuple[str, int]]:
    """Photos by format and colour mode, and those that EXIF says to turn."""
    kinds = (usable["format"] + ", " + usable["mode"]).value_counts()
    turned = int((usable["orientation"] != 1).sum())
    named = [(str(kind), int(count)) for kind, count in kinds.items()]
    return [*named, ("turned by its EXIF orientation", turned)]


def _copies(usable: pd.DataFrame) -> list[pd.DataFrame]:
    """Groups of several photos: first those under several labels, then the largest."""
    copies = usable[usable.duplicated("group", keep=False)]
    groups = [photos for _, photos in copies.groupby("group", sort=True)]
    return sorted(groups, key=lambda photos: (photos["fold"].iloc[0] != 0, -len(photos)))


def _group(photos: pd.DataFrame, root: Path) -> dict[str, Any]:
    shown = photos.head(_MOST_PHOTOS)
    return {
        "conflict": bool((photos["fold"] == 0).any()),
        "more": len(photos) - len(shown),
        "photos": [
            {
                "image_id": row.image_id,
                "label": row.label,
                "size": f"{row.width}×{row.height}",
                "image": thumbnail_uri(root / str(row.path), _THUMBNAIL),
            }
            for row in shown.itertuples()
        ],
    }


def _counts_plot(counts: pd.Series) -> str:
    # Sorted and without names: matplotlib's own font knows no Korean.
    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(counts)), sorted(counts, reverse=True), width=1.0, color="#4c78a8")
    axes.set(xlabel="class, from the largest", ylabel="photos", xlim=(-0.5, len(counts) - 0.5))
    return plot_uri(figure)


def _sizes_plot(usable: pd.DataFrame) -> str:
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    axes.scatter(usable["width"], usable["height"], s=8, alpha=0.3, color="#4c78a8", linewidths=0)
    axes.set(xlabel="width in pixels", ylabel="height in pixels", xlim=(0, None), ylim=(0, None))
    return plot_uri(figure)
