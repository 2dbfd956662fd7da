"""Suspicious labels: a CSV in the form of ``exclude=``, and a page of thumbnails."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.data.tables import write_spreadsheet_csv
from carvision.ensembling.label_issues import LabelJudgement, suspicious_labels
from carvision.files import replacing
from carvision.reporting.html import rendered, thumbnail_uri

CSV: Final = "suspicious_labels.csv"
PAGE: Final = "suspicious_labels.html"
#: More would make the page too long to read; the CSV holds the rest.
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

    The CSV is a list of photos to exclude, so it is empty where the predictions are too weak to
    judge labels. The page then says so, and still shows the most suspicious photos.

    ``rows`` are the manifest's (``image_id``, ``path``, ``class_index``) of the out-of-fold
    predictions ``log_probabilities`` ``[images, classes]``; ``root`` is the photos' folder, which
    need not be there. Returns what :func:`~carvision.ensembling.label_issues.suspicious_labels`
    found.

    Raises:
        PredictionsError: the arrays do not fit each other.
    """
    ids, targets = rows["image_id"].tolist(), rows["class_index"].to_numpy()
    found = suspicious_labels(log_probabilities, targets, ids, class_names)
    judgement = LabelJudgement.of(log_probabilities, targets)
    listed = found.head(0) if judgement.too_weak else found
    write_spreadsheet_csv(folder / CSV, listed, "%.6f")
    paths = dict(zip(ids, rows["path"], strict=True))
    surest = dict(zip(class_names, _surest(rows, log_probabilities), strict=True))
    shown = found.head(_MOST_PHOTOS)
    page = rendered(
        "suspicious_labels.html.j2",
        csv="" if judgement.too_weak else CSV,
        judgement=judgement_line(judgement),
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


def judgement_line(judgement: LabelJudgement) -> str:
    """Describe in one sentence how good the predictions are that contradict labels."""
    known = (
        f"the ensemble is right in {judgement.accuracy:.0%} of the photos, and confident learning "
        f"estimates from it that {judgement.wrong:.1%} of the labels are wrong"
    )
    if not judgement.too_weak:
        return known
    return (
        f"{known}; of data sets that people checked, at most 10 % are (arXiv 2103.14749), so that "
        "most of these must be errors of the ensemble: it is too weak to judge labels"
    )


def _surest(rows: pd.DataFrame, log_probabilities: NDArray[np.floating]) -> list[str]:
    """For each class, the photo of this label that is predicted most surely; empty if none is."""
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
