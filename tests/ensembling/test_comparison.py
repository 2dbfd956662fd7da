"""When a new ensemble is better than the one in use."""

import pytest

from carvision.contracts import Score
from carvision.ensembling.comparison import compare_with_champion
from tests.ensembling.oof_photos import oof_photos


def _score(nested: float | None, images: int = 10, data: str = "d", fitted: float = 0.2) -> Score:
    return Score(log_loss=fitted, nested=nested, data=data, folds=(1,), images=images)


@pytest.mark.parametrize(
    ("held", "new", "crowned", "why"),
    [
        # No score, or other data.
        ((None, None), (_score(0.9), 0.9, 10), True, "of other data"),
        ((_score(0.1, data="e"), (0.1, 10)), (_score(0.9), 0.9, 10), True, "of other data"),
        # The same photos.
        ((_score(0.345), (0.3, 10)), (_score(0.335), 0.29, 10), True, "on 10 photos 0.3350, old"),
        ((_score(0.345), (0.3, 10)), (_score(0.355), 0.31, 10), False, "0.3550, old has 0.3450"),
        ((_score(0.345), (0.3, 10)), (_score(0.345), 0.3, 10), False, "0.3450, old has 0.3450"),
        # More photos, hard ones: better on those of both, and worse in all.
        ((_score(0.345), (0.3, 10)), (_score(0.785), 0.29, 100), True, "on 10 photos 0.3350"),
        # More photos, and far worse.
        ((_score(0.345), (0.3, 10)), (_score(2.0), 1.9, 100), False, "on 10 photos 1.9450"),
        # Fewer photos, and better on those.
        ((_score(0.785, 100), (0.29, 100)), (_score(0.325), 0.28, 10), True, "on 10 photos 0.3250"),
        # Scores alone: nested ones, whatever the photos; fitted ones, where no other is known.
        ((_score(0.3), None), (_score(0.29), 0.29, 10), True, "loss 0.2900, old has 0.3000"),
        ((_score(0.3), None), (_score(0.31), 0.31, 10), False, "loss 0.3100, old has 0.3000"),
        ((_score(0.3), None), (_score(1.9, 100), 1.9, 100), False, "old (of 10 photos) has 0.3"),
        ((_score(None), None), (_score(0.3, fitted=0.1), 0.3, 10), True, "fitted log loss 0.1"),
        ((_score(None), None), (_score(0.1, fitted=0.3), 0.1, 10), False, "fitted log loss 0.3"),
    ],
)
def test_the_better_nested_loss_on_the_same_photos_wins(
    held: tuple[Score | None, tuple[float, int] | None],
    new: tuple[Score, float, int],
    crowned: bool,
    why: str,
) -> None:
    score, photos = held
    old = None if photos is None else oof_photos(range(photos[1]), photos[0])
    oof = oof_photos(range(new[2]), new[1])
    found = compare_with_champion(new[0], oof, "old", score, old)
    assert found[0] is crowned
    assert why in found[1]


def test_ensembles_of_no_common_photo_are_not_compared() -> None:
    held, new = oof_photos(range(10), 0.3), oof_photos(range(10, 20), 0.0)
    assert compare_with_champion(_score(0.1), new, "old", _score(0.3), held) == (
        False,
        "old was tuned on none of the same photos",
    )
