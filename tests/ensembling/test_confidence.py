"""Confidence and disagreement, against scipy's divergences."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from carvision.ensembling.confidence import confidence_table, disagreement

_MEMBERS = np.random.default_rng(0).dirichlet(np.full(4, 0.5), (3, 6))


def test_two_members_alike_in_weight_are_scipys_jensen_shannon_divergence() -> None:
    first, second, _ = _MEMBERS
    expected = jensenshannon(first, second, axis=1) ** 2
    np.testing.assert_allclose(disagreement([first, second], [0.3, 0.3]), expected, atol=1e-12)


def test_it_is_the_mean_divergence_from_the_mixture() -> None:
    weights = np.array([0.5, 0.3, 0.2])
    mixed = np.tensordot(weights, _MEMBERS, axes=1)
    expected = sum(w * entropy(m, mixed, axis=1) for w, m in zip(weights, _MEMBERS, strict=True))
    np.testing.assert_allclose(disagreement(list(_MEMBERS), list(2 * weights)), expected)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_members_that_agree_have_no_disagreement(count: int) -> None:
    found = disagreement([_MEMBERS[0]] * count, [0.2] * count)
    np.testing.assert_allclose(found, 0, atol=1e-12)
    assert (found >= 0).all()


def test_members_that_are_certain_of_different_classes() -> None:
    sure = [np.eye(3)[[k]] for k in range(3)]
    assert disagreement(sure, [1.0, 1.0, 1.0])[0] == pytest.approx(np.log(3))


def test_the_table_ranks_by_disagreement_and_names_the_likeliest() -> None:
    submitted = _MEMBERS.mean(axis=0)
    ids = [f"TEST_{i}" for i in range(6)]
    names = ("Niro", "RAV4", "K5", "라브4")
    table = confidence_table(ids, submitted, list(_MEMBERS), [1, 1, 1], names)
    assert sorted(table["image_id"]) == ids
    assert table["disagreement"].is_monotonic_decreasing
    for row in table.itertuples():
        own = submitted[ids.index(row.image_id)]
        order = np.argsort(-own)
        assert [row.class_1, row.class_2, row.class_3] == [names[i] for i in order[:3]]
        assert row.probability_1 == row.confidence == own.max()
        assert row.entropy == pytest.approx(entropy(own))


def test_two_classes_have_no_third() -> None:
    p = np.array([[0.2, 0.8]])
    table = confidence_table(["a"], p, [p], [1.0], ("Niro", "K5"))
    assert table.columns.tolist()[-1] == "probability_2"
