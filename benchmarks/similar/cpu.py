"""CPU seconds of the product's perceptual hashes beside those of four ffmpeg processes, in turns.

The four processes are what `video_phash` is defined by: each seeks to its moment and makes one JPEG picture. Films of
ten minutes are made of the clips: half a minute of them at 1080p, as a disk would have it, with its packets repeated.
"""

from __future__ import annotations

import math
import shutil
import time
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import av
from av.video.stream import VideoStream

from benchmarks.costs import cpu_of_command, in_turns
from benchmarks.similar.copies import encode, frames_in_turn, seconds_of
from benchmarks.similar.hashing import outcome_of, tell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_TURNS = 3
_PIECE_SECONDS = 28
"""No round part of the film: the four moments would all be those of a keyframe, which costs nothing to get to."""
_FILM_SECONDS = 600
_CODECS = {
    "h264": ("libx264", "preset=veryfast crf=23 g=240"),
    "hevc": ("libx265", "preset=ultrafast crf=26 x265-params=log-level=none:pools=none:keyint=240"),
}


class Cost(NamedTuple):
    """CPU seconds for one video; `ffmpeg` None: there is no such command here."""

    name: str
    fingerprint: float
    both: float
    ffmpeg: float | None


def measure(clips: Sequence[Path], folder: Path, *, films: bool) -> Iterator[Cost]:
    """Costs of each clip, then of the films."""
    for path in clips:
        tell(f"CPU of {path.name}")
        yield _cost(path.name, path)
    for name, (codec, options) in _CODECS.items() if films else ():
        tell(f"making ten minutes of 1080p in {name}")
        film = folder / f"film-{name}.mkv"
        _make_film(clips, film, codec, options)
        tell(f"CPU of ten minutes of 1080p in {name}")
        yield _cost(f"10 minutes of 1080p, {name}", film)
        film.unlink()


def table(costs: Sequence[Cost]) -> Iterator[str]:
    """A row each, and what share of ffmpeg's seconds the product takes."""
    yield f"{'CPU seconds':44}{'fingerprint':>12}{'both hashes':>12}{'4 ffmpeg':>10}{'':>4}{'ratios':>12}"
    for cost in costs:
        row = f"{cost.name:44}{cost.fingerprint:12.3f}{cost.both:12.3f}"
        if cost.ffmpeg is None:
            yield row
        else:
            yield f"{row}{cost.ffmpeg:10.2f}{cost.fingerprint / cost.ffmpeg:10.3f}{cost.both / cost.ffmpeg:8.3f}"
    if any(cost.ffmpeg is None for cost in costs):
        yield "There is no ffmpeg command here to compare with."


def _cost(name: str, path: Path) -> Cost:
    if shutil.which("ffmpeg") is None:
        return Cost(name, _cpu(path, False), _cpu(path, True), None)
    fingerprint = in_turns(lambda: _cpu(path, False), lambda: _cpu_of_ffmpeg(path), _TURNS)
    both = in_turns(lambda: _cpu(path, True), lambda: 0.0, _TURNS)
    return Cost(name, fingerprint.ours, both.ours, fingerprint.theirs)


def _cpu(path: Path, video_phash: bool) -> float:
    began = time.process_time()
    outcome_of(path, video_phash, True, exact=video_phash)
    return time.process_time() - began


def _cpu_of_ffmpeg(path: Path) -> float:
    duration = seconds_of(path)
    made = ["-frames:v", "1", "-f", "image2", "-vcodec", "mjpeg", "-q:v", "5", "pipe:1"]
    times = (str(duration * number / 5) for number in range(1, 5))
    return sum(cpu_of_command(["ffmpeg", "-v", "quiet", "-ss", time, "-i", str(path), *made]) for time in times)


def _make_film(clips: Sequence[Path], film: Path, codec: str, options: str) -> None:
    piece = film.with_suffix(".piece.mkv")
    length = _PIECE_SECONDS / len(clips)
    shape = "scale=1920:1080 setsar=1"
    parts = [(clip, max(0.0, seconds_of(clip) - length) / 2, max(0.0, seconds_of(clip) + length) / 2) for clip in clips]
    encode(piece, frames_in_turn(parts, shape), Fraction(24), codec, options)
    with av.open(str(film), "w") as writing:
        output, shift = None, 0
        for _ in range(math.ceil(_FILM_SECONDS / _PIECE_SECONDS)):
            with av.open(str(piece)) as reading:
                picture = reading.streams.video[0]
                output = output or writing.add_stream_from_template(picture)
                assert isinstance(output, VideoStream)
                end = 0
                for packet in reading.demux(picture):
                    if packet.dts is not None and packet.pts is not None:
                        end = max(end, packet.pts + (packet.duration or 0))
                        packet.pts += shift
                        packet.dts += shift
                        packet.stream = output
                        writing.mux(packet)
                shift += end
    piece.unlink()
