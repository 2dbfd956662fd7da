"""Stratified folds that never split a group of equal photos."""

import warnings

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from carvision.errors import DataError


def assign_folds(
    frame: pd.DataFrame, class_names: tuple[str, ...], folds: int, seed: int
) -> NDArray[np.int64]:
    """Assign each row to a fold: ``[images]``, counted from 1.

    ``frame`` has the columns ``class_index`` and ``group``. Whole groups are assigned, each with
    the class of its first photo. (scikit-learn's StratifiedGroupKFold needs memory for groups x
    classes.)

    Raises:
        DataError: a class has fewer groups than there are folds.
    """
    groups = frame.drop_duplicates("group")
    counts = groups["class_index"].value_counts()
    poor = [
        f"{name} ({counts.get(i, 0)})"
        for i, name in enumerate(class_names)
        if counts.get(i, 0) < folds
    ]
    if poor:
        raise DataError(
            f"{len(poor)} classes have fewer distinct photos than data.folds={folds}: "
            f"{', '.join(poor[:10])}{' …' if len(poor) > 10 else ''}; "
            "add photos, set a smaller data.folds, or take the class out"
        )
    fold_of_group = np.zeros(len(groups), dtype=np.int64)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        splits = splitter.split(np.zeros(len(groups)), groups["class_index"])
        for fold, (_, validation) in enumerate(splits, start=1):
            fold_of_group[validation] = fold
    return frame["group"].map(dict(zip(groups["group"], fold_of_group, strict=True))).to_numpy()
