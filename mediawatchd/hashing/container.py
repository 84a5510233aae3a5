"""A media file opened with FFmpeg's demuxers, in a way that cannot open anything else.

Only decode processes import this module: it is the one that imports PyAV. FFmpeg gets no name to open and no
protocol. It reads through our own descriptor, so the name need not be UTF-8, the file that was checked is the
file that is read, and whatever a file refers to (playlists, data references, linked segments) is refused by
the callback that FFmpeg would have to open it with. A white list keeps out formats that only refer to others.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
from typing import TYPE_CHECKING

import av
import av.error
import av.logging

from mediawatchd.hashing.descriptor import Unreadable
from mediawatchd.model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer
    from av.stream import Stream

DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,au,av1,avi,caf,dsf,dts,dtshd,dv,eac3,flac,flv,gxf,h264,hevc,iff,ivf,kux,live_flv,"
    "m4v,matroska,mlp,mov,mp3,mpc,mpc8,mpeg,mpegts,mpegvideo,mxf,nsv,nut,obu,ogg,rm,tak,truehd,tta,vc1,vvc,w64,"
    "wav,wtv,wv"
)
"""FFmpeg's names of what holds sound or pictures itself. Not there: hls, dash, concat, image2, sdp, vobsub, imf,
and every other format that names further files; and the formats of single images and of text."""

_NAMES = {"mpeg": "mpeg", "mpegvideo": "mpeg", "live_flv": "flv", "kux": "flv"}
_MP4_FAMILY = {b".mov": "mov", b".qt": "mov", b".3gp": "3gp", b".3g2": "3gp"}
_READ_BYTES = 65_536

av.logging.set_skip_repeated(False)  # else the second of two files with the same damage is given no reason


@contextlib.contextmanager
def open_container(descriptor: int, path: bytes) -> Iterator[InputContainer]:
    """The media file behind `descriptor`, open inside the block; `path` gives only a hint, by its extension.

    What FFmpeg cannot read, here or in the block, leaves as `Unreadable`; an error of the disk as the OSError
    that it was, also where FFmpeg took it for an end of the file.
    """
    if os.fstat(descriptor).st_size == 0:
        raise Unreadable(Problem("not_media", "The file is empty."))
    source = _Source(descriptor, os.fsdecode(os.path.basename(path)))
    said: list[str] = []
    try:
        with _open(source, said) as container:
            yield container
    except MemoryError:
        raise
    except av.FFmpegError as error:
        raise source.error or Unreadable(_problem_of(error, said, descriptor)) from error
    if source.error is not None:
        raise source.error


def _open(source: _Source, said: list[str]) -> InputContainer:
    with _listening(said):
        return av.open(
            source,
            mode="r",
            container_options={"format_whitelist": DEMUXERS, "protocol_whitelist": "none"},
            metadata_errors="replace",
            buffer_size=_READ_BYTES,
            io_open=_refuse,
        )


def describe(container: InputContainer, stream: Stream) -> str:
    """FFmpeg's own description of one stream, as ffprobe prints it: PyAV shows side data of frames only."""
    av.logging.set_level(av.logging.INFO)
    try:
        dump = container.dumps_format()  # type: ignore[attr-defined]  # public, but not in its stubs
    finally:
        av.logging.set_level(None)
    parts = re.split(r"^  Stream #0:(\d+)", dump, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(str(stream.index), "")


@contextlib.contextmanager
def _listening(said: list[str]) -> Iterator[None]:
    """Collect what a demuxer says of errors; outside the block FFmpeg is silent, which is also much cheaper."""
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as logs:
            yield
    finally:
        av.logging.set_level(None)
        said.extend(message.strip() for _, demuxer, message in logs if demuxer or "whitelist" in message)


def _problem_of(error: av.FFmpegError, said: list[str], descriptor: int) -> Problem:
    if not said and not isinstance(error, av.error.InvalidDataError):
        said = [error.strerror or type(error).__name__]
    # The extension alone makes FFmpeg try a demuxer, so a text named .mp4 looks like damage; by content it fits none.
    by_content: list[str] = []
    try:
        _open(_Source(descriptor, ""), by_content).close()
    except av.error.InvalidDataError:
        if not by_content:
            return Problem("not_media", "Not a media file: its content fits no known format.")
    except av.FFmpegError:
        pass
    if any("whitelist" in message for message in by_content):
        return Problem("not_media", "Not a media file but one that is not opened: a playlist, script, picture or text.")
    reason = (said or by_content or ["no reason given"])[-1]
    return Problem("decode", f"Damaged or incomplete: {reason[:200].rstrip('.')} (FFmpeg).")


class _Source:
    """What FFmpeg reads a file through.

    It raises nothing: PyAV keeps an exception of a callback until a later call, which may belong to the next
    file. An error of the disk is an end of the file to FFmpeg, and is remembered here.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self.error: OSError | None = None
        self._descriptor = descriptor
        self._position = 0

    def read(self, size: int) -> bytes:
        try:
            data = os.pread(self._descriptor, size, self._position)
        except OSError as error:
            self.error = self.error or error
            return b""
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int) -> int:
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += os.fstat(self._descriptor).st_size
        if offset < 0:
            return -errno.EINVAL
        self._position = offset
        return offset

    def tell(self) -> int:
        return self._position


def _refuse(_url: str, _flags: int, _options: dict[str, str]) -> io.BytesIO:
    """Whatever FFmpeg wants to open besides the file itself is empty."""
    return io.BytesIO()


def format_of(demuxer: str, path: bytes) -> str:
    """A stable short name of the container: FFmpeg's name of the demuxer, cleared up by the extension where
    one demuxer reads several kinds.

    The mp4 family is `mp4` but for .mov, .qt (`mov`), .3gp and .3g2 (`3gp`); Matroska is `webm` for .webm,
    else `matroska`; MPEG program and elementary streams are `mpeg`; else the first of FFmpeg's names.
    """
    extension = os.path.splitext(path)[1].lower()
    first = demuxer.partition(",")[0]
    if first == "mov":
        return _MP4_FAMILY.get(extension, "mp4")
    if first == "matroska":
        return "webm" if extension == b".webm" else "matroska"
    return _NAMES.get(first, first)
