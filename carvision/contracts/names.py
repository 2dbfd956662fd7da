"""Types of names and numbers that are read from a registry or a store.

Anybody may have written them: they are checked before they become part of a path, an alias or a
query.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from carvision.files import plain_name

_RUN_ID = re.compile(r"[0-9a-f]{32}")


def is_run_id(value: str) -> bool:
    """Whether ``value`` has the form of a run's ID in MLflow."""
    return _RUN_ID.fullmatch(value) is not None


def _run_id(value: str) -> str:
    if not is_run_id(value):
        raise ValueError(f"{value[:100]!r} is not the ID of a run")
    return value


PlainName = Annotated[str, AfterValidator(plain_name)]
RunId = Annotated[str, AfterValidator(_run_id)]
#: Counted from one; strict, since pydantic would take True for 1.
Ordinal = Annotated[int, Field(strict=True, ge=1, le=2**31)]
