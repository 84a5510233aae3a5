"""Tiny real media files for tests, a few tens of milliseconds each."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from mediawatchd.cli.footage import Audio, Video, write

if TYPE_CHECKING:
    from collections.abc import Mapping

Path = str | bytes | os.PathLike[str]

# What the suffix of a name stands for: FFmpeg's muxer, and an encoder that is quick and that it takes.
_VIDEO = {
    ".mp4": ("mp4", "mpeg4"),
    ".m4v": ("mp4", "mpeg4"),
    ".mov": ("mov", "mpeg4"),
    ".mkv": ("matroska", "mpeg4"),
    ".webm": ("webm", "libvpx"),
    ".avi": ("avi", "mpeg4"),
    ".ts": ("mpegts", "mpeg2video"),
    ".flv": ("flv", "flv"),
}
_AUDIO = {
    ".mp3": ("mp3", "libmp3lame"),
    ".flac": ("flac", "flac"),
    ".opus": ("opus", "libopus"),
    ".ogg": ("ogg", "libopus"),
    ".m4a": ("ipod", "aac"),
    ".wav": ("wav", "pcm_s16le"),
}


def make_video(path: Path, *, content: int = 1, seconds: float = 1.0, **more: object) -> bytes:
    """Write a video and return its path; the suffix chooses container and codec.

    `more` are fields of `footage.Video`: codec, container, size, rate, audio, rotation, hdr, b_frames,
    start_seconds, mirrored, bars, keyframe_every. As it stands it is 64 by 36, 12 pictures a second and silent.
    """
    container, codec = _VIDEO[_suffix(path)]
    tiny = Video(content=content, seconds=seconds, container=container, codec=codec, size=(64, 36), rate=12, audio=None)
    return _write(path, dataclasses.replace(tiny, **more))


def make_audio(
    path: Path, *, content: int = 1, seconds: float = 0.5, tags: Mapping[str, str] | None = None, **more: object
) -> bytes:
    """Write an audio file and return its path; the suffix chooses container and codec.

    `tags` by FFmpeg's names (title, artist, album, track); `more` are `container` and `codec`.
    """
    container, codec = _AUDIO[_suffix(path)]
    tiny = Audio(content=content, seconds=seconds, container=container, codec=codec, tags=tags or {})
    return _write(path, dataclasses.replace(tiny, **more))


def _suffix(path: Path) -> str:
    return os.fsdecode(os.path.splitext(os.fsencode(path))[1]).lower()


def _write(path: Path, media: Video | Audio) -> bytes:
    written = os.fsencode(path)
    os.makedirs(os.path.dirname(written) or b".", exist_ok=True)
    with open(written, "wb") as file:
        write(file, media)
    return written
