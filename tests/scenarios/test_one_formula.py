"""The mixture that is tuned, the one that is forecast and the one that is submitted are one."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax

from carvision.contracts import Mixing
from carvision.ensembling.blend import Blend, Scorer
from carvision.ensembling.fold_averaging import FoldMixtures
from carvision.ensembling.mix import fold_mean, mix, tempered
from carvision.ensembling.oof_predictions import MemberOof, OofTable
from tests.ensembling.conftest import mixed_by_formula, scorer_of
from tests.ensembling.synthetic import SyntheticMembers

_WEIGHTS = np.array([0.35, 0.25, 0.3, 0.1])


@pytest.fixture(scope="module")
def sharp() -> Scorer:
    """Members whose logits are hundreds apart, in two views."""
    table = SyntheticMembers(photos=40, views=("original", "hflip"), view_shift=(0.0, 0.0)).table()
    return scorer_of(OofTable.of(table.index, [_sharpened(member) for member in table.members]))


def _sharpened(member: MemberOof) -> MemberOof:
    folds = []
    for fold in member.fold_predictions:
        log_p = log_softmax(200 * fold.log_probabilities.astype(np.float64), axis=2)
        folds.append(replace(fold, log_probabilities=log_p.astype(np.float32)))
    return replace(member, fold_predictions=tuple(folds))


@pytest.mark.parametrize("temperatures", [(1.0, 1.0), (0.4, 3.0)])
@pytest.mark.parametrize("mixing", ["arithmetic", "geometric"])
def test_sharp_members_are_mixed_alike(
    mixing: Mixing, temperatures: tuple[float, float], sharp: Scorer
) -> None:
    table = sharp.table
    rows = np.arange(len(table.index))
    stored = np.stack([table.read(k, rows) for k in range(4)])
    assert stored.min() < -1000
    each = np.array(temperatures)[table.member_of]
    expected = mixed_by_formula(stored[:, None], _WEIGHTS, each, mixing)

    blend = replace(Blend.plain(table, "equal"), mixing=mixing, temperatures=temperatures)
    tuned = sharp.log_probabilities(blend, _WEIGHTS, rows)
    folds, members = FoldMixtures(mixing, [1]), []
    for own in (slice(0, 2), slice(2, 4)):
        log_p = tempered(stored[own].astype(np.float64), each[own, None, None])
        folds.add(_WEIGHTS[own].tolist(), 1, log_p)
        members.append(fold_mean([log_p]))
    submitted = mix(members, [_WEIGHTS[:2].tolist(), _WEIGHTS[2:].tolist()], mixing)

    np.testing.assert_allclose(submitted, expected, atol=1e-9)
    # float32 holds a thousand nats to 1e-4.
    np.testing.assert_allclose(np.exp(tuned), expected, atol=1e-3)
    forecast = np.exp(folds.log_probabilities(0, len(rows))[0])
    np.testing.assert_allclose(forecast, expected, atol=1e-9)
