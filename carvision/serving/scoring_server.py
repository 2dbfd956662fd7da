"""Corrections of how MLflow's scoring server parses a request.

Neither a model nor its signature can change the parsers, so they are wrapped. Unwrapped, they read
no text/csv for a column of any type, answer too deeply nested JSON with status 500, and repeat the
request or show a stack trace in their errors.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from mlflow.types import Schema
from mlflow.types.schema import AnyType

from carvision.serving.errors import RequestError

_PARSERS: Final = {
    "_decode_json_input": "JSON",
    "parse_csv_input": "CSV",
    "parse_parquet_input": "Parquet",
}
_LONGEST: Final = 200
#: MLflow's code of errors about a table that a model's signature refuses.
_NO_TABLE: Final = "SCHEMA_ENFORCEMENT_FAILED"


def mend_scoring_server() -> None:
    """Wrap the parsers, once in a process; valid requests are read as before.

    A parser that another version of MLflow does not have is left out.
    """
    for name, what in _PARSERS.items():
        parser = getattr(scoring_server, name, None)
        if parser is not None and not hasattr(parser, "__wrapped__"):
            setattr(scoring_server, name, _mended(parser, what))
    answer = getattr(scoring_server, "invocations", None)
    if answer is not None and not hasattr(answer, "__wrapped__"):
        scoring_server.invocations = _without_request(answer)


def _mended(parser: Callable[..., Any], what: str) -> Callable[..., Any]:
    @wraps(parser)
    def parse(*given: Any, **named: Any) -> Any:
        try:
            return parser(*given, **_without_any_type(named))
        except RecursionError as error:
            raise RequestError(f"the request's {what} is nested too deep") from error
        # MLflow's own errors of parsing, and a number of more digits than Python converts.
        except (MlflowException, ValueError) as error:
            reason = _reason(error.__cause__ or error.__context__ or error)
            raise RequestError(f"the request is not valid {what}: {reason}") from error

    return parse


def _without_request(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``answer``, so that its error about a table that does not fit leaves the table out."""

    @wraps(answer)
    def invocations(*given: Any, **named: Any) -> Any:
        try:
            return answer(*given, **named)
        except MlflowException as error:
            if error.error_class != _NO_TABLE:
                raise
            reason = _reason(error.__context__ or error)
            raise RequestError(f"the request is no table of photos: {reason}") from error

    return invocations


def _reason(error: BaseException) -> str:
    """The first line of an error, shortened."""
    return str(error).partition("\n")[0][:_LONGEST]


def _without_any_type(named: dict[str, Any]) -> dict[str, Any]:
    """Drop a schema with columns of any type: pandas then needs no types."""
    schema = named.get("schema")
    if isinstance(schema, Schema) and any(
        isinstance(kind, AnyType) for kind in schema.input_types()
    ):
        return {**named, "schema": None}
    return named
