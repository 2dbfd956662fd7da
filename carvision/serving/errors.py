"""The answer to a request that fails: an HTTP status, and one sentence."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    TEMPORARILY_UNAVAILABLE,
)

from carvision.errors import CarvisionError, DataError, causes
from carvision.inference.memory import is_out_of_memory

log = logging.getLogger(__name__)


class ServingError(MlflowException):  # type: ignore[misc]
    """An error whose message stays one sentence.

    MLflow's server would add the whole request, with its photos.
    """

    @property
    def message(self) -> str:
        """The sentence."""
        return str(self.__dict__["_sentence"])

    @message.setter
    def message(self, value: str) -> None:
        self.__dict__.setdefault("_sentence", value)


class RequestError(ServingError, DataError):
    """An invalid request: status 400."""

    def __init__(self, message: str) -> None:
        super().__init__(message, error_code=INVALID_PARAMETER_VALUE)  # type: ignore[call-arg]


@contextmanager
def statuses() -> Iterator[None]:
    """Turn errors into those for which MLflow's server answers with the right status.

    Raises:
        RequestError: the request is at fault (400).
        ServingError: memory ran out (503), or the model failed (500); the server's log has more.
    """
    try:
        yield
    except Exception as error:
        if any(is_out_of_memory(each) for each in causes(error)):
            log.exception("out of memory")
            raise ServingError(
                "the server has too little memory left for this request: send fewer photos, or "
                "try again later",
                error_code=TEMPORARILY_UNAVAILABLE,
            ) from error
        if isinstance(error, DataError):
            raise RequestError(str(error)) from error
        log.exception("the model failed")
        reason = str(error) if isinstance(error, CarvisionError) else "see the server's log"
        raise ServingError(f"the model failed: {reason}", error_code=INTERNAL_ERROR) from error
