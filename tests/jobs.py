"""Fold jobs without photos, for tests that train nothing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from carvision.config import Config, load_config
from carvision.contracts import ClassMap
from carvision.training.job import FoldJob


def job_of(
    overrides: str = "",
    *,
    config: Config | None = None,
    fingerprint: str = "data",
    classes: tuple[str, ...] = ("a", "b"),
    fold: int = 1,
    cache_side: int | None = None,
) -> FoldJob:
    """A job of ``config``, or of the default backbone with ``overrides``, in fp32 on a CPU."""
    config = config or load_config(overrides=f"precision=fp32 {overrides}", device="cpu")
    manifest: Any = SimpleNamespace(
        fingerprint=fingerprint,
        classes=ClassMap(classes, tuple((name,) for name in classes)),
    )
    cache: Any = None if cache_side is None else SimpleNamespace(side=cache_side)
    return FoldJob.of(config, manifest, Path("photos"), fold, cache)
