"""Groups of photos that show the same: equal content, or nearly equal perceptual hashes.

A photo and its copy in the other fold would let validation see what training has seen. The hash is
imagehash's ``phash`` (64 bits of a DCT); copies that were scaled or compressed again differ in a
few bits, photos of different things in about 32. A mirrored copy is one, too: training mirrors.
"""

from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

#: Bits in which copies may differ. On real cars, the nearest photos of different cars differ in 8.
LARGEST_DISTANCE = 6
#: The same under two labels: a copy beyond doubt, since it costs both photos their validation.
LARGEST_DISTANCE_OF_LABELS = 4
#: Mirroring a photo turns the sign of every second column of its DCT, and so the bits that say
#: whether a value lies above the median, which is nearly 0.
_MIRRORED = np.uint64(0x5555555555555555)


def group_duplicates(frame: pd.DataFrame) -> pd.Series:
    """The group of each row: the smallest ``image_id`` among its exact and near duplicates.

    ``frame`` has the columns ``image_id``, ``class_index``, ``content_hash`` and
    ``perceptual_hash`` (16 hexadecimal digits).
    """
    # Equal hashes are one from here on: a thousand blank photos are one comparison, not a million.
    content, _ = pd.factorize(frame["content_hash"])
    hashes = np.array([int(value, 16) for value in frame["perceptual_hash"]], dtype=np.uint64)
    distinct, first_seen, seen_as = np.unique(hashes, return_index=True, return_inverse=True)
    label = frame["class_index"].to_numpy()[first_seen]
    first, second = _copies(distinct, label)
    # One graph of rows, contents and hashes; each row is tied to its content and its hash.
    rows = np.arange(len(frame))
    contents = len(frame) + content
    looks = len(frame) + len(frame) + seen_as
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
    """Indices of the pairs of different hashes that are copies.

    The wider search, which also looks into the mirror, is made within each class: over all of them
    it would cost minutes at a million photos.
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
    """Indices of all pairs of ``hashes`` ``[n]`` that differ in at most ``distance`` bits.

    Split into ``distance + 1`` pieces, two such hashes agree in one piece at least: only hashes
    that share a piece are compared (multi-index hashing, Norouzi et al., arXiv 1307.2982).
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
    """Near pairs inside each run of equal pieces; all arrays are sorted by piece.

    Every hash is compared with the next of its run, then with the one after, until no run is as
    long: as many steps as the longest run, each over whole arrays.
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
