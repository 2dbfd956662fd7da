"""What the errors of a configuration say: short, and with the nearest known name."""

from collections.abc import Sequence
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError

from carvision.config.schema import Config, in_file_order
from carvision.config.words import shortened

#: Mistakes that are told at once.
_MOST = 10


def explained(error: ValidationError) -> str:
    """Every mistake by its key's full name, with what was expected and what came."""
    mistakes = error.errors()
    lines = []
    for item in mistakes[:_MOST]:
        key = shortened(".".join(str(part) for part in item["loc"]))
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown key {key!r}{nearest_setting(key)}")
        elif item["type"] == "value_error":
            lines.append(f"{key}: {item['ctx']['error']}" if key else str(item["ctx"]["error"]))
        else:
            lines.append(f"{key}: {item['msg']}; got {shortened(repr(item['input']))}")
    if len(mistakes) > _MOST:
        lines.append(f"and {len(mistakes) - _MOST:,} more")
    return "the configuration cannot be used:\n  " + "\n  ".join(lines)


def setting_names(section: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """The full name of every section and setting."""
    names = []
    for name in in_file_order(section.model_fields):
        names.append(prefix + name)
        kind = section.model_fields[name].annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += setting_names(kind, f"{prefix}{name}.")
    return names


def nearest_setting(name: str) -> str:
    """A question after the setting that ``name`` may mean; empty where none is near."""
    return nearest(name, setting_names())


def nearest(name: str, known: Sequence[str]) -> str:
    """A question after the known name that ``name`` may mean; empty where none is near."""
    found = nearest_name(name, known)
    return f" (did you mean {found!r}?)" if found else ""


def nearest_name(name: str, known: Sequence[str]) -> str | None:
    """The known name that ``name`` may mean, if one is near."""
    # A key of the right name in the wrong section, then a key misspelt, then both at once.
    by_leaf = {key.rpartition(".")[2]: key for key in reversed(known)}
    own_leaf = name.rpartition(".")[2]
    whole = get_close_matches(name, known, n=1, cutoff=0.5)
    leaf = get_close_matches(own_leaf, list(by_leaf), n=1, cutoff=0.6)
    return by_leaf.get(own_leaf) or (whole[0] if whole else by_leaf[leaf[0]] if leaf else None)
