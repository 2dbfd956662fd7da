"""The augmented photos of a manifest's rows."""

from pathlib import Path

import pandas as pd

from carvision.config import Config
from carvision.data.loading.augment import Augmenter
from carvision.data.loading.cache import PhotoCache
from carvision.data.loading.sources import OriginalPhotos, PhotoSource
from carvision.data.loading.training_photos import TrainingPhotos
from carvision.models import preprocessing_of


def training_photos(
    config: Config, rows: pd.DataFrame, root: Path, cache: PhotoCache | None
) -> TrainingPhotos:
    """Augmented photos for training, from the cache where there is one, else from their files."""
    interpolation = preprocessing_of(config).interpolation
    source: PhotoSource = (
        OriginalPhotos([root / path for path in rows["path"]], interpolation)
        if cache is None
        else cache.photos(rows, interpolation)
    )
    augmenter = Augmenter(config.augmentation, config.train_image_size, config.seed)
    return TrainingPhotos(source, rows, augmenter)
