"""A fold's result that is made up."""

from pathlib import Path

import numpy as np
import pandas as pd

from carvision.contracts import VIEWS, Predictions
from carvision.training import FoldResult


def fold_result(folder: Path, fold: int = 1, batch_size: int = 16) -> FoldResult:
    """Two photos of three classes; the weights, which are not written, lie in ``folder``."""
    index = pd.DataFrame({"image_id": ["b", "a"], "class_index": [1, 0], "fold": fold})
    values = np.log(np.random.default_rng(fold).dirichlet([1.0] * 3, (len(VIEWS), 2)))
    return FoldResult(
        fold=fold,
        best_epoch=2,
        averaged=True,
        batch_size=batch_size,
        metrics={"val/log_loss": 0.5},
        weights=folder / "best.safetensors",
        predictions=Predictions(index, VIEWS, values.astype(np.float32)),
        epochs_true_class=np.float32([[-1.5, -0.5], [-1.0, -0.25], [-2.0, -0.125]]),
        measured={"predict/seconds_per_1000": 6.25},
    )
