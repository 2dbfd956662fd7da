"""A submission: a table like the competition's template, filled by class name.

Classes and columns are matched by name, never by position: copies of the data differ in the order
of the columns.
"""

import logging
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.config.words import quoted, shortened
from carvision.contracts import ClassMap, nfc
from carvision.data.tables import WINDOWS_LINES, read_table, refuse_repeated
from carvision.errors import DataError, PredictionsError
from carvision.files import replacing_output

log = logging.getLogger(__name__)

#: The probability in a column without a trained class. With 0, each photo of that class would add
#: 34.5 to the sum of the log loss.
FLOOR_PROBABILITY = 1e-5

#: Characters of an answer that are compared with the classes' names, which are folders' names.
_LONGEST_NAME: Final = 255

#: The name of the first column.
ID: Final = "ID"

#: Nine significant digits identify any float32. The relative error is at most 5e-9: a log loss
#: moves by less than 1e-8 nats, and no probability becomes zero. All digits of a float64 would make
#: the file half as large again.
PROBABILITY_FORMAT: Final = "%.9g"


@dataclass(frozen=True)
class Template:
    """The IDs of a submission's rows and the names of its columns, in order."""

    ids: tuple[str, ...]
    columns: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "Template":
        """Read ``sample_submission.csv``.

        The first column ``ID`` holds the IDs; a second one belongs to a class of that name.

        Raises:
            DataError: there is no column ``ID``, or a column or an ID occurs twice.
        """
        table = read_table(path, [ID], key=ID)
        place = list(table.columns).index(ID)
        ids = table.iloc[:, place].tolist()
        columns = tuple(table.columns.delete(place))
        normal = [nfc(column) for column in columns]
        if len(set(normal)) < len(normal):
            raise DataError(f"{path}: two columns have the same name")
        refuse_repeated(ids, path)
        return cls(tuple(ids), columns)

    @classmethod
    def of_classes(cls, ids: tuple[str, ...], classes: ClassMap) -> "Template":
        """Make a template for data without one: a column for every class folder."""
        return cls(ids, tuple(sorted(name for group in classes.folders for name in group)))

    def check(self, classes: ClassMap, ids: tuple[str, ...]) -> None:
        """Compare the template with the trained classes and the photos ``ids``.

        Raises:
            DataError: a trained class has no column, or rows and photos are not the same.
        """
        if set(self.ids) != set(ids) or len(self.ids) != len(ids):
            strangers = sorted(set(self.ids) ^ set(ids))
            raise DataError(
                f"the template has {len(self.ids)} rows for {len(ids)} test photos; "
                f"{len(strangers)} IDs are in one only: {shortened(str(strangers[:5]), 400)}"
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
    """Fill a table like the template, which :meth:`Template.check` has checked.

    A merged class's whole probability is written to each of its columns. That is exact whichever
    of its names the answers use, since only the columns of the answers are scored.

    Args:
        template: The rows and columns.
        classes: The classes of the second axis of ``probabilities``.
        ids: The photos of the first axis.
        probabilities: ``[images, classes]``.

    Raises:
        PredictionsError: a probability is NaN.
    """
    # Filled by position, since a class may have the name of the ID column.
    rows = pd.Index(ids).get_indexer(pd.Index(template.ids))
    class_of = classes.index_by_folder()
    values = np.full((len(rows), len(template.columns)), FLOOR_PROBABILITY)
    for place, column in enumerate(map(nfc, template.columns)):
        if column in class_of:
            # A mean may be rounded to slightly more than one, which the competition refuses.
            values[:, place] = probabilities[rows, class_of[column]].clip(0, 1)
    unknown = np.flatnonzero(np.isnan(values).any(axis=1))
    if len(unknown):
        raise PredictionsError(
            f"the predictions of {len(unknown)} photos are not numbers, the first of "
            f"{template.ids[unknown[0]]!r}: look at the members' training, or try precision=fp32"
        )
    table = pd.DataFrame(values, columns=list(template.columns))
    table.insert(0, ID, list(template.ids), allow_duplicates=True)
    return table


def class_columns(submission: pd.DataFrame) -> pd.DataFrame:
    """Return the probabilities ``[images, columns]`` of a submission, without the IDs."""
    return submission.iloc[:, 1:]


def write_submission(path: Path, submission: pd.DataFrame) -> None:
    """Write a submission as the template is written: UTF-8 with a byte-order mark.

    Names and IDs are written as in the template, since a program reads them; so a spreadsheet may
    take some for formulas. An earlier file with other content is kept under another name.
    """
    texts = [*submission.columns, *submission.iloc[:, 0]]
    with replacing_output(path) as temporary:
        submission.to_csv(
            temporary,
            index=False,
            encoding="utf-8-sig",
            float_format=PROBABILITY_FORMAT,
            lineterminator=WINDOWS_LINES if any("\r" in text for text in texts) else "\n",
        )


def read_answers(path: Path, ids: tuple[str, ...]) -> list[str]:
    """Read the true class of each of ``ids``.

    Raises:
        DataError: the file cannot be read, or an ID has no answer or several.
    """
    table = read_table(path, [ID, "label"])
    refuse_repeated(table[ID].tolist(), path)
    answers = dict(zip(table[ID], table["label"], strict=True))
    missing = [identifier for identifier in ids if not answers.get(identifier)]
    if missing:
        raise DataError(
            f"{path} has no answer for {len(missing)} photos, the first: {shortened(missing[0])}"
        )
    return [answers[identifier] for identifier in ids]


def answers_for(path: Path, template: Template, classes: ClassMap) -> list[str]:
    """Read the true class of each of a template's photos, and check that it can be scored.

    Raises:
        DataError: an ID has no answer, or one that is neither a column nor a trained class.
    """
    answers = read_answers(path, template.ids)
    known = {nfc(column) for column in template.columns} | set(classes.index_by_folder())
    strange = [place for place, answer in enumerate(answers) if nfc(answer) not in known]
    if strange:
        identifier, answer = template.ids[strange[0]], answers[strange[0]]
        nearest = get_close_matches(nfc(answer)[:_LONGEST_NAME], known, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise DataError(
            f"{path}: {len(strange)} answers are no class of the submission; the first, of "
            f"{shortened(identifier)}: {quoted(answer)}{hint}"
        )
    return answers
