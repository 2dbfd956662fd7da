"""Each kind of parameter as a user, a shell or MLflow writes it."""

from pathlib import Path

import pytest

from carvision.config import data_source, number, output_path, path_text, whole_number
from carvision.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "expected"),
    [("200", 200), ("200.0", 200), ("2e2", 200), (" 200 ", 200), ("'200'", 200), (200, 200)],
)
def test_a_whole_number(given: str, expected: int) -> None:
    found = whole_number("trials", 1)(given)
    assert (found, type(found)) == (expected, int)


@pytest.mark.parametrize("given", ["abc", "2.5", "0", "-1", "", "nan", "inf", "1,5", "9" * 999])
def test_no_whole_number(given: str) -> None:
    with pytest.raises(ConfigError, match=r"-P tta_steps=.*: expected a whole number from 1 to 5"):
        whole_number("tta_steps", 1, 5)(given)


@pytest.mark.parametrize(("given", "expected"), [("2.5", 2.5), ("3", 3), ("0", 0), (" 1e1", 10)])
def test_a_number(given: str, expected: float) -> None:
    assert number("budget", 0)(given) == expected


@pytest.mark.parametrize("given", ["abc", "-0.1", "2,5", "nan", "inf", "", "3 s"])
def test_no_number(given: str) -> None:
    with pytest.raises(ConfigError, match=r"-P budget=.*: expected a number of at least 0"):
        number("budget", 0)(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~/cars", "/users/kim/cars"),
        (" ~/cars ", "/users/kim/cars"),
        ("'~/my cars'", "/users/kim/my cars"),
        ('"cars"', "cars"),
        ("“cars”", "cars"),
        ("C:\\cars", "C:\\cars"),
        ("a~b", "a~b"),
        ("cars/", "cars/"),
        ("", ""),
        ("  ", ""),
    ],
)
def test_a_path(given: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/users/kim")
    assert path_text(given) == expected
    if expected:
        assert data_source(given) == expected
        assert output_path(given) == Path(expected)


def test_a_file_of_a_strange_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (" blanks ", "'quoted'", "~"):
        Path(name).mkdir()
        if name != "~":
            assert path_text(name) == name
    assert path_text("./~") == "./~"


@pytest.mark.parametrize(("given", "word"), [("latest", "latest"), (" sample ", "sample")])
def test_words_for_data(given: str, word: str) -> None:
    assert data_source(given) == word


@pytest.mark.parametrize("given", ["", "  ", "''"])
def test_nothing_is_no_data_and_no_output(given: str) -> None:
    with pytest.raises(ConfigError, match="data= is empty: give a folder"):
        data_source(given)
    with pytest.raises(ConfigError, match="output= is empty: give the name"):
        output_path(given)
