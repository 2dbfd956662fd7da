"""Interpolated temperatures, against the exact ones."""

import numpy as np
import pytest
from scipy.special import log_softmax

from carvision.ensembling.temperature_grid import COLDEST, HOTTEST, TemperatureGrid
from carvision.metrics import CLIP
from tests.ensembling.conftest import with_a_zero
from tests.ensembling.synthetic import SyntheticMembers


@pytest.mark.parametrize(
    "temperatures",
    [(1.0, 1.0), (COLDEST, HOTTEST), (HOTTEST, COLDEST), (0.73, 1.0), (1.31, 2.77), (0.99, 0.45)],
)
@pytest.mark.parametrize("sharpness", [1.0, 3.0])
def test_the_grid_is_the_exact_temperature(
    temperatures: tuple[float, float], sharpness: float
) -> None:
    table = SyntheticMembers(classes=40, temperatures=(sharpness, sharpness)).table()
    rows = np.arange(len(table.index))
    found = TemperatureGrid.of(table).at(np.array(temperatures))
    assert found.shape == (400, 6)
    for candidate, member in enumerate(table.member_of):
        log_p = table.read(candidate, rows).astype(np.float64)
        exact = log_softmax(log_p / temperatures[member], axis=1)[rows, table.targets]
        np.testing.assert_allclose(found[:, candidate], exact, atol=0.02)
        assert found[:, candidate].mean() == pytest.approx(exact.mean(), abs=1e-3)


def test_a_temperature_of_one_is_what_is_stored() -> None:
    table = SyntheticMembers().table()
    found = TemperatureGrid.of(table).at(np.array([1.0, 0.8]))
    np.testing.assert_array_equal(found[:, :3], table.log_true_class[:, :3])


@pytest.mark.parametrize("temperature", [COLDEST, 0.93, 1.0, 1.7, HOTTEST])
def test_a_zero_probability_stays_zero_at_every_temperature(temperature: float) -> None:
    table = with_a_zero(SyntheticMembers().table())
    found = TemperatureGrid.of(table).at(np.full(2, temperature))
    zero = np.isneginf(table.log_true_class)
    assert zero.sum() == 3
    assert not np.isnan(found).any()
    assert (found[zero] <= np.log(CLIP)).all()
    assert (found[~zero] > np.log(CLIP)).all()
