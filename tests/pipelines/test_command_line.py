"""The command line: what a mistyped parameter may mean, and settings that are given twice."""

import pytest
import typer

from carvision.config import setting_names, step_setting_names
from carvision.pipelines.entry_point import run_entry_point


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--mdoel", "--mdoel (did you mean 'model'?)"),
        ("--tta-step", "--tta-step (did you mean 'tta_steps'?)"),
        ("--tta_step", "--tta_step (did you mean 'tta_steps'?)"),
        ("--settings", "--settings (did you mean 'set'?)"),
        ("--epochs", '(did you mean the setting train.epochs? -P set="train.epochs=VALUE")'),
        ("--train.epochs", 'the setting train.epochs? -P set="train.epochs=VALUE")'),
        ("--batch-size", "(did you mean the setting train.batch_size?"),
        ("--xyzzy", "No such option: --xyzzy\nThe parameters are"),
    ],
)
def test_a_parameter_that_there_is_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, option: str, told: str
) -> None:
    def command(model: str = "", tta_steps: int = 5, overrides: str = typer.Option("", "--set")):
        raise AssertionError("it was run all the same")

    monkeypatch.setattr("sys.argv", ["command", option, "3"])
    with pytest.raises(SystemExit):
        run_entry_point(command, setting_names())
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        ([], ""),
        (["--set", "a=1"], "a=1"),
        (["--set", "a=1", "--model", "x", "--set", "b=2"], "a=1 b=2"),
        (["--set=a=1", "--set", "b=2", "--set=c=3"], "a=1 b=2 c=3"),
    ],
)
def test_settings_given_twice_add_up(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], settings: str
) -> None:
    seen = []

    def command(model: str = "", overrides: str = typer.Option("", "--set")) -> None:
        seen.append(overrides)

    monkeypatch.setattr("sys.argv", ["command", *arguments])
    with pytest.raises(SystemExit) as caught:
        run_entry_point(command)
    assert (caught.value.code, seen) == (0, [settings])


@pytest.mark.parametrize(
    ("step", "option", "told"),
    [
        ("tune", "--folds", "(did you mean the setting data.folds?"),
        # A training's setting, which would be refused.
        ("tune", "--epochs", "No such option: --epochs\n"),
        ("ensemble", "--batch-size", "(did you mean the setting inference.batch_size?"),
    ],
)
def test_only_settings_of_the_step_are_proposed(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    option: str,
    told: str,
) -> None:
    def command(overrides: str = typer.Option("", "--set")) -> None:
        raise AssertionError("it was run all the same")

    monkeypatch.setattr("sys.argv", ["command", option, "3"])
    with pytest.raises(SystemExit):
        run_entry_point(command, step_setting_names(step))
    assert told in capsys.readouterr().out
