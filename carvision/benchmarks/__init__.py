"""Speed and memory against what a user would have done instead, measured in the same run."""

from carvision.benchmarks.input import input_rows
from carvision.benchmarks.preparation import preparation_rows
from carvision.benchmarks.rows import Row

__all__ = ["Row", "input_rows", "preparation_rows"]
