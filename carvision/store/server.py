"""Checks in seconds whether a tracking server answers.

MLflow itself repeats a call for minutes before it fails (MLFLOW_HTTP_REQUEST_MAX_RETRIES).
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import mlflow
import requests
from mlflow.environment_variables import (
    MLFLOW_HTTP_REQUEST_MAX_RETRIES,
    MLFLOW_HTTP_REQUEST_TIMEOUT,
)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from carvision.errors import TrackingError, causes
from carvision.redaction import redacted

log = logging.getLogger(__name__)

#: What a call to MLflow raises while its server is away, or for another reason; see
#: :func:`unreachable`.
SERVER_ERRORS: Final = (MlflowException, requests.RequestException)
#: What a step catches that goes on without the server, or leaves its results for later.
TRACKING_ERRORS: Final = (*SERVER_ERRORS, TrackingError)

_SECONDS = 5.0
#: Seconds that a step waits for a server that it needs.
PATIENCE = 120.0
PAUSES = (1.0, 2.0, 4.0)
LONGEST_PAUSE = 8.0
#: How often a call to a server that answers may fail.
_TRIES = 3

_T = TypeVar("_T")


def shown_uri() -> str:
    """The address of the tracking store for messages: without user name and password."""
    return redacted(mlflow.get_tracking_uri())


def unreachable() -> str | None:
    """Why the tracking server cannot be reached; None where it answers, or where there is none.

    MLflow's own client asks, so that proxies, certificates, logins and headers are the same as in
    other calls.
    """
    uri = mlflow.get_tracking_uri()
    if not uri.startswith(("http://", "https://")):
        return None
    try:
        http_request(
            get_default_host_creds(uri),
            "/health",
            "GET",
            max_retries=0,
            timeout=_SECONDS,
            raise_on_status=False,
        )
    except MlflowException as error:
        # MLflow itself says what is wrong with a login, a certificate or a malformed address.
        cause = error.__context__
        away = isinstance(cause, (requests.ConnectionError, requests.Timeout))
        if not away or isinstance(cause, requests.exceptions.SSLError):
            return None
        return _reason(cause)
    return None


def require_server() -> None:
    """Check in seconds that the tracking server answers.

    Raises:
        TrackingError: it cannot be reached.
    """
    reason = unreachable()
    if reason is not None:
        raise server_away(reason)


def server_away(reason: str) -> TrackingError:
    """The error of a step that cannot go on without the tracking server."""
    return TrackingError(
        f"the tracking server {shown_uri()} cannot be reached: {reason}; start it, or point "
        "MLFLOW_TRACKING_URI at another one, and run this again"
    )


def patiently(what: str, call: Callable[[], _T]) -> _T:
    """Repeat ``call`` while the tracking server is away, for about two minutes at most.

    ``what`` names in messages what the step needs.

    Raises:
        TrackingError: the server did not come back.
        Exception: whatever ``call`` raises while the server answers.
    """
    if not mlflow.get_tracking_uri().startswith("http"):
        return call()
    deadline, pauses, answered = time.monotonic() + PATIENCE, iter(PAUSES), 0
    while True:
        try:
            return call()
        except SERVER_ERRORS as error:
            reason = unreachable()
            answered += reason is None
            # A server that answers may have been away for a moment; more failures are its answer.
            if not _may_pass(error) or answered > _TRIES:
                raise
            if time.monotonic() >= deadline:
                raise server_away(reason or _first_line(error)) from error
            if reason is None:
                log.warning("%s failed (%s); trying again", what, _first_line(error))
            else:
                log.warning(
                    "%s: the tracking server does not answer (%s); trying again for two minutes",
                    what,
                    reason,
                )
        time.sleep(next(pauses, LONGEST_PAUSE))


def is_missing(error: MlflowException) -> bool:
    """Whether the store has no such run, model, version or alias, by its own answer."""
    return bool(error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST))


@contextmanager
def no_patience() -> Iterator[None]:
    """Let calls to MLflow in the block fail in seconds, without retries."""
    patience = {MLFLOW_HTTP_REQUEST_MAX_RETRIES: 0, MLFLOW_HTTP_REQUEST_TIMEOUT: int(_SECONDS)}
    before = {variable: variable.get_raw() for variable in patience}
    for variable, value in patience.items():
        variable.set(value)
    try:
        yield
    finally:
        for variable, old in before.items():
            if old is None:
                variable.unset()
            else:
                variable.set(old)


def _may_pass(error: Exception) -> bool:
    """Whether a server that is away or starting can be the reason of an error."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code >= 500
    if isinstance(error, MlflowException):
        return error.error_code in ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")
    return True


def _reason(error: BaseException) -> str:
    """The innermost cause of a failed connection, whose message is the shortest."""
    proxy = isinstance(error, requests.exceptions.ProxyError)
    reasons = [each for each in causes(error) if isinstance(each, OSError) and str(each)]
    cause = reasons[-1] if reasons else error
    return redacted(f"its proxy: {cause}" if proxy else str(cause))


def _first_line(error: Exception) -> str:
    return redacted(str(error).partition("\n")[0])
