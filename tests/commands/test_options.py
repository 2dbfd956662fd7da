"""What a script makes of its options, without a process of its own."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from carvision.errors import CarvisionError


@pytest.mark.parametrize(
    ("given", "expected"), [("2.5", 2.5), ("3", 3.0), ("0", None), ("0.0", None)]
)
def test_a_budget_may_be_a_fraction(
    given: str, expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _given("tune", {"budget": given}, monkeypatch)["5"] == expected


def _given(
    entry: str, options: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """What a script hands on for ``options``: its step's arguments by position and by name."""
    script: ModuleType = importlib.import_module(f"entrypoints.{entry}")
    seen: dict[str, Any] = {}

    def step(*arguments: Any, **named: Any) -> None:
        seen.update({str(i): value for i, value in enumerate(arguments)} | named)

    own = f"carvision.pipelines.{entry}"
    module = own if entry in ("main", "bench", "sync") else f"{own}.step"
    monkeypatch.setattr(importlib.import_module(module), entry, step)
    app = typer.Typer()
    app.command()(script.command)
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    result = CliRunner().invoke(app, words)
    if result.exception is not None:
        raise result.exception
    return seen


_HOME = "/users/kim"


@pytest.mark.parametrize(
    ("entry", "option", "where", "expected"),
    [
        ("prepare", "data", "1", f"{_HOME}/x y"),
        ("prepare", "exclude", "2", f"{_HOME}/x y"),
        ("train", "data", "1", f"{_HOME}/x y"),
        ("tune", "data", "1", f"{_HOME}/x y"),
        ("ensemble", "data", "1", f"{_HOME}/x y"),
        ("ensemble", "test", "test", f"{_HOME}/x y"),
        ("ensemble", "output", "output", Path(f"{_HOME}/x y")),
        ("main", "data", "1", f"{_HOME}/x y"),
        ("main", "test", "test", f"{_HOME}/x y"),
        ("main", "output", "output", Path(f"{_HOME}/x y")),
        ("hpo", "data", "1", f"{_HOME}/x y"),
        ("hpo", "output", "output", Path(f"{_HOME}/x y")),
        ("bench", "data", "1", f"{_HOME}/x y"),
        ("bench", "output", "2", f"{_HOME}/x y"),
        ("sync", "folder", "0", Path(f"{_HOME}/x y")),
    ],
)
@pytest.mark.parametrize("written", ["~/x y", " ~/x y ", "'~/x y'", '"~/x y"'])
def test_every_path_knows_the_home_folder(
    entry: str,
    option: str,
    where: str,
    expected: object,
    written: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", _HOME)
    assert _given(entry, {option: written}, monkeypatch)[where] == expected


@pytest.mark.parametrize("entry", ["train", "tune", "ensemble", "main", "hpo"])
def test_every_config_knows_the_home_folder(
    entry: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my.yaml").write_text("seed: 7")
    config = _given(entry, {"config": "~/my.yaml"}, monkeypatch)["0"]
    assert (config[0] if isinstance(config, list) else config).seed == 7


@pytest.mark.parametrize(
    ("entry", "option", "where"),
    [
        ("tune", "trials", "3"),
        ("main", "trials", "trials"),
        ("hpo", "trials", "trials"),
        ("ensemble", "tta-steps", "tta_steps"),
        ("main", "tta-steps", "tta_steps"),
    ],
)
def test_every_whole_number_is_read_alike(
    entry: str, option: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for written in ("3", "3.0", " 3 ", "3e0"):
        assert _given(entry, {option: written}, monkeypatch)[where] == 3
    for written in ("2.5", "abc", "", "0", "-1", "nan"):
        name = option.replace("-", "_")
        with pytest.raises(CarvisionError, match=f"-P {name}=.*expected a whole number"):
            _given(entry, {option: written}, monkeypatch)


@pytest.mark.parametrize(
    ("written", "expected"), [("all", "all"), (" 1, 3", "1,3"), ("[1,2]", "1,2"), ("2.0", "2")]
)
def test_folds(written: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _given("train", {"fold": written}, monkeypatch)["2"] == expected
    assert _given("hpo", {"fold": written}, monkeypatch)["fold"] == expected


@pytest.mark.parametrize("written", ["", "0", "-1", "1.5", "one", "1;2", "1-3", "1,"])
def test_no_folds(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CarvisionError, match=r"fold=.*expected all, or numbers from 1"):
        _given("train", {"fold": written}, monkeypatch)


@pytest.mark.parametrize("entry", ["prepare", "train", "tune", "ensemble", "main", "hpo", "bench"])
def test_data_that_is_empty_is_not_this_folder(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CarvisionError, match="data= is empty"):
        _given(entry, {"data": ""}, monkeypatch)


@pytest.mark.parametrize(
    ("option", "written", "read"),
    [
        ("seed", " 7 ", 7),
        ("seed", "'7'", 7),
        ("device", " cpu", "cpu"),
        ("recipe", "plan ", "plan"),
    ],
)
def test_words_without_blanks(
    option: str, written: str, read: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _given("train", {option: written}, monkeypatch)["0"][0]
    assert getattr(config, option) == read


@pytest.mark.parametrize(
    ("entry", "option", "words", "where"),
    [
        ("tune", "method", ["study", "weights"], "4"),
        ("train", "resume", ["auto", "never"], "3"),
        ("bench", "what", ["input", "prepare", "train", "backbones", "tune"], "0"),
    ],
)
def test_one_of_a_few_words(
    entry: str, option: str, words: list[str], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for word in words:
        assert _given(entry, {option: f" {word} "}, monkeypatch)[where] == word
    with pytest.raises(CarvisionError, match=f"{option}='best': expected one of {words[0]}, "):
        _given(entry, {option: "best"}, monkeypatch)


def test_what_out_of_memory_messages_advise_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    advised = "inference.batch_size=8 loader.workers=0 loader.prefetch=1"
    settings = _given("ensemble", {"set": advised}, monkeypatch)["0"]
    assert settings.inference.batch_size == 8
    assert (settings.loader.workers, settings.loader.prefetch) == (0, 1)
