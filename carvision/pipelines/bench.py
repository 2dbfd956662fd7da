"""One benchmark: measured, shown as a table, logged as a run, written as JSON."""

import json
import os
import platform
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carvision.benchmarks.rows import Row
from carvision.config import SplitSettings, list_models, load_config, load_run_settings
from carvision.data.loading.cache_choice import chosen_cache
from carvision.data.preparation.build import divided
from carvision.errors import ConfigError
from carvision.files import check_writable, replacing_output, scratch_folder, write_json
from carvision.pipelines.command import command_run, show_address
from carvision.pipelines.prepare.prepared_data import PreparedData, check_data, prepared_data
from carvision.reporting.console import announce, progress
from carvision.reporting.tables import show_benchmark
from carvision.tracking.outbox.record import log_metrics, log_text, set_tags
from carvision.tracking.outbox.steps import recorded


def _input(prepared: PreparedData, work: Path) -> list[Row]:
    from carvision.benchmarks.input import Extent, input_rows

    extent = Extent()
    with progress("measuring", extent.measurements) as advance:
        return input_rows(_pictures(prepared), work, extent, advance)


def _prepare(prepared: PreparedData, work: Path) -> list[Row]:
    from carvision.benchmarks.preparation import preparation_rows

    announce("writing 33,137 photos (2 to 4 GB below work/), scanning them, and a million rows")
    return preparation_rows(_pictures(prepared), work)


def _train(prepared: PreparedData, work: Path) -> list[Row]:
    """On one split of three quarters and a quarter of the photos."""
    from carvision.benchmarks.training import against_timm_rows, step_rows
    from carvision.data.loading.cache import PhotoCache
    from carvision.training.job import FoldJob

    config = load_config()
    announce("training by our recipe, then by timm's script with three learning rates")
    # Folds of this run alone: the user's own stay as they are.
    frame, classes = prepared.manifest.frame, prepared.manifest.classes
    quarters = divided(frame, classes, SplitSettings(folds=4))
    cache = chosen_cache(config, prepared.manifest)
    if cache is not None:
        # A cache of its own, so that writing it is a part of what is measured.
        cache = PhotoCache(work / "cache", quarters, cache.side)
    job = FoldJob.of(config, quarters, prepared.layout.root, 1, cache)
    return step_rows(config) + against_timm_rows(job, work)


def _backbones(prepared: PreparedData, work: Path) -> list[Row]:
    from carvision.benchmarks.backbones import backbone_rows, checkpoint_rows

    configs = [load_config(name) for name in list_models()]
    plan = [config for config in configs if config.model.starter is None]
    with progress("one step each", len(plan)) as advance:
        rows = backbone_rows(plan, progress=advance)
    return rows + checkpoint_rows(load_config("swin_large"), work)


def _tune(prepared: PreparedData, work: Path) -> list[Row]:
    from carvision.benchmarks.ensembling import ensembling_rows
    from carvision.optuna_storage import quiet_optuna

    quiet_optuna()
    return ensembling_rows(work, progress=announce)


def _pictures(prepared: PreparedData) -> list[NDArray[np.uint8]]:
    from carvision.benchmarks.photos import pictures

    paths = [prepared.layout.root / path for path in prepared.manifest.usable["path"]]
    return pictures(paths, count=64)


BENCHMARKS: dict[str, Callable[[PreparedData, Path], list[Row]]] = {
    "input": _input,
    "prepare": _prepare,
    "train": _train,
    "backbones": _backbones,
    "tune": _tune,
}


def bench(what: str, data: str, output: str) -> list[Row]:
    """Run the benchmark ``what`` with photos like those of ``data``: the entry point.

    Raises:
        ConfigError: there is no such benchmark, or ``output`` cannot be written.
    """
    if what not in BENCHMARKS:
        raise ConfigError(f"what={what!r}: expected one of {', '.join(BENCHMARKS)}")
    check_data(data)
    if output:
        check_writable(Path(output))
    with command_run("bench", f"bench {what}") as run, recorded(run):
        prepared = prepared_data(load_run_settings("prepare"), data)
        announce(f"on {machine()}")
        set_tags({"carvision.machine": machine()})
        with scratch_folder() as work:
            rows = BENCHMARKS[what](prepared, work)
        table = [asdict(row) for row in rows]
        log_text(json.dumps({"rows": table}, indent=2), "bench.json")
        log_metrics({_metric_name(row): row.value for row in rows})
        if output:
            with replacing_output(Path(output)) as temporary:
                write_json(temporary, table)
            announce(f"written to {output}")
        show_benchmark(what, table)
        show_address(run)
    return rows


def _metric_name(row: Row) -> str:
    """Name a row's metric, without the signs that MLflow refuses."""
    name = f"{row.name} vs {row.rival}" if row.rival else row.name
    return re.sub(r"[^\w\-. :/]", "", name)


def machine() -> str:
    """Describe the machine: processor, cores and memory."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = model[1] if model else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"
