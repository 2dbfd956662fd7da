"""One measurement of a benchmark, beside its rival and its target."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Row:
    """A value; where there is a rival, ``ratio`` says how many times as good it is.

    ``holds`` is whether the target was reached: the ratio's where there is a rival, else the
    value's upper bound. None where nothing was promised.
    """

    name: str
    value: float
    unit: str
    rival: str | None = None
    rival_value: float | None = None
    ratio: float | None = None
    target: float | None = None
    holds: bool | None = None

    @classmethod
    def more_is_better(
        cls,
        name: str,
        value: float,
        unit: str,
        rival: str,
        rival_value: float,
        target: float | None = None,
    ) -> Self:
        """A rate, which should be ``target`` times the rival's."""
        ratio = value / rival_value
        holds = None if target is None else ratio >= target
        return cls(name, value, unit, rival, rival_value, ratio, target, holds)

    @classmethod
    def less_is_better(
        cls,
        name: str,
        value: float,
        unit: str,
        rival: str,
        rival_value: float,
        target: float | None = None,
    ) -> Self:
        """A cost, of which the rival should have ``target`` times as much."""
        ratio = rival_value / value
        holds = None if target is None else ratio >= target
        return cls(name, value, unit, rival, rival_value, ratio, target, holds)

    @classmethod
    def within(cls, name: str, value: float, unit: str, target: float) -> Self:
        """A cost that should stay below ``target``."""
        return cls(name, value, unit, target=target, holds=value <= target)
