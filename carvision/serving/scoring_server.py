"""What MLflow's scoring server does before a model sees the request.

Two of its functions are wrapped, since neither a model nor its signature can change them: it reads
no text/csv for a column of any type, and gives JSON that is nested too deep a status 500.
"""

from functools import wraps
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from mlflow.types import Schema
from mlflow.types.schema import AnyType

_WRAPPED = "__wrapped__"


def mend_scoring_server() -> None:
    """Wrap both functions, once in a process; for other models they do as before."""
    if not hasattr(scoring_server.parse_csv_input, _WRAPPED):
        scoring_server.parse_csv_input = _reading_any_type(scoring_server.parse_csv_input)
        scoring_server._decode_json_input = _refusing_deep(scoring_server._decode_json_input)


def _reading_any_type(parse_csv_input: Any) -> Any:
    @wraps(parse_csv_input)
    def wrapped(csv_input: Any, schema: Schema | None = None) -> Any:
        if schema is not None and any(isinstance(kind, AnyType) for kind in schema.input_types()):
            schema = None
        return parse_csv_input(csv_input=csv_input, schema=schema)

    return wrapped


def _refusing_deep(decode_json_input: Any) -> Any:
    @wraps(decode_json_input)
    def wrapped(json_input: Any) -> Any:
        try:
            return decode_json_input(json_input)
        except RecursionError as error:
            raise MlflowException.invalid_parameter_value(
                "the request's JSON is nested too deep"
            ) from error

    return wrapped
