"""Do two videos change alike? What stays the same in a video says little: other videos have the same room too.

Two talks of one speaker, two days before one camera, two lectures at one blackboard are alike frame by frame, and in
the same order. So from the frames of each video is taken what they have in common, bit by bit, before they are compared
at the times where they should be the same. Of a copy the rest agrees: what an edit adds, a logo or another frame of
the picture, is the same in most frames and falls away too. Of others the rest agrees by chance.

Method: frames are points whose squared distances are four times the differing bits, and centring those distances by
rows and by columns, as in classical scaling, gives the products of the frames less the mean frame of each side. So no
frame is ever taken apart into bits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mediawatchd.similarity.timeline import Timeline

    Numbers = NDArray[np.intp]

LEAST_CORRELATION = 0.2
"""Of a single frame, to count as the same: unrelated ones lie within 0.1 of zero."""


class Change(NamedTuple):
    """`correlation`, 1 at most, is that of all frames that lie where both videos have some; `timeline` the same as
    the one asked about, with those of these frames that agree.
    """

    correlation: float
    timeline: Timeline


def centred(distances: Numbers) -> Numbers:
    """How alike each two frames are in what is not common to their videos: exact, in units of their own."""
    rows, columns = distances.shape
    sums = rows * distances.sum(axis=1, keepdims=True) + columns * distances.sum(axis=0, keepdims=True)
    products: Numbers = sums - distances.sum() - rows * columns * distances
    return products


def change(
    near: NDArray[np.bool_], distances: Numbers, within: tuple[Numbers, Numbers], timeline: Timeline, most_bits: int
) -> Change:
    """`near[i, j]`: frames i and j of the two videos lie at the same moment by the timeline. `within` are the
    distances among the frames of each video alone. Frames further apart than `most_bits` do not agree.
    """
    rows = np.flatnonzero(near.any(axis=1))
    if len(rows) < 2:
        return Change(0.0, timeline._replace(frames=rows[:0], others=rows[:0]))
    columns = np.flatnonzero(near[rows].any(axis=0))
    both = np.ix_(rows, columns)
    products = centred(distances[both]) / (len(rows) * len(columns))
    partners = np.where(near[both], products, -np.inf).argmax(axis=1)
    common = products[np.arange(len(rows)), partners]
    own = _squares(within[0], rows)
    others = _squares(within[1], columns)[partners]
    correlation = common.sum() / math.sqrt(max(own.sum() * others.sum(), 1.0))
    agree = (distances[rows, columns[partners]] <= most_bits) & (common >= LEAST_CORRELATION * np.sqrt(own * others))
    return Change(float(correlation), timeline._replace(frames=rows[agree], others=columns[partners[agree]]))


def alike(distances: Numbers, within: tuple[Numbers, Numbers], most_bits: int) -> NDArray[np.bool_]:
    """Which frames of two videos agree, wherever they lie; the arguments are those of `change`."""
    rows, columns = distances.shape
    own, others = (np.diagonal(centred(each)) / len(each) ** 2 for each in within)
    correlated = centred(distances) / (rows * columns) >= LEAST_CORRELATION * np.sqrt(np.outer(own, others))
    agree: NDArray[np.bool_] = correlated & (distances <= most_bits)
    return agree


def sigmas(agreeing: int, near: NDArray[np.bool_], agree: NDArray[np.bool_]) -> float:
    """By how many standard deviations more frames of the first video agree with one near them than would by chance.

    By chance a frame agrees with each of those near it as often as the two do that are not near. This overstates what
    chance does to frames of one shot, and no more than a line that is the best of hundreds overstates the other side:
    what is asked for was found by measuring. The quarter is half a frame, squared, for what never agrees by chance.
    """
    share = agree[~near].mean() if not near.all() else 0.0
    chances = 1 - (1 - share) ** near.sum(axis=1)
    return float((agreeing - chances.sum()) / math.sqrt((chances * (1 - chances)).sum() + 0.25))


def _squares(within: Numbers, frames: Numbers) -> NDArray[np.float64]:
    """Of each frame, how far it is from the mean of them all, squared."""
    squares: NDArray[np.float64] = np.diagonal(centred(within[np.ix_(frames, frames)])) / len(frames) ** 2
    return squares
