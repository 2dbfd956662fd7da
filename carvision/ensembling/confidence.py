"""The confidence of an ensemble in each photo, and the disagreement of its members.

Disagreement is the members' weighted Jensen-Shannon divergence (Lin, "Divergence measures based on
the Shannon entropy", 1991): the mean over members of ``KL(member || their mixture)``, which equals
the entropy of their mixture minus the mean of their entropies. In nats, from 0 if all members
predict the same to the entropy of the weights if each is certain of another class.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.metrics import CLIP, entropy

#: Classes that the table lists for each photo.
TOP: Final = 3


def disagreement(
    members: Sequence[NDArray[np.floating]], weights: Sequence[float]
) -> NDArray[np.float64]:
    """The disagreement of the members' probabilities, each ``[images, classes]``: ``[images]``."""
    total = sum(weights)
    mixed = np.zeros_like(members[0], dtype=np.float64)
    own = np.zeros(len(mixed))
    for member, weight in zip(members, weights, strict=True):
        mixed += weight / total * member
        own += weight / total * entropy(_log(member))
    # Rounding may give members that agree a value slightly below zero.
    return np.maximum(entropy(_log(mixed)) - own, 0.0)


def confidence_table(
    image_ids: Sequence[str],
    submitted: NDArray[np.floating],
    members: Sequence[NDArray[np.floating]],
    weights: Sequence[float],
    class_names: Sequence[str],
    unreadable: Mapping[str, str] = MappingProxyType({}),
) -> pd.DataFrame:
    """A table with a row a photo, those of the highest disagreement first.

    ``submitted`` and each of ``members`` are probabilities ``[images, classes]``. The columns are
    ``image_id``, ``unreadable`` (why a photo was not predicted, else empty), ``confidence`` (the
    largest submitted probability), ``entropy`` and ``disagreement`` in nats, and ``class_1``,
    ``probability_1`` to ``class_3``, ``probability_3``.
    """
    table = pd.DataFrame(
        {
            "image_id": list(image_ids),
            "unreadable": [unreadable.get(image_id, "") for image_id in image_ids],
            "confidence": submitted.max(axis=1),
            "entropy": entropy(_log(submitted)),
            "disagreement": disagreement(members, weights),
        }
    )
    names = np.array(class_names, dtype=object)
    ranked = np.argsort(-submitted, axis=1, kind="stable")[:, :TOP]
    for place, classes in enumerate(ranked.T, start=1):
        table[f"class_{place}"] = names[classes]
        table[f"probability_{place}"] = submitted[np.arange(len(submitted)), classes]
    return table.sort_values(
        ["disagreement", "entropy"], ascending=False, kind="stable", ignore_index=True
    )


def _log(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.log(np.maximum(probabilities, CLIP, dtype=np.float64))
