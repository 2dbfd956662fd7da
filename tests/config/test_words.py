"""Texts of the user in a message: shortened, and lists with their first items."""

import pytest

from carvision.config.words import first_few


@pytest.mark.parametrize(
    ("count", "text"), [(1, "0"), (5, "0, 1, 2, 3, 4"), (15, "0, 1, 2, 3, 4 and 10 more")]
)
def test_first_few(count, text):
    assert first_few([str(i) for i in range(count)]) == text
