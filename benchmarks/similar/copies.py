"""Copies of videos, made with PyAV: decoded, filtered, encoded and, for a remux, only put into another container."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.filter import Graph
from av.video.stream import VideoStream

from mediawatchd.cli.footage import priority_kept

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from av.container import InputContainer
    from av.video.frame import VideoFrame

    from benchmarks.similar.edits import Edit

WIDTH = 256
"""Of the copies: more than the 160 pixels that are made of them, and quick to encode."""
_RATE = 24
_TICKS = 30_000


def seconds_of(path: Path) -> float:
    with av.open(str(path)) as reading:
        return (reading.duration or 0) / 1e6


def make(source: Path, copy: Path, edit: Edit) -> None:
    if edit.codec == "copy":
        _remux(source, copy)
        return
    with av.open(str(source)) as reading:
        picture = reading.streams.video[0]
        filters = edit.filters_for((reading.duration or 0) / 1e6)
        rate = picture.average_rate or Fraction(_RATE)
        encode(copy, _filtered(reading, f"scale={WIDTH}:-2 {filters}"), rate, edit.codec, edit.options)


def join(parts: Sequence[tuple[Path, float, float]], joined: Path, filters: str = "null") -> None:
    """One video of parts of others, each from one second to another; all of one size. `filters` as in `Edit`."""
    frames = frames_in_turn(parts, f"scale={WIDTH}:144 setsar=1 {filters}")
    encode(joined, frames, Fraction(_RATE), "libx264", "preset=ultrafast crf=26")


def encode(path: Path, frames: Iterable[VideoFrame], rate: Fraction, codec: str, options: str) -> None:
    """Frames with times of their own, all of the size of the first."""
    with priority_kept(), av.open(str(path), "w") as writing:
        output = writing.add_stream(codec, rate=rate, options=dict(option.split("=", 1) for option in options.split()))
        assert isinstance(output, VideoStream)
        output.codec_context.time_base = Fraction(1, _TICKS)
        output.codec_context.thread_count = 1
        first = True
        for frame in frames:
            if first:
                output.width, output.height, output.pix_fmt = frame.width, frame.height, "yuv420p"
            first = False
            frame.pict_type = 0
            writing.mux(output.encode(frame))
        writing.mux(output.encode(None))


def frames_in_turn(parts: Sequence[tuple[Path, float, float]], filters: str) -> Iterator[VideoFrame]:
    """The frames of the parts, one part after the other, as one video's."""
    count = 0
    for path, start, end in parts:
        with av.open(str(path)) as reading:
            reading.seek(int(start * 1e6))
            for frame in _filtered(reading, f"fps={_RATE} trim=start={start}:end={end} {filters}"):
                frame.pts, frame.time_base = count, Fraction(1, _RATE)
                count += 1
                yield frame


def _filtered(reading: InputContainer, filters: str) -> Iterator[VideoFrame]:
    picture = reading.streams.video[0]
    picture.codec_context.thread_count = 1
    graph = Graph()
    last = graph.add_buffer(template=picture, time_base=picture.time_base)
    for step in ["format=yuv420p", *filters.split(), "buffersink"]:
        name, _, arguments = step.partition("=")
        following = graph.add(name, arguments or None)
        last.link_to(following)
        last = following
    graph.configure()
    for frame in itertools.chain(reading.decode(picture), [None]):
        try:
            graph.vpush(frame)
        except av.EOFError:  # the filters want no more
            return
        while True:
            try:
                yield graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                break


def _remux(source: Path, copy: Path) -> None:
    with av.open(str(source)) as reading, av.open(str(copy), "w") as writing:
        picture = reading.streams.video[0]
        output = writing.add_stream_from_template(picture)
        for packet in reading.demux(picture):
            if packet.dts is not None:
                packet.stream = output
                writing.mux(packet)
