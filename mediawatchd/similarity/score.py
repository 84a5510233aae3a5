"""How alike two videos are, from their fingerprints, with the evidence.

A frame's distance is the number of differing bits to the nearest frame of the other video, 256 at most. One way of
looking (as it is or mirrored, whole or one of the two cropped) is taken for the whole pair, the one that fits best:
an edit holds for the whole video, and a free choice for each frame would only help chance. What looks alike must
also run alike (see `timeline`), change alike (see `change`), be spread over the shorter video, and show at least four
different pictures.

Measured by `benchmarks.similar` on 369 edited copies of 12 clips and 756 of what looks alike, in 697,344 pairs: without
a look at what changes, 14 pairs of others passed, lectures at one blackboard most of all. The correlation of true
copies is 0.38 and more but for some that are all but black or scroll, of others in one setting 0.38 at most, and of
all but speakers who merely sway 0.27. So 0.3 is asked for where the most alike frames lie on the timeline too, which
lets none of them pass, and 0.5 where they need not, for 5 more copies of quiet scenes; with 0.3 there 23 others passed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mediawatchd.similarity.change import centred, change
from mediawatchd.similarity.frames import MIRROR_WORDS, Frames, frames_of
from mediawatchd.similarity.timeline import Timeline, fit, same_moment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mediawatchd.hashing.fingerprint import Fingerprint
    from mediawatchd.model import SimilarVerdict
    from mediawatchd.similarity.frames import Words

    Distances = NDArray[np.intp]

DUPLICATE_BITS = 60.0
PROBABLE_BITS = 75.0
WHOLE_SHARE = 0.7
"""Of the frames, the best that are judged: a logo, a title or another ending may spoil the rest."""
PART_SHARE = 0.4
"""The same against a longer video, which has few frames where the shorter one lies."""
MATCHED_BITS = 75
"""A frame is matched up to this distance: unrelated frames lie near 128, a single frame of 16 below 75 hardly ever."""
ALIKE_BITS = 16
"""Two frames of one video up to this distance are one picture, coded twice."""
FEWEST = 4
"""Distinct matched frames without which nothing is said: stills, single shots and tiny sets never match."""
AGREEING_SHARE = 0.5
"""Of the frames of the shorter set, those that must be matched where the timeline says."""
WHOLE_LENGTH = 0.75
"""A video shorter than this part of the other is no duplicate of it, at most contained in it."""
PART_LENGTH = 0.9
"""A video longer than this part of the other cannot be contained in it."""
ALIKE_CORRELATION = 0.3
"""See `change`: less, and what changes in two videos is not the same."""
SAME_CORRELATION = 0.5
"""From here on a frame is matched also if another one, of a scene that hardly changes, is still more alike."""
LONGEST_GAP = 0.35
"""Of the frames of the shorter set, the most in a row that may be unmatched: a shared opening is one block."""
_SAME_LENGTH = 0.95


class Match(NamedTuple):
    """What was found; `verdict` None: not alike. `distance` in bits of 256.

    `offset_seconds`: where the first moment of the first video lies on the clock of the second, negative when the
    second begins later. It is no finer than the time between two frames. `matched_frames` counts the frames of
    the shorter video that are alike at the right time.
    """

    verdict: SimilarVerdict | None
    distance: float
    matched_frames: int
    offset_seconds: float
    mirrored: bool
    cropped: bool


_NOTHING = Match(None, 256.0, 0, 0.0, mirrored=False, cropped=False)


def score(a: Fingerprint, b: Fingerprint) -> Match:
    """Compare two videos. Swapping them changes nothing but the sign of the offset. Blocks for 0.2 to 2 ms."""
    if min(len(a.times), len(b.times)) < FEWEST:
        return _NOTHING
    first, second = frames_of(a), frames_of(b)
    if _rank(second, first) < _rank(first, second):
        match = _compare(second, first)
        return match._replace(offset_seconds=0.0 - match.offset_seconds)
    return _compare(first, second)


def _length(frames: Frames) -> float:
    """Seconds; a container that tells less than its last frame is not believed."""
    return max(frames.duration_seconds, float(frames.times[-1]), 0.001)


def _rank(frames: Frames, other: Frames) -> tuple[float, int, float, bytes]:
    """The lower of two is the shorter: clearly shorter in time, else with fewer frames; mirroring changes nothing."""
    length, others = _length(frames), _length(other)
    clearly = length if min(length, others) < _SAME_LENGTH * max(length, others) else 0.0
    return clearly, len(frames.times), length, min(frames.plain.tobytes(), (frames.plain ^ MIRROR_WORDS).tobytes())


def _compare(shorter: Frames, longer: Frames) -> Match:
    ways = _ways(shorter, longer)
    nearest = np.sort(ways.min(axis=2), axis=1)
    ratio = _length(shorter) / _length(longer)
    count = len(shorter.times)

    whole = nearest[:, : math.ceil(WHOLE_SHARE * count)].mean(axis=1)
    way = int(whole.argmin())
    distance = float(whole[way])
    if ratio >= WHOLE_LENGTH and distance <= PROBABLE_BITS:
        timeline = _agreement(shorter, longer, ways[way], way, AGREEING_SHARE)
        if timeline is not None:
            return _match("duplicate" if distance <= DUPLICATE_BITS else "probable", distance, timeline, way)

    part = nearest[:, : math.ceil(PART_SHARE * count)].mean(axis=1)
    way = int(part.argmin())
    if ratio <= PART_LENGTH and part[way] <= DUPLICATE_BITS:
        timeline = _agreement(shorter, longer, ways[way], way, PART_SHARE)
        if timeline is not None:
            return _match("contained", float(part[way]), timeline, way)
    return _NOTHING._replace(distance=distance)


def _ways(shorter: Frames, longer: Frames) -> Distances:
    """All distances, for each way of looking: the views; then the same mirrored."""
    left, right = (np.stack(side) for side in _views(shorter, longer))
    left = np.concatenate((left, left ^ MIRROR_WORDS))
    right = np.concatenate((right, right))
    return _distances(left, right)


def _distances(left: Words, right: Words) -> Distances:
    differing = np.bitwise_count(left[..., :, None, :] ^ right[..., None, :, :])
    distances: Distances = differing.sum(axis=-1, dtype=np.intp)
    return distances


def _views(shorter: Frames, longer: Frames) -> tuple[tuple[Words, ...], tuple[Words, ...]]:
    """Of each video: whole, shorter cropped, longer cropped."""
    return (shorter.plain, shorter.cropped, shorter.plain), (longer.plain, longer.plain, longer.cropped)


def _agreement(shorter: Frames, longer: Frames, distances: Distances, way: int, share: float) -> Timeline | None:
    """The timeline by which that share of the frames of the shorter video agree; None when too few do."""
    products = centred(distances)
    best = products.max(axis=1, keepdims=True)
    # Only the most alike frame of the longer video counts for each frame, with its equals.
    timeline = fit(shorter.times, longer.times, (products == best) & (distances <= MATCHED_BITS))
    if not len(timeline.frames):
        return None
    left, right = (side[way % len(side)] for side in _views(shorter, longer))
    within = _distances(left, left), _distances(right, right)
    near = same_moment(shorter.times, longer.times, timeline)
    found = change(near, distances, within, timeline, MATCHED_BITS)
    for agreeing, least in ((timeline, ALIKE_CORRELATION), (found.timeline, SAME_CORRELATION)):
        enough = found.correlation >= least and len(agreeing.frames) >= share * len(shorter.times)
        if enough and _convincing(shorter, longer, agreeing):
            return agreeing
    return None


def _convincing(shorter: Frames, longer: Frames, timeline: Timeline) -> bool:
    """Whether the matched frames are spread over the shorter video, and both sides show enough different pictures."""
    count = len(shorter.times)
    return _gap(timeline, count) <= LONGEST_GAP * count and all(
        _pictures(plain) >= FEWEST
        for plain in (shorter.plain[timeline.frames], longer.plain[np.unique(timeline.others)])
    )


def _pictures(plain: Words) -> int:
    """How many of the frames differ from all that were counted before, in the order of time; stops at enough."""
    kept: list[int] = []
    distances = _distances(plain, plain)
    for frame in range(len(plain)):
        if len(kept) < FEWEST and (distances[frame, kept] > ALIKE_BITS).all():
            kept.append(frame)
    return len(kept)


def _gap(timeline: Timeline, count: int) -> int:
    """The most frames of the shorter set in a row that are not matched."""
    edges = np.concatenate(([-1], timeline.frames, [count]))
    return int(np.diff(edges).max()) - 1


def _match(verdict: SimilarVerdict, distance: float, timeline: Timeline, way: int) -> Match:
    return Match(
        verdict,
        distance,
        len(timeline.frames),
        timeline.offset_seconds + 0.0,  # never -0.0
        mirrored=way >= 3,
        cropped=way % 3 != 0,
    )
