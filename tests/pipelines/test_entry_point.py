"""Errors that a user can mend come without a traceback, and with an exit status of 1."""

import errno
import os
import signal
import sys

import pytest
import typer

from carvision.errors import DataError
from carvision.pipelines.entry_point import run_entry_point
from carvision.reporting.console import announce, console


@pytest.fixture(autouse=True)
def _own_command_line(monkeypatch):
    monkeypatch.setattr("sys.argv", ["command"])
    handlers = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _run(error):
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        run_entry_point(command)
    return caught.value.code


def test_an_error_for_the_user(capsys):
    assert _run(DataError("no photo [in] here")) == 1
    assert "error: no photo [in] here" in capsys.readouterr().out


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses(capsys, number):
    assert _run(OSError(number, os.strerror(number), "work/cache")) == 1
    output = capsys.readouterr().out
    assert "error: the disk refused" in output
    assert os.strerror(number) in output.replace("\n", " ")


def test_other_errors_keep_their_traceback():
    def command() -> None:
        raise FileNotFoundError(errno.ENOENT, "a bug of ours")

    with pytest.raises(FileNotFoundError):
        run_entry_point(command)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--modle", "swin_large"], "No such option"),
        (["--tta-steps", "many"], "Invalid value for '--tta-steps'"),
        (["stray"], "stray"),
    ],
)
def test_a_mistyped_parameter(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    told: str,
) -> None:
    def command(model: str = "", tta_steps: int = 5, overrides: str = typer.Option("", "--set")):
        raise AssertionError("it was run all the same")

    monkeypatch.setattr("sys.argv", ["command", *arguments])
    with pytest.raises(SystemExit) as caught:
        run_entry_point(command)
    assert caught.value.code == 1
    output = " ".join(capsys.readouterr().out.split())
    assert output.startswith("error: ")
    assert told in output
    assert "The parameters are model, tta_steps, set; each is given as -P name=value" in output


def test_ctrl_c_has_its_own_status(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(KeyboardInterrupt()) == 130


def test_help_is_no_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(model: str = "") -> None:
        """Train backbones."""

    monkeypatch.setattr("sys.argv", ["command", "--help"])
    with pytest.raises(SystemExit) as caught:
        run_entry_point(command)
    assert caught.value.code == 0
    assert "Train backbones." in capsys.readouterr().out


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space")])
def test_output_that_fails_is_no_failure(error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> int:
        raise error

    def command() -> None:
        monkeypatch.setattr(sys.stdout._stream, "write", fail)
        announce("a line")
        console.print("another")

    with pytest.raises(SystemExit) as caught:
        run_entry_point(command)
    assert caught.value.code == 0


def test_a_hang_up_unwinds_unless_it_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    def hung_up() -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    for before, status in ((signal.SIG_IGN, 0), (signal.SIG_DFL, 130)):
        signal.signal(signal.SIGHUP, before)
        with pytest.raises(SystemExit) as caught:
            run_entry_point(hung_up)
        assert caught.value.code == status
