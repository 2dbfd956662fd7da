"""Group photos that are copies: equal content, or nearly equal perceptual hashes.

A copy in another fold would be in training and in validation at once. The hash is imagehash's
``phash`` (64 bits of a DCT): copies that were scaled or compressed again differ in a few bits,
photos of different things in about 32. A mirrored photo is a copy, too, since training mirrors.
"""

from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

#: The most bits in which copies of one class differ. On real cars, the nearest photos of different
#: cars differ in 8.
LARGEST_DISTANCE = 6
#: The most bits in which copies of two classes differ. It is smaller, since neither photo of such a
#: pair is validated on.
LARGEST_DISTANCE_OF_LABELS = 4
#: Mirroring a photo changes the sign of every second column of its DCT. A bit says whether a value
#: lies above the median, which is nearly 0, so that flips the bits of these columns.
_MIRRORED = np.uint64(0x5555555555555555)


def group_duplicates(frame: pd.DataFrame) -> pd.Series:
    """Return each row's group: the smallest ``image_id`` among its exact and near duplicates.

    ``frame`` has the columns ``image_id``, ``class_index``, ``content_hash`` and
    ``perceptual_hash`` (16 hexadecimal digits).
    """
    # Distinct hashes alone are compared: a thousand blank photos would be half a million pairs.
    content, _ = pd.factorize(frame["content_hash"])
    hashes = np.array([int(value, 16) for value in frame["perceptual_hash"]], dtype=np.uint64)
    distinct, first_seen, seen_as = np.unique(hashes, return_index=True, return_inverse=True)
    label = frame["class_index"].to_numpy()[first_seen]
    first, second = _copies(distinct, label)
    # One graph of rows, contents and hashes; each row is linked to its content and its hash.
    rows = np.arange(len(frame))
    contents = len(frame) + content
    looks = 2 * len(frame) + seen_as
    near_from, near_to = 2 * len(frame) + first, 2 * len(frame) + second
    sources = np.concatenate([rows, rows, near_from])
    targets = np.concatenate([contents, looks, near_to])
    size = 2 * len(frame) + len(distinct)
    graph = coo_array((np.ones(len(sources), dtype=np.int8), (sources, targets)), (size, size))
    _, component = connected_components(graph, directed=False)
    return frame.groupby(component[: len(frame)])["image_id"].transform("min")


def _copies(
    hashes: NDArray[np.uint64], labels: NDArray[np.integer]
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return the indices of pairs of different hashes that are copies.

    The larger distance and mirrored copies are searched within each class alone: over all classes
    that would take minutes at a million photos.
    """
    pairs = [near_pairs(hashes, LARGEST_DISTANCE_OF_LABELS)]
    order = np.argsort(labels, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        both = np.concatenate([hashes[own], hashes[own] ^ _MIRRORED])
        first, second = near_pairs(both, LARGEST_DISTANCE)
        pairs.append((own[first % len(own)], own[second % len(own)]))
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return first, second


def near_pairs(
    hashes: NDArray[np.uint64], distance: int
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return the indices of all pairs of ``hashes`` ``[n]`` within ``distance`` bits.

    Of ``distance + 1`` pieces, two such hashes have at least one in common, so only hashes that
    share a piece are compared (multi-index hashing, Norouzi et al., arXiv 1307.2982).
    """
    found: list[NDArray[np.integer]] = [np.empty((0, 2), dtype=np.int64)]
    edges = np.linspace(0, 64, distance + 2).astype(int)
    for low, high in pairwise(edges):
        mask = np.uint64((1 << int(high - low)) - 1)
        piece = (hashes >> np.uint64(low)) & mask
        order = np.argsort(piece, kind="stable")
        found += _within_runs(hashes[order], piece[order], order, distance)
    pairs = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _within_runs(
    hashes: NDArray[np.uint64],
    piece: NDArray[np.uint64],
    order: NDArray[np.integer],
    distance: int,
) -> list[NDArray[np.integer]]:
    """Find near pairs in each run of equal pieces; all arrays are sorted by piece.

    Every hash is compared with the next one of its run, then with the one after that, and so on.
    Each step works on whole arrays; there are as many steps as the longest run has hashes.
    """
    found: list[NDArray[np.integer]] = []
    left = np.arange(len(hashes))
    step = 0
    while True:
        step += 1
        left = left[left + step < len(hashes)]
        left = left[piece[left] == piece[left + step]]
        if not len(left):
            return found
        near = left[np.bitwise_count(hashes[left] ^ hashes[left + step]) <= distance]
        found.append(np.stack([order[near], order[near + step]], axis=1))
