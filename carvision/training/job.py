"""A fold to train as one object, which is made once and passed on, even to another process.

A job can be pickled. Everything in it is decided when it is made: the process that trains it needs
neither MLflow nor the settings of the machine where it was made to know what the fold is.
Its paths start from the project's folder, in which every process works.
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

#: The format of checkpoints. It is a part of a fold's identity, so other formats are refused.
CHECKPOINT_FORMAT: Final = 3


@dataclass(frozen=True)
class FoldJob:
    """A fold to train: settings, data, fold, cache of resized photos.

    ``root`` is the folder that the manifest's paths are relative to. ``precision`` is what
    ``config.precision`` means on the machine that made the job, and ``weights_sum`` the SHA-256 of
    the file ``model.weights``, where there is one. ``study`` names the search that trains the fold
    for its score alone; it is empty if the fold's model is to be registered. ``home`` holds the
    folders of fold sets.
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
        """Make the job of training ``fold`` on this machine.

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
        """A name for messages and runs."""
        return f"{self.config.name} fold {self.fold}"

    @property
    def set_identity(self) -> dict[str, Any]:
        """Everything that changes the result of a set's folds, except the fold itself.

        The side of the cache is included, because a photo that is resized twice differs in its last
        bits. A file of weights counts by its content, not by its name.
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
        """The fold set's name: its folds share it, whatever day or machine they are trained on."""
        content = json.dumps(self.set_identity, sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        return f"{self.study}-{digest}" if self.study else digest

    @property
    def identity(self) -> dict[str, Any]:
        """The identity that a checkpoint must have for training to go on from it."""
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
    """Make the jobs of training ``folds``, with a cache of photos if one is worth its room.

    Raises:
        CarvisionError: the device or the precision is not available here; the cache takes too much
            of the disk.
        OSError: the file ``model.weights`` cannot be read.
    """
    first = FoldJob.of(config, manifest, root, folds[0], chosen_cache(config, manifest))
    return tuple(first.of_fold(fold) for fold in folds)
