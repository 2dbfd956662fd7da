"""What is tuned is what is submitted: one formula, computed in three places."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax

from carvision.contracts import EnsembleSpec, Member, tempered
from carvision.ensembling.blend import Blend, Mixing, Scorer
from carvision.ensembling.fold_averaging import FoldMixtures
from carvision.ensembling.oof_predictions import MemberOof, OofTable
from carvision.inference import predict_ensemble
from tests.ensembling.conftest import made_up_table, scorer_of

_WEIGHTS = np.array([0.35, 0.25, 0.3, 0.1])


@pytest.fixture(scope="module")
def sharp() -> Scorer:
    """Members whose logits are hundreds apart, in two views."""
    table = made_up_table(photos=40, views=("original", "hflip"), view_shift=(0.0, 0.0))
    return scorer_of(OofTable.of(table.index, [_sharpened(member) for member in table.members]))


def _sharpened(member: MemberOof) -> MemberOof:
    parts = []
    for part in member.fold_predictions:
        log_p = log_softmax(200 * part.log_probabilities.astype(np.float64), axis=2)
        parts.append(replace(part, log_probabilities=log_p.astype(np.float32)))
    return replace(member, fold_predictions=tuple(parts))


@pytest.mark.parametrize("temperatures", [(1.0, 1.0), (0.4, 3.0)])
@pytest.mark.parametrize("mixing", ["arithmetic", "geometric"])
def test_sharp_members_are_mixed_alike(
    mixing: Mixing, temperatures: tuple[float, float], sharp: Scorer
) -> None:
    table = sharp.table
    rows = np.arange(len(table.index))
    blend = replace(Blend.plain(table, "equal"), mixing=mixing, temperatures=temperatures)
    tuned = sharp.log_probabilities(blend, _WEIGHTS, rows)
    folds = FoldMixtures(mixing, [1])
    predicted = []
    members = []
    for number, member in enumerate(table.members):
        own = np.flatnonzero(table.member_of == number)
        log_p = np.stack([table.read(k, rows) for k in own.tolist()])
        assert log_p.min() < -1000
        log_p = tempered(log_p.astype(np.float64), temperatures[number])
        folds.add(_WEIGHTS[own], 1, log_p)
        predicted.append(np.exp(log_p))
        views = [table.candidates[k][1] for k in own.tolist()]
        members.append(
            Member(
                preset=member.name,
                registered_model=member.name,
                version=1,
                weights=dict(zip(views, _WEIGHTS[own].tolist(), strict=True)),
                temperatures=dict.fromkeys(views, temperatures[number]),
            )
        )
    names = tuple("abcdef")
    spec = EnsembleSpec(
        members=tuple(members),
        mixing=mixing,
        class_names=names,
        class_folders=tuple((name,) for name in names),
        score=None,
    )
    submitted = predict_ensemble(spec, predicted)
    # float32 holds a thousand nats to 1e-4.
    np.testing.assert_allclose(np.exp(tuned), submitted, atol=1e-3)
    np.testing.assert_allclose(
        np.exp(folds.log_probabilities(0, len(rows))[0]), submitted, atol=1e-3
    )
