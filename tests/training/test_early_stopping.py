"""Overfitting is reported once, and patience counts from the best epoch."""

import pytest

from carvision.training.early_stopping import EarlyStopping


def _seen(stopping, pairs):
    return [stopping.update(a, b) for a, b in pairs]


@pytest.mark.parametrize(
    ("pairs", "warned"),
    [
        ([(3, 3), (2, 2), (1, 1)], [False, False, False]),
        # Worse for one epoch may be chance.
        ([(3, 1), (2, 2), (1, 1.5)], [False, False, False]),
        ([(3, 1), (2, 2), (1, 3), (0.5, 4)], [False, False, True, False]),
        # Training that gets worse, too, is no overfitting.
        ([(1, 1), (2, 2), (3, 3)], [False, False, False]),
        ([(4, 2), (3, 1), (2, 2), (1, 3)], [False, False, False, True]),
    ],
)
def test_overfitting(pairs, warned):
    assert _seen(EarlyStopping(None), pairs) == warned


@pytest.mark.parametrize(
    ("patience", "losses", "stops"),
    [
        (None, [1, 2, 3, 4], [False] * 4),
        (1, [1, 2], [False, True]),
        (2, [1, 2, 0.5, 0.6, 0.7], [False, False, False, False, True]),
        (2, [1, 1, 1], [False, False, True]),
    ],
)
def test_patience(patience, losses, stops):
    stopping = EarlyStopping(patience)
    assert not stopping.should_stop
    found = []
    for loss in losses:
        stopping.update(loss, loss)
        found.append(stopping.should_stop)
    assert found == stops


def test_it_goes_on_from_its_state():
    pairs = [(4, 1), (3, 2), (2, 3), (1, 4)]
    whole, first, second = EarlyStopping(2), EarlyStopping(2), EarlyStopping(2)
    expected = _seen(whole, pairs)
    found = _seen(first, pairs[:2])
    second.load_state_dict(first.state_dict())
    assert found + _seen(second, pairs[2:]) == expected
    assert second.should_stop == whole.should_stop
