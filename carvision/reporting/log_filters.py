"""Log lines and tracebacks as they are printed: without secrets, and retries in one sentence."""

import logging
import sys
import traceback
from types import TracebackType
from typing import Any

from carvision.redaction import redacted


class RecordWithoutSecrets(logging.LogRecord):
    """A log line and its traceback without passwords, tokens and keys."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        try:
            self.msg, self.args = redacted(self.getMessage()), ()
        except Exception:  # arguments that do not fit the line: the handler reports that
            return
        if self.exc_info and self.exc_info[0] is not None:
            # Formatters print this text instead of formatting the traceback themselves.
            self.exc_text = redacted("".join(traceback.format_exception(*self.exc_info)))


class PlainRetries(logging.Filter):
    """Makes a sentence of urllib3's line about a request that is tried again."""

    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg).startswith("Retrying ("):
            record.msg, record.args = "the server does not answer; trying again", ()
        return True


def hide_secrets() -> None:
    """Keep secrets out of every log line and every traceback of this process.

    The lines themselves are changed, not the handlers: MLflow brings its own when it is imported.
    """
    logging.setLogRecordFactory(RecordWithoutSecrets)
    logging.getLogger("urllib3.connectionpool").addFilter(PlainRetries())
    sys.excepthook = _print_exception


def _print_exception(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))
