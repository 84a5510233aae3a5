"""Which frames of a video make its fingerprint, and the fingerprint made of them.

Runs in decode processes only. Exact frames are the better ones, as two files of one content then show the same
ones; but on the way to them much is decoded. So only short videos get them, and long ones their keyframes.

Measured in CPU seconds: exact frames of clips of 4 to 10 s at up to 960 by 540 cost 0.1 to 0.6, of a minute at 1080p
5.0; the keyframes of that minute 0.25, which is 18 ms each for decoding and half a millisecond for making it small.
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

    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    from mediawatchd.hashing.frames import Frames

CHEAP_PIXELS = 1.6e9
_MOST_PIXELS = 12e9  # about 20 seconds of decoding: beyond, a few keyframes must do
_FRAMES = 16
_FRAMES_OF_LONG = 32
_LONG_SECONDS = 1200
_FEWEST_KEYFRAMES = 12


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
        """Samples of keyframes; none where exact frames are worth what they cost."""
        pixels = frames.pixels(length)
        if pixels < CHEAP_PIXELS:
            return []
        count = _FRAMES_OF_LONG if length >= _LONG_SECONDS else _FRAMES
        # Encoders put keyframes at cuts, so they lie unevenly: looking in twice as many places is nearly free.
        packets = frames.keyframes(_middles(length, 2 * count))
        if len(packets) > count:
            packets = [packets[number * len(packets) // count] for number in range(count)]
        if len(packets) < _FEWEST_KEYFRAMES and pixels < _MOST_PIXELS:
            return []
        decoded = ((time, frames.decode_alone(packet)) for time, packet in packets)
        found = [self.sample(time, frame) for time, frame in decoded if frame is not None]
        return found if len(found) >= _FEWEST_KEYFRAMES or pixels >= _MOST_PIXELS else []


def exact_times(length: float) -> list[float]:
    """When the exact frames are, in seconds."""
    return _middles(length, _FRAMES)


def fingerprint_of(length: float, samples: Sequence[Sample]) -> Fingerprint | None:
    """The fingerprint of what was sampled; None when there is nothing."""
    if not samples:
        return None
    kept, plain, cropped = hashes(np.stack([sample.picture for sample in samples]))
    return Fingerprint(length, tuple(samples[number].time for number in kept), plain, cropped)


def _middles(length: float, count: int) -> list[float]:
    return [length * (number + 0.5) / count for number in range(count)]
