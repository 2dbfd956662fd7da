"""Seven photos of noise as training sees them."""

import numpy as np
import pandas as pd

from carvision.config import load_config
from carvision.data.loading.augment import Augmenter
from carvision.data.loading.sources import OriginalPhotos
from carvision.data.loading.training_photos import TrainingPhotos

SIZE = 8
PHOTOS = 7


def seven_photos(root, count=PHOTOS):
    rows = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(count)],
            "image_id": [f"id {i}" for i in range(count)],
            "class_index": np.arange(count) * 10,
        }
    )
    source = OriginalPhotos([root / path for path in rows["path"]])
    return TrainingPhotos(source, rows, augmenter_of_seven())


def augmenter_of_seven():
    return Augmenter(load_config().augmentation, SIZE, 0)


def kept_batches(loader):
    """All batches, each copied before the next one takes its memory."""
    return [tuple(part.clone() for part in batch) for batch in loader]
