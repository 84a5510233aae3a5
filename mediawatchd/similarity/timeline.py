"""Do the frames that look alike also come in the same order and pace? The fit of one clock to another.

Two episodes from one studio look alike frame by frame, but which frame resembles which is then a matter of chance. In
a copy, the most alike frame lies where the other frames say it must. Method: all lines through two matches with a
speed that a copy can have, and all lines of speed 1 through one match; the line with most frames near it wins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mediawatchd.similarity.frames import Seconds

FASTEST = 1.07
"""25 frames a second for what was filmed at 23.976 is 1.043."""
TOLERANCE = 0.75
"""How far from the line a match may lie, in sampling intervals of the coarser set."""


class Timeline(NamedTuple):
    """`time of the other = speed * time + offset_seconds`. `frames` and `others` are the agreeing matches."""

    offset_seconds: float
    speed: float
    frames: NDArray[np.intp]
    others: NDArray[np.intp]


def fit(times: Seconds, others: Seconds, matches: NDArray[np.bool_], tolerance: float) -> Timeline:
    """The line with most frames near it, within `tolerance` seconds; at least two times on each side.

    `matches[i, j]`: frame i and frame j of the other are alike. Each frame counts once. Of equally good lines the one
    with a speed nearest 1, then the one with the matches nearest to it.
    """
    rows, columns = np.nonzero(matches)
    if not len(rows):
        return Timeline(0.0, 1.0, rows, columns)
    firsts = np.unique(rows, return_index=True)[1]
    speeds, offsets = _lines(times[rows[firsts]], others[columns[firsts]])
    away = np.abs(others[columns] - speeds[:, None] * times[rows] - offsets[:, None])
    # The match of each frame that is nearest to each line.
    nearest = np.minimum.reduceat(away, firsts, axis=1)
    near = nearest <= tolerance
    best = np.lexsort((np.where(near, nearest, 0).sum(axis=1), np.abs(speeds - 1), -near.sum(axis=1)))[0]

    speed, offset = float(speeds[best]), float(offsets[best])
    chosen = []
    for start, stop in zip(firsts, [*firsts[1:], len(rows)], strict=True):
        match = start + int(np.argmin(away[best, start:stop]))
        if away[best, match] <= tolerance:
            chosen.append(match)
    frames, partners = rows[chosen], columns[chosen]
    offset = float(np.median(others[partners] - speed * times[frames])) if chosen else offset
    return Timeline(offset, speed, frames, partners)


def same_moment(times: Seconds, others: Seconds, timeline: Timeline, tolerance: float) -> NDArray[np.bool_]:
    """Which frames i and j of the two are the same moment by the timeline, within `tolerance` seconds."""
    near: NDArray[np.bool_] = _away(times, others, timeline) <= tolerance
    return near


def met(times: Seconds, others: Seconds, timeline: Timeline, tolerance: float) -> NDArray[np.bool_]:
    """The same, but a frame meets one at most: the two that are nearest to each other."""
    away = _away(times, others, timeline)
    nearest = (away == away.min(axis=1, keepdims=True)) & (away == away.min(axis=0))
    near: NDArray[np.bool_] = nearest & (away <= tolerance)
    return near


def _away(times: Seconds, others: Seconds, timeline: Timeline) -> Seconds:
    return np.abs(others - (timeline.speed * times + timeline.offset_seconds)[:, None])


def _lines(times: Seconds, others: Seconds) -> tuple[Seconds, Seconds]:
    """Speeds and offsets of the lines to try."""
    first, second = np.triu_indices(len(times), 1)
    run = times[second] - times[first]
    first, second, run = first[run > 0], second[run > 0], run[run > 0]
    speeds = (others[second] - others[first]) / run
    likely = (speeds <= FASTEST) & (speeds >= 1 / FASTEST)
    first, speeds = first[likely], speeds[likely]
    return (
        np.concatenate((np.ones(len(times)), speeds)),
        np.concatenate((others - times, others[first] - speeds * times[first])),
    )


def tolerance_of(times: Seconds, others: Seconds) -> float:
    """How far from the line a match may lie where each set shows other moments, in seconds."""
    return TOLERANCE * max(_interval(times), _interval(others))


def _interval(times: Seconds) -> float:
    """The usual number of seconds between two frames."""
    return float(np.median(np.diff(times)))
