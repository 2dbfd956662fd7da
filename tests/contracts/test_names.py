"""The IDs of runs, as a registry or a store may spell them."""

import pytest

from carvision.contracts.names import is_run_id


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0123456789abcdef0123456789abcdef", True),
        ("0123456789ABCDEF0123456789ABCDEF", False),
        ("0123456789abcdef0123456789abcde", False),
        ("0123456789abcdef0123456789abcdef\n", False),
        ("../../0123456789abcdef01234567890", False),
        ("", False),
    ],
)
def test_the_ids_of_runs(value: str, expected: bool) -> None:
    assert is_run_id(value) is expected
