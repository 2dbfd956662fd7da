"""The table of out-of-fold predictions: aligned by id, refused where it does not fit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from carvision.contracts import Predictions
from carvision.ensembling.oof_predictions import MemberOof, OofTable
from carvision.errors import PredictionsError
from tests.ensembling.synthetic import SyntheticMembers


def _changed(table: OofTable, part: Predictions, **kept: object) -> list[MemberOof]:
    """The members, the first fold of the second one replaced."""
    first, second = table.members
    return [first, replace(second, fold_predictions=(part, *second.fold_predictions[1:]), **kept)]


def test_predictions_are_found_by_id() -> None:
    table = SyntheticMembers(photos=57).table()
    rows = np.array([3, 50, 4, 5, 20])
    for candidate, (name, view) in enumerate(table.candidates):
        member = next(member for member in table.members if member.name == name)
        found = table.read(candidate, rows)
        for row, values in zip(rows, found, strict=True):
            image_id = table.index["image_id"][row]
            (part,) = (p for p in member.fold_predictions if image_id in set(p.index["image_id"]))
            position = part.index["image_id"].tolist().index(image_id)
            expected = part.log_probabilities[part.views.index(view), position]
            np.testing.assert_array_equal(values, expected)
            truth = table.log_true_class[row, candidate]
            assert truth == expected[part.index["class_index"][position]]


def test_photos_stored_in_order_are_read_without_a_copy() -> None:
    table = SyntheticMembers(photos=50).table()
    member = table.members[0]
    index = pd.concat(
        [part.index.assign(group="g") for part in member.fold_predictions], ignore_index=True
    )
    sorted_table = OofTable.of(index, [member])
    read = sorted_table.read(0, np.arange(3, 8))
    assert np.shares_memory(read, member.fold_predictions[0].log_probabilities)
    across = sorted_table.read(0, np.arange(5, 15))
    np.testing.assert_array_equal(across[:3], read[2:])


def test_candidates_plan_and_cost() -> None:
    table = SyntheticMembers(costs=(2.0, 3.0)).table()
    views = ("original", "hflip", "vflip")
    assert table.candidates == tuple((m, v) for m in ("m0", "m1") for v in views)
    np.testing.assert_allclose(table.plan_weights, [20 / 3] * 3 + [5.0] * 3)
    assert table.cost is not None
    np.testing.assert_allclose(table.cost, [2.0] * 3 + [3.0] * 3)
    assert SyntheticMembers(costs=(2.0, None)).table().cost is None


def test_a_view_that_one_member_lacks() -> None:
    table = SyntheticMembers().table()
    parts = tuple(
        Predictions(part.index, part.views[:1], part.log_probabilities[:1])
        for part in table.members[1].fold_predictions
    )
    mixed = OofTable.of(
        table.index, [table.members[0], replace(table.members[1], fold_predictions=parts)]
    )
    assert [view for member, view in mixed.candidates if member == "m1"] == ["original"]
    np.testing.assert_array_equal(mixed.log_true_class[:, 3], table.log_true_class[:, 3])


def test_one_member_alone() -> None:
    table = SyntheticMembers().table()
    alone = OofTable.of(table.index, table.members[:1])
    np.testing.assert_array_equal(alone.log_true_class, table.log_true_class[:, :3])


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", r"m1 lacks 1 of 400 photos, the first of them 'train/\d+.jpg'"),
        ("twice", r"m1 predicts 'train/\d+.jpg' twice"),
        ("nan", r"m1 hflip: the prediction of 'train/\d+.jpg' is NaN; train that fold again"),
        ("other classes", "members of different class lists: .5, 6. classes"),
        ("other labels", "m1 was trained with another class_index of the same photos"),
        ("other folds", "m1 was trained with another fold of the same photos"),
        ("other views", "m1: its folds were predicted in different views"),
        ("no member", "there is no photo, or no member"),
    ],
)
def test_what_does_not_fit_is_refused(case: str, message: str) -> None:
    table = SyntheticMembers().table()
    part = table.members[1].fold_predictions[0]
    index, log_p = part.index.copy(), part.log_probabilities.copy()
    members = list(table.members)
    if case == "missing":
        members = _changed(table, Predictions(index[1:], part.views, log_p[:, 1:]))
    elif case == "twice":
        index.loc[0, "image_id"] = index["image_id"][1]
        members = _changed(table, Predictions(index, part.views, log_p))
    elif case == "nan":
        log_p[1, 2, index["class_index"][2]] = np.nan
        members = _changed(table, Predictions(index, part.views, log_p))
    elif case == "other classes":
        members = _changed(table, Predictions(index, part.views, log_p[:, :, :5]))
    elif case == "other labels":
        index.loc[0, "class_index"] = (index["class_index"][0] + 1) % 6
        members = _changed(table, Predictions(index, part.views, log_p))
    elif case == "other folds":
        members = _changed(table, Predictions(index.assign(fold=2), part.views, log_p))
    elif case == "other views":
        members = _changed(table, Predictions(index, part.views[:2], log_p[:2]))
    elif case == "no member":
        members = []
    with pytest.raises(PredictionsError, match=message):
        OofTable.of(table.index, members)
