"""Names from a registry: what is a plain word, and what would lead elsewhere."""

import pytest

from carvision.contracts.names import is_run_id, plain_name

HOSTILE = [
    "",
    ".",
    "..",
    ".hidden",
    "/etc",
    "../up",
    "a/../../b",
    "a/b",
    "a\\b",
    "..\\up",
    "C:\\x",
    "c:x",
    "a\0b",
    "a\nb",
    "a\n",
    "\x1b[31m",
    "~",
    "~root",
    "$HOME",
    "-rf",
    "a b",
    " a",
    "a;b",
    "a'b",
    'a"b',
    "a`b",
    "a|b",
    "a*",
    "x" * 201,
    "가" * 67,
    "a\ud800",
    "a\u202eb",
    "a\u2215b",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_could_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        plain_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "efficientnet_lite0",
        "swin_large@384",
        "vit_base.v2-b+c",
        "carvision-convnext_large",
        "0123456789abcdef",
        "기본_모델",
        "d",
        "x" * 200,
    ],
)
def test_plain_words_are_names(name: str) -> None:
    assert plain_name(name) == name


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
