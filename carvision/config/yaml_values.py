"""Read the YAML that users write, by the type of each setting.

YAML 1.1 reads ``NO`` as False, ``001`` as 1 and ``2020-01-01`` as a date, and each may be the name
of a class: where a setting is text, its value stays text. Numbers are decimal: ``010`` is ten, and
``1:30`` is no number. Limits keep a hostile file from taking much time or memory.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from carvision.config.words import quoted, shortened
from carvision.errors import ConfigError

log = logging.getLogger(__name__)

#: The most values with aliases expanded, and the deepest nesting.
_MOST_VALUES = 100_000
_DEEPEST = 50

_TEXT, _NULL = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null"
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_MERGE = "tag:yaml.org,2002:merge"
_REPLACED = (_INT, _FLOAT, "tag:yaml.org,2002:timestamp")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with decimal numbers and without dates."""


def _whole_number(loader: yaml.SafeLoader, node: ScalarNode) -> int:
    text = node.value.replace("_", "")
    return int(text, 0 if re.match(r"[-+]?0[xXbB]", text) else 10)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag not in _REPLACED]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _INT,
    re.compile(r"[-+]?(?:[0-9][0-9_]*|0[xX][0-9a-fA-F_]+|0[bB][01_]+)\Z"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?\Z"
        r"|[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z"
    ),
    list("-+0123456789."),
)
_Loader.add_constructor(_INT, _whole_number)


def yaml_value(text: str, kind: Any) -> Any:
    """The value of YAML ``text`` for a setting of type ``kind``, None for an unknown setting.

    Raises:
        ConfigError: it is no YAML, or larger than any configuration.
    """
    try:
        node = yaml.compose(text, _Loader)
        if node is None:
            return None
        _check(node, {}, 0)
        _keep_text(node, kind)
        loader = _Loader("")
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        where = "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"
        raise ConfigError(f"{shortened(str(error.problem), 200)}{where}") from None
    except yaml.YAMLError as error:
        raise ConfigError(shortened(str(error), 200)) from None
    except (ValueError, LookupError, AttributeError) as error:
        # PyYAML raises these for a number of 5,000 digits, or a tag that does not fit its value.
        raise ConfigError(f"a value cannot be read: {shortened(str(error), 80)}") from None
    except RecursionError:
        raise ConfigError("lists or sections are nested too deep") from None


def kind_of(section: type[BaseModel], key: str) -> Any:
    """The type of the setting ``key``; None where there is no such setting."""
    kind: Any = section
    for part in key.split("."):
        fields = kind.model_fields if _is_section(kind) else {}
        kind = fields[part].annotation if part in fields else None
    return kind


def is_text(kind: Any) -> bool:
    """Whether a setting takes only text, or null."""
    kinds = list(alternatives(kind))
    return any(map(_is_word, kinds)) and all(_is_word(one) or one is NoneType for one in kinds)


def is_null(text: str) -> bool:
    """Whether YAML reads ``text`` as null."""
    return text in ("", "~", "null", "Null", "NULL")


def may_be_null(kind: Any) -> bool:
    """Whether a setting may be null."""
    return NoneType in alternatives(kind)


def _check(node: Node, sizes: dict[int, int], depth: int) -> int:
    """Count the values of ``node`` with its aliases expanded; ``sizes`` holds those of known nodes.

    Raises:
        ConfigError: it has too many values, is nested too deep, or contains itself.
    """
    if id(node) in sizes:
        size = sizes[id(node)]
        if size == 0:
            raise ConfigError("a value refers to itself")
        return size
    if depth > _DEEPEST:
        raise ConfigError("lists or sections are nested too deep")
    sizes[id(node)] = 0
    size = 1 + sum(_check(child, sizes, depth + 1) for child in _children(node))
    if size > _MOST_VALUES:
        raise ConfigError(f"it holds more than {_MOST_VALUES:,} values")
    if isinstance(node, MappingNode):
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, ScalarNode) and key.value in seen:
                log.warning(
                    "the key %s stands twice in one section: the last one counts, and everything "
                    "below the first one is left out",
                    quoted(key.value),
                )
            seen.add(str(key.value))
    sizes[id(node)] = size
    return size


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


def _keep_text(node: Node, kind: Any) -> None:
    """Mark the unquoted values of ``node`` as text where ``kind`` is text."""
    if isinstance(node, ScalarNode):
        plain = node.style is None and node.value != ""
        null = node.tag == _NULL and may_be_null(kind)
        if plain and not null and is_text(kind):
            node.tag = _TEXT
    elif isinstance(node, SequenceNode):
        for child in node.value:
            _keep_text(child, _item_kind(kind))
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            if key.tag == _MERGE:
                _keep_text(value, kind)
            elif _is_section(kind) and str(key.value) in kind.model_fields:
                _keep_text(value, kind.model_fields[key.value].annotation)


def _item_kind(kind: Any) -> Any:
    """The type of a list's items; the items of a merged list of sections are such sections."""
    for one in alternatives(kind):
        if get_origin(one) is tuple:
            return get_args(one)[0]
    return kind if _is_section(kind) else None


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_word(kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return all(isinstance(value, str) for value in get_args(kind))
    return kind in (str, Path)


def alternatives(kind: Any) -> Iterator[Any]:
    """The members of a union type, without annotations."""
    if get_origin(kind) is Annotated:
        yield from alternatives(get_args(kind)[0])
    elif get_origin(kind) not in (Literal, tuple) and get_args(kind):
        for one in get_args(kind):
            yield from alternatives(one)
    else:
        yield kind
