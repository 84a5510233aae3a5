"""How alike two videos are, from their fingerprints, with the evidence.

A frame's distance is the number of differing bits to the nearest frame of the other video, 256 at most. One way of
looking (as it is or mirrored, whole or one of the two cropped) is taken for the whole pair, the one that fits best:
an edit holds for the whole video, and a free choice for each frame would only help chance. What looks alike must
also run alike (see `timeline`), change alike (see `change`) and by more than chance, be spread over the shorter video,
and show at least four different pictures. Where that says nothing, as most frames of two long films may show other
moments (see `sampling`), those that show the same one decide; and where hardly any do, those that may be of one shot.

Measured by `benchmarks.similar` on 369 edited copies of 12 clips and 756 of what looks alike, in 697,344 pairs: without
a look at what changes, 14 pairs of others passed, lectures at one blackboard most of all. The correlation of true
copies is 0.38 and more but for some that are all but black or scroll, of others in one setting 0.38 at most, and of
all but speakers who merely sway 0.27. So 0.3 is asked for where the most alike frames lie on the timeline too, which
lets none of them pass, and 0.5 where they need not, for 5 more copies of quiet scenes; with 0.3 there 23 others passed.

Of 156 pairs of long films cut from real shots, in other encodings, 138 share seven moments or more, nearly all of which
look the same, with a correlation of 0.7 and more; the others begin later and have their keyframes elsewhere. Of 510
pairs of other films none shares four. Of what looks alike some talking heads share all, at 0.44 at most. Of films that
begin later, with keyframes at fixed distances, a third to a half of the frames have one of the same shot within a
second.

Shows with a few still cameras are alike at any moment, and there are lines of time on which most frames agree. Of 1,650
pairs of drawn talk shows with two cameras 116 passed as long films and 10 as clips. With a look at chance none passes,
and of 96 of their own copies 83 are found for 93: not those of a long film whose keyframes lie elsewhere.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mediawatchd.similarity.change import alike, centred, change, sigmas
from mediawatchd.similarity.frames import MIRROR_WORDS, Frames, frames_of
from mediawatchd.similarity.timeline import Timeline, fit, met, same_moment, tolerance_of

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
LONGEST_GAP = 0.376
"""Of the shorter video, the longest time without a matched frame: a shared opening is one block."""
SLACK = 0.05
"""Of the longer video, what copies of the whole may reach beyond each other on each side."""
MOMENT_SECONDS = 0.1
"""Two frames no further apart show the same moment: more, and one of them may lie before a cut and the other at it."""
FEWEST_MOMENTS = 6
"""Of these, the fewest that must be matched: four were once alike by chance, of two lectures at one blackboard."""
MOMENT_SHARE = 0.8
"""Of the frames that show the same moment in both videos, those that must be matched."""
MOMENT_CORRELATION = 0.55
"""What they must have in common of what changes, see `change`: copies have 0.7 and more, cropped ones 0.57."""
SHOT_SECONDS = 1.0
"""Two frames no further apart are of one shot more often than not."""
LEAST_SIGMAS = 3.0
"""By so many standard deviations more frames must agree than would by chance, see `sigmas`."""
SHOT_SIGMAS = 6.0
"""The same for frames of one shot: shows of six settings, in shots of 8 s and more, reached 5.4."""
_SAME_LENGTH = 0.95


class _Rule(NamedTuple):
    """What is asked of the frames that lie no further apart than `seconds`, and whether that makes a duplicate."""

    seconds: float
    least_correlation: float
    least_sigmas: float
    is_certain: bool


_OF_MOMENTS = _Rule(MOMENT_SECONDS, MOMENT_CORRELATION, LEAST_SIGMAS, is_certain=True)
_OF_SHOTS = _Rule(SHOT_SECONDS, ALIKE_CORRELATION, SHOT_SIGMAS, is_certain=False)


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
    """Compare two videos. Swapping them changes nothing but the sign of the offset. Blocks for 0.2 to 5 ms."""
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
    if ratio >= WHOLE_LENGTH:
        if distance <= PROBABLE_BITS:
            timeline = _agreement(shorter, longer, ways[way], way, AGREEING_SHARE)
            if timeline is not None and _side_by_side(shorter, longer, timeline):
                return _match(distance, timeline, way)
        for rule in (_OF_MOMENTS, _OF_SHOTS):
            match = _by_places(shorter, longer, ways, rule)
            if match is not None:
                return match

    part = nearest[:, : math.ceil(PART_SHARE * count)].mean(axis=1)
    way = int(part.argmin())
    if ratio <= PART_LENGTH and part[way] <= DUPLICATE_BITS:
        timeline = _agreement(shorter, longer, ways[way], way, PART_SHARE)
        if timeline is not None:
            return _match(float(part[way]), timeline, way)._replace(verdict="contained")
    return _NOTHING._replace(distance=distance)


def _by_places(shorter: Frames, longer: Frames, ways: Distances, rule: _Rule) -> Match | None:
    """What two videos of which few moments are the same say: their keyframes lie elsewhere, or one begins later.

    Nothing is asked of the frames that lie too far from all others. Of those that show the same moment most must be
    matched; fewer than six may lie so near each other by accident, and are not asked.
    """
    nearest = ways.min(axis=2)
    count = (nearest <= MATCHED_BITS).sum(axis=1)
    way = int(np.lexsort((nearest.sum(axis=1), -count))[0])
    if count[way] < FEWEST_MOMENTS:
        return None
    distances = ways[way]
    best = distances.min(axis=1, keepdims=True)
    matches = (distances == best) & (distances <= MATCHED_BITS)
    timeline = fit(shorter.times, longer.times, matches, rule.seconds)
    near = met(shorter.times, longer.times, timeline, rule.seconds)
    common = np.sort(np.where(near, distances, 256).min(axis=1)[near.any(axis=1)])
    if len(common) < FEWEST_MOMENTS:
        return None
    within = _within(shorter, longer, way)
    found = change(near, distances, within, timeline, MATCHED_BITS)
    matched = found.timeline.frames
    moments = np.flatnonzero(met(shorter.times, longer.times, timeline, MOMENT_SECONDS).any(axis=1))
    distance = float(common[: math.ceil(WHOLE_SHARE * len(common))].mean())
    if (
        distance <= PROBABLE_BITS
        and _side_by_side(shorter, longer, timeline)
        and found.correlation >= rule.least_correlation
        and len(matched) >= FEWEST_MOMENTS
        and (len(moments) < FEWEST_MOMENTS or np.isin(moments, matched).sum() >= MOMENT_SHARE * len(moments))
        and _convincing(shorter, longer, found.timeline)
        and sigmas(len(matched), near, alike(distances, within, MATCHED_BITS)) >= rule.least_sigmas
    ):
        match = _match(distance, found.timeline, way)
        return match if rule.is_certain else match._replace(verdict="probable")
    return None


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
    tolerance = tolerance_of(shorter.times, longer.times)
    matches = (products == best) & (distances <= MATCHED_BITS)
    timeline = fit(shorter.times, longer.times, matches, tolerance)
    if not len(timeline.frames):
        return None
    near = same_moment(shorter.times, longer.times, timeline, tolerance)
    within = _within(shorter, longer, way)
    found = change(near, distances, within, timeline, MATCHED_BITS)
    for agreeing, least, agree in (
        (timeline, ALIKE_CORRELATION, matches),
        (found.timeline, SAME_CORRELATION, alike(distances, within, MATCHED_BITS)),
    ):
        if (
            found.correlation >= least
            and len(agreeing.frames) >= share * len(shorter.times)
            and _convincing(shorter, longer, agreeing)
            and sigmas(len(agreeing.frames), near, agree) >= LEAST_SIGMAS
        ):
            return agreeing
    return None


def _within(shorter: Frames, longer: Frames, way: int) -> tuple[Distances, Distances]:
    """The distances among the frames of each video alone, in this way of looking."""
    left, right = (side[way % len(side)] for side in _views(shorter, longer))
    return _distances(left, left), _distances(right, right)


def _convincing(shorter: Frames, longer: Frames, timeline: Timeline) -> bool:
    """Whether the matched frames are spread over the shorter video, and both sides show enough different pictures."""
    return _gap(shorter, timeline) <= LONGEST_GAP and all(
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


def _gap(shorter: Frames, timeline: Timeline) -> float:
    """The longest part of the shorter video without a matched frame."""
    length = _length(shorter)
    return float(np.diff(np.concatenate(([0], shorter.times[timeline.frames], [length]))).max() / length)


def _side_by_side(shorter: Frames, longer: Frames, timeline: Timeline) -> bool:
    """Whether hardly anything of the shorter video lies before or after the longer one, as far as the timeline says."""
    length = _length(longer)
    begin = timeline.offset_seconds
    end = begin + timeline.speed * _length(shorter)
    return -SLACK * length <= begin and end <= (1 + SLACK) * length


def _match(distance: float, timeline: Timeline, way: int) -> Match:
    return Match(
        "duplicate" if distance <= DUPLICATE_BITS else "probable",
        distance,
        len(timeline.frames),
        timeline.offset_seconds + 0.0,  # never -0.0
        mirrored=way >= 3,
        cropped=way % 3 != 0,
    )
