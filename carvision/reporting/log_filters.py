"""What log lines and tracebacks pass before they are printed."""

import logging
import sys
import traceback
from types import TracebackType

from carvision.redaction import redacted


class WithoutSecrets(logging.Filter):
    """Takes passwords, tokens and keys out of a log line and its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            record.msg, record.args = redacted(record.getMessage()), ()
        except Exception:  # arguments that do not fit the line: the handler tells of that
            return True
        if record.exc_info and record.exc_info[0] is not None:
            # A formatter takes this text for the traceback that it made before.
            record.exc_text = redacted("".join(traceback.format_exception(*record.exc_info)))
        return True


class PlainRetries(logging.Filter):
    """Makes a sentence of urllib3's line about a request that is tried again."""

    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg).startswith("Retrying ("):
            record.msg, record.args = "the server does not answer; trying again", ()
        return True


def hide_secrets() -> None:
    """Let no handler that there is now, and no traceback, print a secret."""
    for name in ("", "mlflow", "alembic", "sqlalchemy"):
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(WithoutSecrets())
    logging.getLogger("urllib3.connectionpool").addFilter(PlainRetries())
    sys.excepthook = _print_exception


def _print_exception(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))
