"""One fold's training as one object: made once, handed down, and good in any process.

A job pickles, and everything in it was decided when it was made: a process that gets one asks
neither MLflow nor the machine what the fold is.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from carvision.config import Config
from carvision.data.loading.cache import PhotoCache
from carvision.data.loading.cache_choice import chosen_cache
from carvision.data.manifest import Manifest
from carvision.files import sha256_of
from carvision.inference import resolved_precision
from carvision.workspace import FOLDS

#: The format of checkpoints, which is a part of a fold's identity: another one is refused.
CHECKPOINT_FORMAT: Final = 3


@dataclass(frozen=True)
class FoldJob:
    """A fold to train: settings, data, fold, cache of resized photos.

    ``root`` is the folder that the manifest's paths are relative to. ``precision`` is what
    ``config.precision`` means on the machine that made the job, and ``weights_sum`` the SHA-256 of
    the file ``model.weights``, where there is one. ``study`` names the search that trains the fold
    for its score alone; empty where its model is to be registered. ``home`` is where the folders of
    fold sets lie.
    """

    config: Config
    manifest: Manifest
    root: Path
    fold: int
    cache: PhotoCache | None
    precision: str
    weights_sum: str | None
    study: str = ""
    home: Path = FOLDS

    @classmethod
    def of(
        cls,
        config: Config,
        manifest: Manifest,
        root: Path,
        fold: int,
        cache: PhotoCache | None = None,
    ) -> Self:
        """The job of training ``fold`` on this machine.

        Raises:
            ConfigError: the device or the precision is not available here.
            OSError: the file ``model.weights`` cannot be read.
        """
        weights = config.model.weights
        weights_sum = None if weights is None else sha256_of(weights)
        return cls(config, manifest, root, fold, cache, resolved_precision(config), weights_sum)

    def of_fold(self, fold: int) -> Self:
        """The job of another fold of the same set."""
        return replace(self, fold=fold)

    @property
    def name(self) -> str:
        """For messages and run names."""
        return f"{self.config.name} fold {self.fold}"

    @property
    def set_identity(self) -> dict[str, Any]:
        """Everything that changes the result of a set's folds, beside the fold.

        A cache is a part of it: a photo that was resized twice has other last bits. Of a weights
        file the content counts, not the name.
        """
        settings = self.config.result_settings()
        settings["model"]["weights"] = self.weights_sum
        return settings | {
            "cache_side": None if self.cache is None else self.cache.side,
            "precision": self.precision,
            "fingerprint": self.manifest.fingerprint,
        }

    @property
    def set_id(self) -> str:
        """The name of the fold set: folds trained on other days or machines have the same."""
        content = json.dumps(self.set_identity, sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        return f"{self.study}-{digest}" if self.study else digest

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must have been written for, to be gone on from."""
        settings = self.set_identity
        return settings | {
            "data": settings.pop("fingerprint"),
            "checkpoint": CHECKPOINT_FORMAT,
            "classes": list(self.manifest.classes.names),
            "fold": self.fold,
        }

    @property
    def folder(self) -> Path:
        """The fold's files until MLflow has them: checkpoints, event log, result."""
        return self.set_folder / f"fold{self.fold}"

    @property
    def set_folder(self) -> Path:
        """The folders of the set's folds."""
        return self.home / self.set_id


def fold_jobs(
    config: Config, manifest: Manifest, root: Path, folds: Sequence[int]
) -> tuple[FoldJob, ...]:
    """The jobs of training ``folds``; they read from a cache of photos where one is worth it.

    Raises:
        CarvisionError: the device or the precision is not available here; the cache takes too much
            of the disk.
        OSError: the file ``model.weights`` cannot be read.
    """
    first = FoldJob.of(config, manifest, root, folds[0], chosen_cache(config, manifest))
    return tuple(first.of_fold(fold) for fold in folds)
