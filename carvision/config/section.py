"""What the sections of a configuration are made of: their base class and the kinds of values."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from carvision.config.parameters import path_text
from carvision.config.yaml_values import members

Number = TypeVar("Number", int, float)
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
#: Every backbone halves the image five times; below 32 px nothing is left of it.
Pixels = Annotated[int, Field(ge=32, le=4096)]


def _ordered(ends: tuple[Number, Number]) -> tuple[Number, Number]:
    if ends[0] > ends[1]:
        raise ValueError(f"the smaller end comes first; got {list(ends)}")
    return ends


#: The two ends between which a value is drawn.
Range = Annotated[tuple[Number, Number], AfterValidator(_ordered)]


#: Images of a batch; ``auto`` is as many as fit into memory.
BatchSize = Literal["auto"] | Count


def _word(value: Any) -> Any:
    return False if isinstance(value, str) and value.lower() in ("off", "no", "false") else value


def _path(value: Any) -> Any:
    return Path(path_text(value)) if isinstance(value, str) and value else value


#: Before a choice that may be False: in quotes, YAML leaves ``off`` a text.
OffIsFalse = BeforeValidator(_word)

#: A file of the user's, whose path may begin with ``~``.
UserFile = Annotated[Path, BeforeValidator(_path)]


class Section(BaseModel):
    """A frozen part of the configuration that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_word_for_a_number(cls, value: Any, field: ValidationInfo) -> Any:
        """YAML takes ``yes`` and ``on`` for True, which pydantic would take for the number 1."""
        if value is True and field.field_name in _numeric(cls):
            raise ValueError("expected a number, got true")
        return value


@cache
def _numeric(section: type[Section]) -> frozenset[str]:
    """The settings of a section that may be a number and are no switch."""
    kinds = {name: set(members(field.annotation)) for name, field in section.model_fields.items()}
    return frozenset(
        name for name, kind in kinds.items() if kind & {int, float} and bool not in kind
    )
