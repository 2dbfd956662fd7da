"""Folds: stratified, reproducible, and never through a group of equal photos."""

import numpy as np
import pandas as pd
import pytest

from carvision.data.preparation.folds import assign_folds
from carvision.errors import DataError

NAMES = ("K5", "라브4", "Niro")


def _frame(counts, copies=1):
    """Photos of each class; every third of them ``copies`` times, in one group."""
    rows = []
    for label, count in enumerate(counts):
        for i in range(count):
            group = f"{label}-{i}"
            rows += [{"class_index": label, "group": group}] * (copies if i % 3 == 0 else 1)
    return pd.DataFrame(rows)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("folds", [2, 3, 5])
@pytest.mark.parametrize("counts", [(5, 5, 5), (57, 90, 84), (5, 6, 99)])
def test_stratified(counts, folds, seed):
    frame = _frame(counts)
    frame["fold"] = assign_folds(frame, NAMES, folds, seed)
    table = pd.crosstab(frame["class_index"], frame["fold"])
    assert list(table.columns) == list(range(1, folds + 1))
    assert (table.max(axis=1) - table.min(axis=1)).max() <= 1
    assert table.sum(axis=1).tolist() == list(counts)


@pytest.mark.parametrize("copies", [2, 7])
def test_a_group_is_never_split(copies):
    frame = _frame((20, 30, 25), copies).sample(frac=1, random_state=3)
    frame["fold"] = assign_folds(frame, NAMES, 5, 0)
    assert (frame.groupby("group")["fold"].nunique() == 1).all()
    groups = frame.drop_duplicates("group")
    table = pd.crosstab(groups["class_index"], groups["fold"])
    assert (table.max(axis=1) - table.min(axis=1)).max() <= 1


def test_a_group_of_two_classes_is_not_split_either():
    frame = pd.concat([_frame((6, 6, 6)), pd.DataFrame({"class_index": [1], "group": ["0-0"]})])
    folds = assign_folds(frame, NAMES, 3, 0)
    assert folds[-1] == folds[0]


def test_the_seed_decides():
    frame = _frame((30, 30, 30))
    first = assign_folds(frame, NAMES, 5, 0)
    np.testing.assert_array_equal(first, assign_folds(frame, NAMES, 5, 0))
    assert (first != assign_folds(frame, NAMES, 5, 1)).any()


def test_too_few_photos():
    # Copies do not count: the class has two photos, one of them many times.
    frame = _frame((9, 2, 9), copies=8)
    with pytest.raises(DataError, match=r"1 classes .*data\.folds=3: 라브4 \(2\);"):
        assign_folds(frame, NAMES, 3, 0)
    assert set(assign_folds(frame, NAMES, 2, 0)) == {1, 2}


def test_a_class_without_photos():
    with pytest.raises(DataError, match=r"Niro \(0\)"):
        assign_folds(_frame((9, 9)), NAMES, 3, 0)


def test_many_poor_classes_are_cut_short():
    names = tuple(f"c{i}" for i in range(12))
    with pytest.raises(DataError, match=r"12 classes .*c9 \(1\) …;"):
        assign_folds(_frame((1,) * 12), names, 2, 0)


def test_the_frame_stays_as_it_is():
    frame = _frame((6, 6, 6))
    before = frame.copy()
    assign_folds(frame, NAMES, 3, 0)
    pd.testing.assert_frame_equal(frame, before)
