"""The folds of cross-fitting."""

import numpy as np
import pytest

from carvision.ensembling.cross_fitting import assign_crossfit_folds
from tests.ensembling.conftest import scorer_of
from tests.ensembling.searches import nested_log_p
from tests.ensembling.synthetic import SyntheticMembers


@pytest.mark.parametrize(("folds", "expected"), [(5, 5), (3, 3), (2, 5), (1, 5)])
def test_training_folds_are_used_where_there_are_enough(folds: int, expected: int) -> None:
    index = SyntheticMembers(photos=90, folds=folds).table().index
    index["group"] = [f"g{i // 2}" for i in range(len(index))]
    crossfit_folds = assign_crossfit_folds(index, seed=0)
    assert len(np.unique(crossfit_folds)) == expected
    if folds >= 3:
        assert crossfit_folds.tolist() == index["fold"].tolist()
    else:
        assert index.assign(part=crossfit_folds).groupby("group")["part"].nunique().max() == 1
        assert assign_crossfit_folds(index, seed=0).tolist() == crossfit_folds.tolist()
    # The nested score leaves two of three folds to its search, which are then split again.
    assert (
        -nested_log_p(
            scorer_of(SyntheticMembers(photos=90, folds=folds).table()), crossfit_folds, trials=1
        ).mean()
        > 0
    )
