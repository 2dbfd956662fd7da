"""Three classes of a few tiny photos, and their manifest."""

import numpy as np
from PIL import Image

from carvision.config import SplitSettings
from carvision.data.folder.layout import Layout
from carvision.data.preparation.build import build_manifest

SPLIT = SplitSettings(folds=2)


def write_photo(path, seed, size=(20, 12)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_data(root, per_class=4):
    for k, name in enumerate(("K5", "라브4", "RAV4")):
        for i in range(per_class):
            write_photo(root / "train" / name / f"{name}_{i}.jpg", 100 * k + i)
    return root


def built_manifest(root, split=SPLIT):
    layout = Layout.at(root)
    return build_manifest(layout, layout.training_photos(), split)
