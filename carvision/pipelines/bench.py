"""One benchmark: measured, shown as a table, logged as a run, written as JSON."""

import os
import platform
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import mlflow
import numpy as np
from numpy.typing import NDArray

from carvision.benchmarks import Row, input_rows, preparation_rows
from carvision.benchmarks.input import CONTENDERS, IMAGE_SIZES, PASSES, PHOTO_SIZES
from carvision.benchmarks.photos import pictures
from carvision.config import load_config
from carvision.errors import ConfigError
from carvision.files import scratch_folder, write_json
from carvision.pipelines.prepare import prepared_data
from carvision.pipelines.session import announce, show_address
from carvision.reporting.console import progress
from carvision.reporting.tables import show_benchmark
from carvision.tracking.store import tracked_run

Originals = list[NDArray[np.uint8]]


def _input(originals: Originals, work: Path) -> list[Row]:
    total = len(PHOTO_SIZES) * len(IMAGE_SIZES) * CONTENDERS * PASSES
    with progress("measuring", total) as advance:
        return input_rows(originals, work, progress=advance)


def _prepare(originals: Originals, work: Path) -> list[Row]:
    announce("writing 33,137 photos (2 to 4 GB below work/), scanning them, and a million rows")
    return preparation_rows(originals, work)


BENCHMARKS: dict[str, Callable[[Originals, Path], list[Row]]] = {
    "input": _input,
    "prepare": _prepare,
}


def bench(what: str, data: str, output: str) -> list[Row]:
    """The entry point: run the benchmark ``what`` with photos like those of ``data``.

    Raises:
        ConfigError: there is no such benchmark.
    """
    if what not in BENCHMARKS:
        raise ConfigError(f"what={what!r}: expected one of {', '.join(BENCHMARKS)}")
    with tracked_run("bench", f"bench {what}") as run:
        prepared = prepared_data(load_config(), data)
        paths = [prepared.layout.root / path for path in prepared.manifest.usable["path"]]
        announce(f"on {machine()}")
        mlflow.set_tag("carvision.machine", machine())
        with scratch_folder() as work:
            rows = BENCHMARKS[what](pictures(paths, count=64), work)
        table = [asdict(row) for row in rows]
        mlflow.log_dict({"rows": table}, "bench.json")
        mlflow.log_metrics({_metric_name(row): row.value for row in rows})
        if output:
            write_json(Path(output), table)
            announce(f"written to {output}")
        show_benchmark(what, table)
        show_address(run)
    return rows


def _metric_name(row: Row) -> str:
    """The row's name and rival without the signs that MLflow refuses."""
    name = f"{row.name} vs {row.rival}" if row.rival else row.name
    return re.sub(r"[^\w\-. :/]", "", name)


def machine() -> str:
    """The machine in words: its processor, cores and memory."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = model[1] if model else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"
