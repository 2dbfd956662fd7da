"""Log lines and tracebacks of any library are printed without secrets."""

import logging
import sys
from collections.abc import Iterator

import pytest

from carvision.reporting.log_filters import PlainRetries, RecordWithoutSecrets, hide_secrets

_URI = "http://kim:s3cret@host"


def _record(message: str, *args: object, exc_info: object = None) -> logging.LogRecord:
    return RecordWithoutSecrets("x", logging.WARNING, "", 0, message, args, exc_info)


@pytest.fixture
def _own_hook() -> Iterator[None]:
    before, make = sys.excepthook, logging.getLogRecordFactory()
    yield
    sys.excepthook = before
    logging.setLogRecordFactory(make)


@pytest.mark.parametrize("args", [(_URI,), (ValueError(_URI),)])
def test_a_line(args: tuple[object, ...]) -> None:
    record = _record("%s cannot be reached", *args)
    assert record.getMessage() == "http://***@host cannot be reached"


@pytest.mark.parametrize(("line", "args"), [("%d photos", ("many",)), ("%s", ("a", "b"))])
def test_a_line_that_cannot_be_formatted_stops_nothing(
    line: str, args: tuple[object, ...], _own_hook: None, capsys: pytest.CaptureFixture[str]
) -> None:
    log, handler = logging.Logger("library"), logging.StreamHandler()
    log.addHandler(handler)
    hide_secrets()
    log.warning(line, *args)
    assert "Logging error" in capsys.readouterr().err


def test_a_logged_traceback() -> None:
    try:
        raise ValueError(_URI)
    except ValueError:
        record = _record("it failed", exc_info=sys.exc_info())
    printed = logging.Formatter().format(record)
    assert "ValueError: http://***@host" in printed
    assert "s3cret" not in printed


def test_a_traceback_of_a_defect(_own_hook: None, capsys: pytest.CaptureFixture[str]) -> None:
    hide_secrets()
    error = ValueError(_URI)
    sys.excepthook(ValueError, error, None)
    assert capsys.readouterr().err == "ValueError: http://***@host\n"


def test_a_handler_that_comes_later(_own_hook: None, capsys: pytest.CaptureFixture[str]) -> None:
    hide_secrets()
    log = logging.Logger("library")
    log.addHandler(logging.StreamHandler())
    log.warning("%s cannot be reached", _URI)
    assert capsys.readouterr().err == "http://***@host cannot be reached\n"


def test_retries_of_urllib3_are_a_sentence() -> None:
    line = "Retrying (%r) after connection broken by '%r': %s"
    record = _record(line, "JitteredRetry(total=4)", "refused", "/api")
    assert PlainRetries().filter(record)
    assert record.getMessage() == "the server does not answer; trying again"
    other = _record("Connection pool is full: %s", "host")
    assert PlainRetries().filter(other)
    assert other.getMessage() == "Connection pool is full: host"
