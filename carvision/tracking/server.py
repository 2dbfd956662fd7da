"""Whether a tracking server answers, found out in seconds.

MLflow itself tries a call again for minutes before it says so (MLFLOW_HTTP_REQUEST_MAX_RETRIES).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from ssl import SSLError
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import mlflow
from mlflow.environment_variables import (
    MLFLOW_HTTP_REQUEST_MAX_RETRIES,
    MLFLOW_HTTP_REQUEST_TIMEOUT,
)

from carvision.errors import TrackingError

_SECONDS = 5.0


def unreachable() -> str | None:
    """Why the tracking server cannot be reached; None where it answers, or where there is none."""
    uri = mlflow.get_tracking_uri()
    if not uri.startswith(("http://", "https://")):
        return None
    try:
        parts = urlsplit(uri)
        # urllib takes a user's name for the host's.
        address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        with urlopen(f"{address.rstrip('/')}/health", timeout=_SECONDS):
            return None
    except (HTTPError, HTTPException, ValueError):
        return None  # a login is asked for, or a proxy speaks: what is wrong is MLflow's to say
    except OSError as error:
        reason = getattr(error, "reason", error)
        # MLflow has settings for certificates of one's own, which do not count here.
        return None if isinstance(reason, SSLError) else str(reason)


def require_server() -> None:
    """Find out in seconds what a call to MLflow would say after minutes.

    Raises:
        TrackingError: the tracking server cannot be reached.
    """
    reason = unreachable()
    if reason is not None:
        raise TrackingError(f"{mlflow.get_tracking_uri()} cannot be reached: {reason}")


@contextmanager
def no_patience() -> Iterator[None]:
    """Calls to MLflow fail in seconds."""
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
