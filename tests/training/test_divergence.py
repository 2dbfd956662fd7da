"""Which losses count as diverged."""

import math

import pytest

from carvision.training.divergence import has_diverged


@pytest.mark.parametrize(
    ("loss", "classes", "diverged"),
    [
        (0.0, 2, False),
        (999.0, 2, False),
        (1000.0, 2, True),
        # A thousand times the loss of a uniform guess, where that is more than 1.
        (1000.0, 396, False),
        (1000 * math.log(396), 396, True),
        (math.nan, 396, True),
        (math.inf, 396, True),
        (-math.inf, 396, True),
    ],
)
def test_losses_that_do_not_come_down_again(loss: float, classes: int, diverged: bool) -> None:
    assert has_diverged(loss, classes) == diverged
