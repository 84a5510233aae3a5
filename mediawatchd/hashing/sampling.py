"""Which frames of a video make its fingerprint, and the fingerprint made of them.

Runs in decode processes only. Exact frames are the better ones, as two files of one content then show the same
ones; but on the way to them much is decoded. So short videos have nothing else. Long ones have their keyframes, and
a few exact frames where these are paid for: each `video_phash` has four of them anyway.

Encoders put keyframes where they like, at cuts or each two seconds: of 156 pairs of long films in other encodings 44
are found by keyframes alone. With seven exact frames all 123 are that are of one length. What begins or ends some
seconds apart is known by keyframes at cuts: some are taken side by side, so that both files have the same ones.

Measured in CPU seconds: exact frames of clips of 4 to 10 s at up to 960 by 540 cost 0.1 to 0.6, of a minute at 1080p
5.0; a keyframe at 1080p 0.02 and an exact frame 0.2 to 0.6, as each is half a group of pictures away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from mediawatchd.hashing.fingerprint import Fingerprint
from mediawatchd.hashing.signature import SIDE, hashes
from mediawatchd.hashing.upright import filtered, turning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from mediawatchd.hashing.frames import Frames

CHEAP_PIXELS = 1.6e9
_MOST_PIXELS = 12e9  # about 20 seconds of decoding: beyond, what there is of keyframes must do
_FEWEST_KEYFRAMES = 8  # with one each ten seconds, the most that encoders leave between, there are so many
_TWENTIETHS = range(1, 20)
_FEW_TWENTIETHS = range(4, 17, 2)  # 4, 8, 12 and 16 are those of `video_phash`
_WINDOWS = 4
_STEPS = range(-6, 7)
_STEP_SECONDS = 1.5  # shorter than most shots: of keyframes at cuts hardly one is left out
_KEYFRAMES_EACH = 6


class Sample(NamedTuple):
    """One frame, small and grey; `time` in seconds since the start."""

    time: float
    picture: NDArray[np.uint8]


class Sampler:
    """Owned by the thread that made it."""

    def __init__(self) -> None:
        self._scaler = VideoReformatter()

    def sample(self, time: float, frame: VideoFrame) -> Sample:
        """The frame as `signature` wants it."""
        small = self._scaler.reformat(frame, SIDE, SIDE, "gray", interpolation=Interpolation.AREA, threads=1)
        turns = turning(frame)
        picture = (filtered(small, turns) if turns else small).to_ndarray()
        return Sample(time, cast("NDArray[np.uint8]", picture))

    def keyframes(self, frames: Frames, length: float) -> list[Sample]:
        """Samples of keyframes; none where exact frames alone are worth what they cost."""
        pixels = frames.pixels(length)
        if pixels < CHEAP_PIXELS:
            return []
        packets: dict[float, Packet[VideoStream]] = {}
        for number in range(1, _WINDOWS + 1):
            middle = length * number / (_WINDOWS + 1)
            times = (middle + step * _STEP_SECONDS for step in _STEPS)
            found = frames.keyframes([time for time in times if 0 <= time < length])
            packets |= dict(sorted(found, key=lambda keyframe: abs(keyframe[0] - middle))[:_KEYFRAMES_EACH])
        decoded = ((time, frames.decode_alone(packet)) for time, packet in packets.items())
        samples = [self.sample(time, frame) for time, frame in decoded if frame is not None]
        return samples if len(samples) >= _FEWEST_KEYFRAMES or pixels >= _MOST_PIXELS else []


def exact_times(length: float, *, few: bool = False) -> list[float]:
    """When the exact frames are, in seconds; `few` are those beside keyframes, some of all."""
    return [length * number / 20 for number in (_FEW_TWENTIETHS if few else _TWENTIETHS)]


def fingerprint_of(length: float, samples: Sequence[Sample]) -> Fingerprint | None:
    """The fingerprint of what was sampled; None when there is nothing."""
    if not samples:
        return None
    samples = sorted(samples, key=lambda sample: sample.time)
    kept, plain, cropped = hashes(np.stack([sample.picture for sample in samples]))
    return Fingerprint(length, tuple(samples[number].time for number in kept), plain, cropped)
