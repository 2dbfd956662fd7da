"""The members' out-of-fold predictions, aligned by photo.

The arrays stay on disk and are read a block of photos at a time: at the competition's size they
take 1.8 GB, while the true class's probabilities, which suffice for most work, take 9 MB.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.contracts import Predictions
from carvision.errors import PredictionsError

#: A member's name and a view.
Candidate = tuple[str, str]

#: Photos that are read at a time.
BLOCK: Final = 1024


@dataclass(frozen=True)
class MemberOof:
    """A member's stored predictions, one element for each of its folds.

    ``plan_weight`` is the member's weight by the plan. ``cost`` is the time of one view with all
    folds, in seconds for 1,000 photos; None where it was never measured.
    """

    name: str
    fold_predictions: tuple[Predictions, ...]
    plan_weight: float
    cost: float | None = None


@dataclass(frozen=True)
class OofTable:
    """The predictions of all candidates, (member, view) pairs, for the photos of ``index``.

    ``index`` has a row a photo: ``image_id``, ``class_index``, ``fold`` and ``group``.
    """

    index: pd.DataFrame
    members: tuple[MemberOof, ...]
    candidates: tuple[Candidate, ...]
    #: For each member, where the photos are stored: the element of its ``fold_predictions`` and
    #: the row therein, ``[2, images]``.
    _places: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, index: pd.DataFrame, members: Sequence[MemberOof]) -> Self:
        """Find the photos of ``index`` in each member's predictions.

        Raises:
            PredictionsError: a photo is missing or stored twice, has another class, or its
                prediction is NaN; a member's folds differ in their views or classes.
        """
        if index.empty or not members:
            raise PredictionsError("there is no photo, or no member, to mix predictions of")
        classes = {fold.log_probabilities.shape[2] for m in members for fold in m.fold_predictions}
        if len(classes) != 1:
            raise PredictionsError(f"members of different class lists: {sorted(classes)} classes")
        places = tuple(_places(member, index) for member in members)
        candidates = tuple((m.name, view) for m in members for view in m.fold_predictions[0].views)
        table = cls(index.reset_index(drop=True), tuple(members), candidates, places)
        table._refuse_nan()
        return table

    @property
    def member_of(self) -> NDArray[np.int64]:
        """The number of each candidate's member, ``[candidates]``."""
        names = [member.name for member in self.members]
        return np.array([names.index(name) for name, _ in self.candidates])

    @property
    def plan_weights(self) -> NDArray[np.float64]:
        """Each candidate's weight by the plan: its member's, divided by the number of views."""
        members = self.member_of
        weights = np.array([member.plan_weight for member in self.members])
        return weights[members] / np.bincount(members)[members]

    @property
    def cost(self) -> NDArray[np.float64] | None:
        """Each candidate's seconds for 1,000 photos; None where one member's are unknown."""
        known = [member.cost for member in self.members if member.cost is not None]
        return np.array(known)[self.member_of] if len(known) == len(self.members) else None

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.members[0].fold_predictions[0].log_probabilities.shape[2])

    @cached_property
    def targets(self) -> NDArray[np.int64]:
        """The true class of each photo, ``[images]``."""
        return self.index["class_index"].to_numpy(dtype=np.int64)

    @cached_property
    def log_true_class(self) -> NDArray[np.float32]:
        """The true class's log-probability at a temperature of one, ``[images, candidates]``."""
        columns = np.empty((len(self.index), len(self.candidates)), np.float32)
        for rows in self.blocks():
            for candidate in range(len(self.candidates)):
                columns[rows, candidate] = self.read(candidate, rows)[
                    np.arange(len(rows)), self.targets[rows]
                ]
        return columns

    def blocks(self, rows: NDArray[np.int64] | None = None) -> Iterator[NDArray[np.int64]]:
        """Split ``rows``, by default all of them, into blocks."""
        everything = np.arange(len(self.index)) if rows is None else rows
        for start in range(0, len(everything), BLOCK):
            yield everything[start : start + BLOCK]

    def read(self, candidate: int, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """A candidate's log-probabilities ``[rows, classes]``, which may be a view: change none."""
        member = self.member_of[candidate]
        folds = self.members[member].fold_predictions
        view = folds[0].views.index(self.candidates[candidate][1])
        fold_of, position = self._places[member][:, rows]
        if (fold_of == fold_of[0]).all() and (np.diff(position) == 1).all():
            # The rows are stored in sequence, so that nothing need be copied.
            stored = folds[fold_of[0]].log_probabilities
            return stored[view, position[0] : position[-1] + 1]
        found = np.empty((len(rows), self.classes), np.float32)
        for fold in np.unique(fold_of):
            mine = fold_of == fold
            found[mine] = folds[fold].log_probabilities[view, position[mine]]
        return found

    def _refuse_nan(self) -> None:
        if np.isnan(self.log_true_class).any():
            row, candidate = np.argwhere(np.isnan(self.log_true_class))[0]
            raise PredictionsError(
                f"{' '.join(self.candidates[candidate])}: the prediction of "
                f"{self.index['image_id'][row]!r} is NaN; train that fold again "
                "(resume=never)"
            )


def _places(member: MemberOof, index: pd.DataFrame) -> NDArray[np.int64]:
    """The fold that predicts each photo of ``index``, and its row there, ``[2, images]``."""
    folds = member.fold_predictions
    if len({fold.views for fold in folds}) != 1:
        raise PredictionsError(f"{member.name}: its folds were predicted in different views")
    whole = pd.concat([fold.index for fold in folds], ignore_index=True)
    ids = pd.Index(whole["image_id"])
    if ids.has_duplicates:
        raise PredictionsError(f"{member.name} predicts {ids[ids.duplicated()][0]!r} twice")
    found = ids.get_indexer(pd.Index(index["image_id"]))
    if (found < 0).any():
        first = index["image_id"].iloc[int(np.argmin(found))]
        raise PredictionsError(
            f"{member.name} lacks {int((found < 0).sum())} of {len(index)} photos, the first of "
            f"them {first!r}"
        )
    for column in ("class_index", "fold"):
        if (whole[column].to_numpy()[found] != index[column].to_numpy()).any():
            raise PredictionsError(
                f"{member.name} was trained with another {column} of the same photos; train all "
                "members on the same prepared data"
            )
    sizes = [len(fold.index) for fold in folds]
    fold_of = np.repeat(np.arange(len(sizes)), sizes)
    position = np.concatenate([np.arange(size) for size in sizes])
    return np.stack([fold_of[found], position[found]]).astype(np.int64)
