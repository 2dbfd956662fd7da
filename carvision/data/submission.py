"""A submission, written by class name against the competition's template.

Columns are never matched by position: their order differs between copies of the data.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.contracts import ClassMap, nfc
from carvision.data.test_photos import read_table, refuse_repeated
from carvision.errors import DataError
from carvision.files import replacing

log = logging.getLogger(__name__)

#: What a column gets that no trained class stands for. A zero on a true class would cost 34.5.
FLOOR_PROBABILITY = 1e-5


@dataclass(frozen=True)
class Template:
    """The IDs of a submission's rows and the names of its columns, in order."""

    ids: tuple[str, ...]
    columns: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "Template":
        """Read ``sample_submission.csv``.

        Raises:
            DataError: it has no column ``ID``, or a column occurs twice.
        """
        table = read_table(path, ["ID"])
        columns = tuple(column for column in table.columns if column != "ID")
        normal = [nfc(column) for column in columns]
        if len(set(normal)) < len(normal):
            raise DataError(f"{path}: two columns have the same name")
        refuse_repeated(table["ID"].tolist(), path)
        return cls(tuple(table["ID"]), columns)

    @classmethod
    def of_classes(cls, ids: tuple[str, ...], classes: ClassMap) -> "Template":
        """The template of data that brings none: a column for every class folder."""
        return cls(ids, tuple(sorted(name for group in classes.folders for name in group)))

    def check(self, classes: ClassMap, ids: tuple[str, ...]) -> None:
        """Compare with the trained classes and the photos ``ids`` before any work is done.

        Raises:
            DataError: a trained class has no column, or rows and photos are not the same.
        """
        if set(self.ids) != set(ids) or len(self.ids) != len(ids):
            strangers = sorted(set(self.ids) ^ set(ids))
            raise DataError(
                f"the template has {len(self.ids)} rows for {len(ids)} test photos; "
                f"{len(strangers)} IDs are in one only: {strangers[:5]}"
            )
        known = {nfc(column) for column in self.columns}
        absent = [
            name
            for name, folders in zip(classes.names, classes.folders, strict=True)
            if not known.intersection(folders)
        ]
        if absent:
            raise DataError(
                f"the template has no column for {len(absent)} of {len(classes.names)} trained "
                f"classes: {absent[:10]}; if they are of other data, tune on this data first: "
                "mlflow run . -e tune"
            )
        trained = classes.index_by_folder()
        untrained = [column for column in self.columns if nfc(column) not in trained]
        if untrained:
            log.warning(
                "%d columns of the template are of no trained class and get the floor "
                "probability %g: %s",
                len(untrained),
                FLOOR_PROBABILITY,
                untrained[:10],
            )


def build_submission(
    template: Template,
    classes: ClassMap,
    ids: tuple[str, ...],
    probabilities: NDArray[np.floating],
) -> pd.DataFrame:
    """``probabilities`` ``[images, classes]`` of the photos ``ids`` as a table like the template.

    A merged class's whole probability stands in each of its columns: that is exact whichever of
    its names the answers keep.

    The template was checked (:meth:`Template.check`).
    """
    rows = pd.Index(ids).get_indexer(pd.Index(template.ids))
    class_of = classes.index_by_folder()
    floor = np.full(len(rows), FLOOR_PROBABILITY)
    # A mean may round to a hair above one, which the competition refuses.
    probabilities = probabilities.clip(0, 1)
    table = {
        column: probabilities[rows, class_of[nfc(column)]] if nfc(column) in class_of else floor
        for column in template.columns
    }
    return pd.DataFrame({"ID": template.ids, **table})


def write_submission(path: Path, submission: pd.DataFrame) -> None:
    """Write it the way the template is written: UTF-8 with a byte-order mark."""
    with replacing(path) as temporary:
        submission.to_csv(temporary, index=False, encoding="utf-8-sig")


def read_answers(path: Path, ids: tuple[str, ...]) -> list[str]:
    """The true class of each of ``ids``.

    Raises:
        DataError: an ID has no answer.
    """
    table = read_table(path, ["ID", "label"])
    refuse_repeated(table["ID"].tolist(), path)
    answers = dict(zip(table["ID"], table["label"], strict=True))
    missing = [identifier for identifier in ids if identifier not in answers]
    if missing:
        raise DataError(f"{path} has no answer for {len(missing)} photos, the first: {missing[0]}")
    return [answers[identifier] for identifier in ids]
