"""Invented films and songs: small real media files, made on the spot from a number.

For the demo library and for tests; the daemon never imports this. Every `content` number gives a
different moving picture with scene cuts, the same at every size and in every codec, so two videos of
one content are near-duplicates and two of different contents are not. On one machine the same values
give the same bytes. Runs in whatever thread calls it and keeps no state.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from av.container import OutputContainer
    from av.packet import Packet
    from numpy.typing import NDArray

SCENE_SECONDS: Final = 2.0
SAMPLE_RATE: Final = 48_000  # the one rate that every codec here accepts
BT2020: Final = 9
PQ: Final = 16

# Fast rather than small, and one thread each, without which the bytes differ from run to run.
_OPTIONS: Final[Mapping[str, dict[str, str]]] = {
    "libx264": {"preset": "ultrafast", "crf": "30"},
    "libx265": {"preset": "ultrafast", "crf": "32", "x265-params": "log-level=none:pools=none:frame-threads=1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "40", "b": "0"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "crf": "40"},
    "libsvtav1": {"preset": "10", "crf": "50", "svtav1-params": "lp=1"},
    "mpeg4": {"qscale": "8"},
    "mpeg2video": {"b": "400k"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """One video file. `container` and `codec` are FFmpeg's names of muxer and encoder; audio None is silence.

    `size` is what a player shows; with `rotation` (degrees clockwise, in mp4 and mov) the file stores it
    lying on its side, as phones do. `start_seconds`, `mirrored` and `bars` (the share of the height
    that is black above, and again below) make edits of the same content. Sizes are even.
    """

    content: int
    seconds: float = 6.0
    container: str = "mp4"
    codec: str = "libx264"
    size: tuple[int, int] = (320, 180)
    rate: int = 24
    audio: str | None = "aac"
    pixels: str = "yuv420p"
    hdr: bool = False
    rotation: int = 0
    b_frames: int = 0
    start_seconds: float = 0.0
    mirrored: bool = False
    bars: float = 0.0
    keyframe_every: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """One audio file; `tags` by FFmpeg's names (title, artist, album, track)."""

    content: int
    seconds: float = 6.0
    container: str = "mp3"
    codec: str = "libmp3lame"
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def write(file: BinaryIO, media: Video | Audio) -> None:
    """Encode into `file`, which must be empty, open for writing and seekable. Blocks while it encodes.

    An encoder that refuses what is asked of it raises `av.FFmpegError`.
    """
    with (
        priority_kept(),
        av.open(file, "w", format=media.container, container_options={"fflags": "+bitexact"}) as container,
    ):
        if isinstance(media, Video):
            _write_video(container, media)
        else:
            container.metadata.update(media.tags)
            stream = _sound_stream(container, media.codec)
            container.mux(_sound(stream, media.content, 0.0, media.seconds))


@contextmanager
def priority_kept() -> Iterator[None]:
    """Around whatever may encode AV1: for root, SVT-AV1 makes the calling thread a real-time one and leaves it so, and
    all that it starts afterwards; nobody else on the machine has a turn then.
    """
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, priority)


def _write_video(container: OutputContainer, video: Video) -> None:
    stream = container.add_stream(video.codec, rate=video.rate, options=_OPTIONS.get(video.codec, {}))
    if not isinstance(stream, VideoStream):
        raise ValueError(f"{video.codec} makes no pictures")  # noqa: TRY004 - a wrong name, not a wrong type
    sideways = video.rotation % 180 != 0
    stream.width, stream.height = video.size[::-1] if sideways else video.size
    stream.pix_fmt = "yuv420p10le" if video.hdr else video.pixels
    context = stream.codec_context
    context.thread_count = 1
    context.max_b_frames = video.b_frames
    if video.keyframe_every:
        context.gop_size = video.keyframe_every
    if video.hdr:
        context.color_primaries, context.color_trc, context.colorspace = BT2020, PQ, BT2020
    if video.rotation:
        stream.set_display_rotation(-video.rotation)
    # All streams must be known before the first packet; short files need no interleaving by hand.
    sound = _sound_stream(container, video.audio) if video.audio else None
    if sound:
        container.mux(_sound(sound, video.content, video.start_seconds, video.seconds))
    for number, planes in enumerate(_pictures(video)):
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, video.rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _sound_stream(container: OutputContainer, codec: str) -> AudioStream:
    stream = container.add_stream(codec, rate=SAMPLE_RATE)
    if not isinstance(stream, AudioStream):
        raise ValueError(f"{codec} makes no sound")  # noqa: TRY004 - a wrong name, not a wrong type
    stream.codec_context.layout = "stereo"
    return stream


def _sound(stream: AudioStream, content: int, start_seconds: float, seconds: float) -> list[Packet[AudioStream]]:
    """A chord that changes twice a second, a little apart in the two ears."""
    times = np.arange(int(start_seconds * SAMPLE_RATE), int((start_seconds + seconds) * SAMPLE_RATE)) / SAMPLE_RATE
    steps = np.random.default_rng((content, 1)).integers(0, 24, (int(times[-1] * 2) + 1, 3))
    pitches = 220.0 * 2.0 ** (steps[(times * 2).astype(int)] / 12)
    left = np.sin(2 * np.pi * pitches * times[:, None]).sum(axis=1)
    right = np.sin(2 * np.pi * pitches * 1.003 * times[:, None]).sum(axis=1)
    samples = (np.stack([left, right], axis=1) * 8_000).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
    return stream.encode(frame) + stream.encode(None)


def _pictures(video: Video) -> Iterator[NDArray[np.uint8]]:
    """Frame by frame the three planes of yuv420p below each other, as stored."""
    width, height = video.size
    bar = round(height / 2 * video.bars) * 2
    scene = None
    for number in range(round(video.seconds * video.rate)):
        time = video.start_seconds + number / video.rate
        index = int(time // SCENE_SECONDS)
        if scene is None or scene.index != index:
            scene = _Scene(video.content, index, width, height - 2 * bar)
        planes = []
        for channel, plane in enumerate(scene.planes(time)):
            rows = bar // 2 if channel else bar
            picture = np.pad(plane, ((rows, rows), (0, 0)), constant_values=128 if channel else 16)
            if video.mirrored:
                picture = picture[:, ::-1]
            planes.append(np.rot90(picture, video.rotation // 90).ravel())
        stored_width = height if video.rotation % 180 else width
        yield np.concatenate(planes).reshape(-1, stored_width)


class _Scene:
    """What is seen between two cuts: two cloudy layers that pan past each other, and three drifting boxes.

    Owned by the thread that iterates. Coordinates run from 0 to 1, so that every size shows the same.
    """

    def __init__(self, content: int, index: int, width: int, height: int) -> None:
        self.index = index
        random = np.random.default_rng((content, 0, index))
        sizes = [(height, width), (height // 2, width // 2), (height // 2, width // 2)]
        waves = [[_Waves(random) for _ in range(2)] for _ in sizes]
        self._layers = [[wave.layer(*size) for wave in pair] for pair, size in zip(waves, sizes, strict=True)]
        self._pans = random.uniform(-0.15, 0.15, (2, 2))
        self._boxes = random.uniform((0, 0, 0.1, 0.1, -0.2, -0.2), (0.7, 0.7, 0.3, 0.3, 0.2, 0.2), (3, 6))
        self._colours = random.integers(40, 216, (3, 3))

    def planes(self, time: float) -> Iterator[NDArray[np.uint8]]:
        for channel, layers in enumerate(self._layers):
            height, width = layers[0].shape
            back, front = (
                np.roll(layer, (round(down * time * height), round(right * time * width)), axis=(0, 1))
                for layer, (right, down) in zip(layers, self._pans, strict=True)
            )
            plane = back + front
            for (left, top, box_width, box_height, right, down), colours in zip(
                self._boxes, self._colours, strict=True
            ):
                x, y = (left + right * time) % 0.9, (top + down * time) % 0.9
                rows = slice(round(y * height), round((y + box_height) * height))
                columns = slice(round(x * width), round((x + box_width) * width))
                plane[rows, columns] = colours[channel]
            yield plane


class _Waves:
    """A sum of waves with whole numbers of periods, so that a layer of them can be panned round and round."""

    def __init__(self, random: np.random.Generator) -> None:
        self._across, self._down = random.integers(-5, 6, (2, 8))
        self._phase = random.uniform(0, 2 * np.pi, 8)

    def layer(self, height: int, width: int) -> NDArray[np.uint8]:
        """Between 8 and 117: two layers added stay within what a television shows."""
        x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
        # Large waves are strong and small ones weak, as in pictures of the world.
        strength = 45 / (1 + np.hypot(self._across, self._down))
        # cos(a + b) is the real part of a product, which makes the sum of all waves one matrix product.
        down = np.exp(1j * (2 * np.pi * np.outer(y, self._down) + self._phase))
        across = np.exp(2j * np.pi * np.outer(self._across, x))
        return cast("NDArray[np.uint8]", np.clip(((down * strength) @ across).real + 62, 8, 117).astype(np.uint8))
