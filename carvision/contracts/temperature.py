"""Temperature scaling of log-probabilities (Guo et al., arXiv 1706.04599)."""

import numpy as np
from numpy.typing import NDArray


def tempered(
    log_probabilities: NDArray[np.floating], temperature: float | NDArray[np.floating]
) -> NDArray[np.floating]:
    """Log-probabilities divided by a temperature and normalised again over the last axis."""
    scaled = log_probabilities / temperature
    peak = scaled.max(axis=-1, keepdims=True)
    return scaled - peak - np.log(np.exp(scaled - peak).sum(axis=-1, keepdims=True))
