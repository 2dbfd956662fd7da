"""Names and numbers that come from a registry or a store, and lead to folders, runs and aliases.

Whoever writes there may be anybody: what is no plain name is refused before it is used.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

#: Letters and digits of any alphabet, and signs that lead to no other folder.
_PLAIN = re.compile(r"[^\W_][\w.@+-]*")
_LONGEST: Final = 200
#: What MLflow calls a run.
_RUN_ID = re.compile(r"[0-9a-f]{32}")


def plain_name(name: str) -> str:
    """``name``, where it is a plain word: of letters, digits and ``_ . @ + -``, led by no sign.

    Raises:
        ValueError: it is something else, which could lead to another folder.
    """
    if not _PLAIN.fullmatch(name) or len(name.encode()) > _LONGEST:
        raise ValueError(f"{name[:100]!r} is no plain name")
    return name


def is_run_id(value: str) -> bool:
    """Whether MLflow can have given ``value`` to a run."""
    return _RUN_ID.fullmatch(value) is not None


def _run_id(value: str) -> str:
    if not is_run_id(value):
        raise ValueError(f"{value[:100]!r} is no ID of a run")
    return value


PlainName = Annotated[str, AfterValidator(plain_name)]
RunId = Annotated[str, AfterValidator(_run_id)]
#: Counted from one; True is no number.
Ordinal = Annotated[int, Field(strict=True, ge=1, le=2**31)]
