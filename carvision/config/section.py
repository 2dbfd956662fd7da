"""The base class of a configuration's sections, and the types of their values."""

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
from carvision.config.yaml_values import alternatives

Number = TypeVar("Number", int, float)
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
#: Every backbone halves the image five times, so that below 32 px nothing is left.
Pixels = Annotated[int, Field(ge=32, le=4096)]


def _ordered(ends: tuple[Number, Number]) -> tuple[Number, Number]:
    if ends[0] > ends[1]:
        raise ValueError(f"the smaller end comes first; got {list(ends)}")
    return ends


#: The two ends between which a value is drawn.
Range = Annotated[tuple[Number, Number], AfterValidator(_ordered)]
#: Images in a batch; ``auto`` is as many as fit into memory.
BatchSize = Literal["auto"] | Count


def _off_as_false(value: Any) -> Any:
    return False if isinstance(value, str) and value.lower() in ("off", "no", "false") else value


def _path(value: Any) -> Any:
    return Path(path_text(value)) if isinstance(value, str) and value else value


#: For a choice that may be False: YAML reads a quoted ``off`` as text.
OffIsFalse = BeforeValidator(_off_as_false)
#: A file of the user's, whose path may begin with ``~``.
UserFile = Annotated[Path, BeforeValidator(_path)]


class Section(BaseModel):
    """A frozen part of the configuration that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_true_for_a_number(cls, value: Any, field: ValidationInfo) -> Any:
        """YAML reads ``yes`` and ``on`` as True, which pydantic would convert to the number 1."""
        if value is True and field.field_name in _numeric(cls):
            raise ValueError("expected a number, got true")
        return value


@cache
def _numeric(section: type[Section]) -> frozenset[str]:
    """The settings of a section that may be numbers and not booleans."""
    kinds = {
        name: set(alternatives(field.annotation)) for name, field in section.model_fields.items()
    }
    return frozenset(
        name for name, kind in kinds.items() if kind & {int, float} and bool not in kind
    )
