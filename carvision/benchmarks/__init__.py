"""Speed and memory against what a user would have done instead, measured in the same run."""

from carvision.benchmarks.backbones import backbone_rows, checkpoint_rows
from carvision.benchmarks.ensembling import ensembling_rows
from carvision.benchmarks.input import input_rows
from carvision.benchmarks.preparation import preparation_rows
from carvision.benchmarks.rows import Row
from carvision.benchmarks.training import against_timm_rows, step_rows

__all__ = [
    "Row",
    "against_timm_rows",
    "backbone_rows",
    "checkpoint_rows",
    "ensembling_rows",
    "input_rows",
    "preparation_rows",
    "step_rows",
]
