"""One measurement of a benchmark, beside its rival and its target."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Row:
    """A value; where there is a rival, ``ratio`` says how many times as good the value is.

    ``holds`` says whether the target was reached: by the ratio where there is a rival, else by the
    value as its upper bound. It is None where there is no target.
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
    def against(
        cls,
        name: str,
        value: float,
        unit: str,
        rival: str,
        rival_value: float,
        target: float | None = None,
    ) -> Self:
        """A value that should be ``target`` times as good as the rival's.

        More of a rate (a unit that ends in ``/s``) is better, less of everything else.
        """
        ratio = value / rival_value if unit.endswith("/s") else rival_value / value
        holds = None if target is None else ratio >= target
        return cls(name, value, unit, rival, rival_value, ratio, target, holds)

    @classmethod
    def within(cls, name: str, value: float, unit: str, target: float) -> Self:
        """A cost that should not exceed ``target``."""
        return cls(name, value, unit, target=target, holds=value <= target)
