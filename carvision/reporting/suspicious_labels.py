"""Suspicious labels for a reader: a CSV in the form of ``exclude=``, and a page of thumbnails."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.data.tables import write_spreadsheet_csv
from carvision.ensembling.label_issues import suspicious_labels
from carvision.files import replacing
from carvision.reporting.html import rendered, thumbnail_uri

CSV: Final = "suspicious_labels.csv"
PAGE: Final = "suspicious_labels.html"
#: Beyond these a page is no longer read; the CSV holds the rest.
_MOST_PHOTOS: Final = 150
_THUMBNAIL: Final = 160


def write_suspicious_labels(
    folder: Path,
    rows: pd.DataFrame,
    log_probabilities: NDArray[np.floating],
    class_names: tuple[str, ...],
    root: Path,
) -> pd.DataFrame:
    """Write ``suspicious_labels.csv`` and ``suspicious_labels.html`` into ``folder``.

    ``rows`` are the manifest's (``image_id``, ``path``, ``class_index``) of the out-of-fold
    predictions ``log_probabilities`` ``[images, classes]``; ``root`` is the photos' folder, which
    need not be there. Returns what :func:`~carvision.ensembling.label_issues.suspicious_labels`
    found.

    Raises:
        PredictionsError: the arrays do not fit each other.
    """
    ids = rows["image_id"].tolist()
    found = suspicious_labels(log_probabilities, rows["class_index"].to_numpy(), ids, class_names)
    write_spreadsheet_csv(folder / CSV, found, "%.6f")
    paths = dict(zip(ids, rows["path"], strict=True))
    surest = dict(zip(class_names, _surest(rows, log_probabilities), strict=True))
    shown = found.head(_MOST_PHOTOS)
    page = rendered(
        "suspicious_labels.html.j2",
        csv=CSV,
        checked=f"{len(rows):,}",
        total=f"{len(found):,}",
        more=len(found) - len(shown),
        photos=[
            _photo(row, surest[row["suggested"]], paths, root) for row in shown.to_dict("records")
        ],
    )
    with replacing(folder / PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return found


def _surest(rows: pd.DataFrame, log_probabilities: NDArray[np.floating]) -> list[str]:
    """For each class the photo with its label that most surely shows it; empty where none has."""
    targets = rows["class_index"].to_numpy()
    ids = rows["image_id"].to_numpy()
    best = np.full(log_probabilities.shape[1], "", dtype=object)
    own = log_probabilities[np.arange(len(targets)), targets]
    for i in np.argsort(own, kind="stable"):
        best[targets[i]] = ids[i]
    return best.tolist()


def _photo(
    row: dict[Any, Any], example: str, paths: dict[str, str], root: Path
) -> dict[str, object]:
    return {
        "image_id": row["image_id"],
        "image": thumbnail_uri(root / paths[row["image_id"]], _THUMBNAIL),
        "label": row["label"],
        "own": f"{row['own_probability']:.3f}",
        "suggested": row["suggested"],
        "theirs": f"{row['suggested_probability']:.3f}",
        "example_id": example,
        "example": thumbnail_uri(root / paths[example], _THUMBNAIL),
    }
