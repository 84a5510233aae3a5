"""What a media file says of itself, its container and its streams, in the words of the catalog.

Runs in decode processes only: it imports PyAV. Everything it hands on came from a file that may lie, so
texts are cut and numbers that make no sense become None.
"""

from __future__ import annotations

import math
import os
import re
from typing import TYPE_CHECKING

import av
from av.audio.codeccontext import AudioCodecContext
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext

from mediawatchd.hashing.container import describe, format_of, open_container
from mediawatchd.hashing.descriptor import Unreadable, opened
from mediawatchd.hashing.vr import vr_of
from mediawatchd.model import AudioStream, Probe, Problem, VideoStream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from av.container import InputContainer
    from av.stream import Stream

_COVER_ART = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_PQ = 16  # transfer curve SMPTE ST 2084: HDR10 and what builds on it
_HLG = 18  # ARIB STD-B67
_HDR10_PLUS = "DYNAMIC_HDR_PLUS"
_PACKETS_TO_FIRST_FRAME = 60
_FASTEST = 1000  # frames a second; more is a broken header
_LONGEST_TEXT = 500


def probe(path: bytes) -> Probe:
    """What the file at `path`, which may be no symbolic link, says of itself.

    Raises `Unreadable` for what is no media or is broken, OSError, and MemoryError. FFmpeg may hang or crash
    on it: call this in a process that can be killed.
    """
    with opened(path) as descriptor, open_container(descriptor, path) as container:
        return probe_of(container, path, os.fstat(descriptor).st_size)


def probe_of(container: InputContainer, path: bytes, size: int) -> Probe:
    """What an open file of `size` bytes says of itself; `path` helps with names only.

    Raises `Unreadable`, av.FFmpegError and MemoryError.
    """
    picture, sound = container.streams.best("video"), container.streams.best("audio")
    if picture is not None and picture.disposition & _COVER_ART:
        picture = None
    if picture is None and sound is None:
        raise Unreadable(Problem("not_media", "The file has neither moving pictures nor sound."))
    tags = _tags(container.metadata)
    duration = _duration_seconds(container)
    video = vr = None
    if picture is not None:
        described = describe(container, picture)
        side_data = _side_data(described)
        picture_tags = _tags(picture.metadata)
        video = _video(container, picture, described, side_data, picture_tags)
        name = os.fsdecode(os.path.basename(path))
        vr = vr_of(side_data, tags | picture_tags, name, width=video.width, height=video.height)
    return Probe(
        container_format=format_of(container.format.name, path),
        duration=duration,
        bitrate=container.bit_rate or (round(8 * size / duration) if duration else None),
        video=video,
        audio=None if sound is None else _audio(container, sound, tags),
        vr=vr,
    )


def _duration_seconds(container: InputContainer) -> float | None:
    if container.duration is not None and container.duration > 0:
        return container.duration / 1_000_000
    lengths = [float(s.duration * s.time_base) for s in container.streams if s.duration and s.time_base]
    return max((seconds for seconds in lengths if seconds > 0), default=None)


def _video(
    container: InputContainer, stream: Stream, described: str, side_data: Mapping[str, str], tags: Mapping[str, str]
) -> VideoStream:
    # No codec context: a codec that this FFmpeg has no decoder for. The container is told all the same.
    codec = stream.codec_context if isinstance(stream.codec_context, VideoCodecContext) else None
    rate = stream.average_rate or stream.guessed_rate
    return VideoStream(
        codec=_codec_name(described),
        width=(codec.width or None) if codec else None,
        height=(codec.height or None) if codec else None,
        frame_rate=round(float(rate), 3) if rate and 0 < rate <= _FASTEST else None,
        rotation=_rotation(side_data, tags),
        bit_depth=codec.format.components[0].bits if codec and codec.format else None,
        hdr=_hdr(container, stream, codec, side_data) if codec else None,
    )


def _audio(container: InputContainer, stream: Stream, tags: dict[str, str]) -> AudioStream:
    codec = stream.codec_context if isinstance(stream.codec_context, AudioCodecContext) else None
    # The container's first: a stream's title is often no more than "Stereo". Ogg has tags on the stream only.
    tags = _tags(stream.metadata) | tags
    return AudioStream(
        codec=_codec_name(describe(container, stream)),
        channels=(codec.channels or None) if codec else None,
        sample_rate=(codec.sample_rate or None) if codec else None,
        title=tags.get("title"),
        artist=tags.get("artist"),
        album=tags.get("album"),
        track=tags.get("track"),
    )


def _tags(metadata: Mapping[str, str]) -> dict[str, str]:
    """Tags with lower-case names: formats differ in case only."""
    cleaned = ((name.lower(), text.replace("\0", " ").strip()[:_LONGEST_TEXT]) for name, text in metadata.items())
    return {name: text for name, text in cleaned if text}


def _side_data(described: str) -> dict[str, str]:
    """The side data of a described stream, each in FFmpeg's words; keys are the same over FFmpeg's versions.

    Tags cannot look like it: a line break within one is followed by a colon.
    """
    block = re.search(r"^    Side data:\n((?:      .*\n?)*)", described, re.MULTILINE)
    found: dict[str, str] = {}
    for line in block[1].splitlines() if block else ():
        key, _, text = line.strip().partition(": ")
        found[key.lower().replace(" ", "").removesuffix("mapping")] = text
    return found


def _codec_name(described: str) -> str | None:
    match = re.search(r": (?:Video|Audio): (\w+)", described)
    return match[1] if match and match[1] != "none" else None


def _rotation(side_data: Mapping[str, str], tags: Mapping[str, str]) -> int:
    """Clockwise, in steps of 90 degrees: the display matrix (told counter-clockwise), else the `rotate` tag."""
    match = re.search(r"rotation of (-?[\d.]+)", side_data.get("displaymatrix", ""))
    try:
        clockwise = -float(match[1]) if match else float(tags.get("rotate", 0))
    except ValueError:
        return 0
    return round(clockwise / 90) * 90 % 360 if math.isfinite(clockwise) else 0


def _hdr(
    container: InputContainer, stream: Stream, codec: VideoCodecContext, side_data: Mapping[str, str]
) -> str | None:
    if any(key.startswith("dovi") for key in side_data):
        return "Dolby Vision"
    if codec.color_trc == _HLG:
        return "HLG"
    if codec.color_trc != _PQ:
        return None
    if any("2094-40" in key for key in side_data) or _first_frame_is_hdr10_plus(container, stream):
        return "HDR10+"
    return "HDR10"


def _first_frame_is_hdr10_plus(container: InputContainer, stream: Stream) -> bool:
    """HDR10+ stands in the frames only, so one is decoded: the one case in which a probe decodes."""
    stream.codec_context.thread_count = 1
    try:
        for number, packet in enumerate(container.demux(stream)):
            for frame in packet.decode():
                return any(data.type.name == _HDR10_PLUS for data in getattr(frame, "side_data", ()))
            if number >= _PACKETS_TO_FIRST_FRAME:
                break
    except (av.FFmpegError, ValueError, IndexError):  # ValueError: side data newer than PyAV; IndexError: see `Frames`
        pass
    return False
