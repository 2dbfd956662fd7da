"""One module for each entry point: the order of its steps, in plain words."""

from carvision.pipelines.bench import bench
from carvision.pipelines.ensemble import ensemble
from carvision.pipelines.hpo import hpo
from carvision.pipelines.main import main
from carvision.pipelines.prepare import prepare
from carvision.pipelines.session import run_entry_point
from carvision.pipelines.sync import sync
from carvision.pipelines.train import train
from carvision.pipelines.tune import tune

__all__ = [
    "bench",
    "ensemble",
    "hpo",
    "main",
    "prepare",
    "run_entry_point",
    "sync",
    "train",
    "tune",
]
