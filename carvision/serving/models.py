"""The pyfunc models that ``mlflow.pyfunc.load_model`` loads.

Models registered before import :class:`MemberModel` and :class:`EnsembleModel` from here.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel
from numpy.typing import NDArray
from torch import nn

from carvision.config import LoaderConfig
from carvision.contracts import VIEWS, read_spec
from carvision.ensembling.mix import mix
from carvision.inference import (
    ComputeSettings,
    PhotosToPredict,
    available_device,
    predict_member,
    resolve_precision,
)
from carvision.library_settings import set_up_libraries
from carvision.models import Bundle, read_bundle
from carvision.serving.artifacts import loaded_artifact, logged_at
from carvision.serving.errors import statuses
from carvision.serving.fetching import fetching_folder
from carvision.serving.limits import Limits
from carvision.serving.model_io import SERVE_DEVICE, encoded_photos, paths_allowed
from carvision.serving.scoring_server import mend_scoring_server
from carvision.store.model_files import BUNDLE, SPEC
from carvision.store.pins import pinned_members

_BATCH = 32


@dataclass(frozen=True)
class _ResidentBundle(Bundle):
    """A bundle that keeps its models in memory, since a server answers many requests."""

    models: dict[int, nn.Module] = field(default_factory=dict)

    def load_fold(self, fold: int) -> nn.Module:
        if fold not in self.models:
            self.models[fold] = super().load_fold(fold)
        return self.models[fold]


def _resident(bundle: Bundle) -> _ResidentBundle:
    """Load all weights of ``bundle`` into memory; its folder is not needed any more."""
    resident = _ResidentBundle(
        bundle.folder, bundle.config, bundle.classes, bundle.preprocessing, bundle.folds
    )
    for fold in resident.folds:
        resident.load_fold(fold)
    return resident


class _PhotoModel(PythonModel):  # type: ignore[misc]
    """What both models share: their input, and how they compute."""

    def load_context(self, context: Any) -> None:
        set_up_libraries()
        mend_scoring_server()
        settings = context.model_config or {}
        self._allow_paths = paths_allowed(settings)
        self._limits = Limits.of(settings)
        device = available_device(settings.get(SERVE_DEVICE, "auto"))
        # Without workers: a server runs requests in parallel by itself.
        precision = resolve_precision("auto", device)
        self._compute = ComputeSettings(device, precision, _BATCH, LoaderConfig(workers=0))

    # MLflow reads the type hints, and takes any but a table's for a schema.
    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict each photo: a column of probabilities for each class, by name."""
        with statuses():
            photos = encoded_photos(model_input, allow_paths=self._allow_paths)
            self._limits.check(photos)
            names = self._class_names()
            if not photos:
                return pd.DataFrame(columns=list(names), dtype=np.float64)
            return pd.DataFrame(self._probabilities(photos), columns=list(names))

    @abstractmethod
    def _class_names(self) -> tuple[str, ...]:
        """The names of the output's columns."""

    @abstractmethod
    def _probabilities(self, photos: Sequence[Path | bytes]) -> NDArray[np.floating]:
        """The probabilities ``[images, classes]``."""


class MemberModel(_PhotoModel):
    """A backbone, by the mean of its folds on the original view."""

    def load_context(self, context: Any) -> None:
        super().load_context(context)
        self._bundle = _resident(read_bundle(loaded_artifact(context, BUNDLE)))

    def _class_names(self) -> tuple[str, ...]:
        return self._bundle.classes.names

    def _probabilities(self, photos: Sequence[Path | bytes]) -> NDArray[np.floating]:
        compute = self._compute.for_model(self._bundle.config)
        return predict_member(self._bundle, PhotosToPredict(photos), {VIEWS[0]: 1.0}, compute)[0]


class EnsembleModel(_PhotoModel):
    """An ensemble; its members are fetched from the registry at the versions that it pins."""

    def load_context(self, context: Any) -> None:
        super().load_context(context)
        artifact = loaded_artifact(context, SPEC)
        self._spec = read_spec(artifact).with_views(VIEWS)
        versions = pinned_members(self._spec, None if self._spec.pinned else logged_at(artifact))
        self._bundles = []
        for version in versions:
            with fetching_folder() as folder:
                bundle = version.fetch(folder, self._spec.classes)
                self._bundles.append(_resident(bundle))

    def _class_names(self) -> tuple[str, ...]:
        return self._spec.class_names

    def _probabilities(self, photos: Sequence[Path | bytes]) -> NDArray[np.floating]:
        given = PhotosToPredict(photos)
        members = [
            predict_member(
                bundle, given, member.active_temperatures, self._compute.for_model(bundle.config)
            )
            for bundle, member in zip(self._bundles, self._spec.members, strict=True)
        ]
        return mix(members, self._spec.active_weights, self._spec.mixing)
