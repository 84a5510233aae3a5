"""`video_phash`: four difference hashes of a video, the same strings that the ffmpeg command and imagehash give.

Runs in decode processes only, where a broken file may crash or hang it: it imports PyAV, Pillow and imagehash. A
frame goes the same way as through `ffmpeg -ss T -i FILE -frames:v 1 -f image2 -vcodec mjpeg -q:v 5 pipe:1`: the
first one that is not before T, turned upright, into a JPEG picture and back. FFmpeg's versions differ in the last
bits of that way, so strings are compared by the number of bits that differ.
"""

from __future__ import annotations

import io
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import imagehash
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Interpolation
from PIL import Image

from mediawatchd.hashing.container import open_container
from mediawatchd.hashing.descriptor import opened
from mediawatchd.hashing.frames import Frames, best_picture
from mediawatchd.hashing.upright import filtered, turning

if TYPE_CHECKING:
    from collections.abc import Iterable

    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame

NUM_FRAMES = 4
_QUALITY = 5


def video_phash(path: bytes, duration: float | None, num_frames: int = NUM_FRAMES) -> str | None:
    """The hashes of `num_frames` frames, evenly spread over `duration` seconds and joined by `|`; frames that fail
    are left out. None without a duration or without any frame.

    `path` may be no symbolic link. Raises `Unreadable` for what is no media, OSError and MemoryError. FFmpeg may
    hang or crash on it: call this in a process that can be killed.
    """
    with opened(path) as descriptor, open_container(descriptor, path) as container:
        stream = best_picture(container)
        if stream is None:
            return None
        times = phash_times(duration, num_frames)
        return joined(frame_hash(frame) for _, frame in Frames(container, stream).at(times))


def phash_times(duration: float | None, num_frames: int = NUM_FRAMES) -> list[float]:
    """When the frames are, in seconds; none without a duration."""
    if not duration or duration < 0:
        return []
    return [duration * number / (num_frames + 1) for number in range(1, num_frames + 1)]


def joined(hashes: Iterable[str | None]) -> str | None:
    """The hashes of frames as they are written together; None when there is none."""
    return "|".join(filter(None, hashes)) or None


def frame_hash(frame: VideoFrame) -> str | None:
    """Sixteen hexadecimal digits; None for a frame that cannot be made a JPEG picture."""
    try:
        picture = _jpeg(frame)
    except av.FFmpegError:
        return None
    with Image.open(io.BytesIO(picture)) as image:
        return str(imagehash.dhash(image))


def _jpeg(frame: VideoFrame) -> bytes:
    turns = turning(frame)
    upright = filtered(frame, turns) if turns else frame
    picture = upright.reformat(format=_jpeg_format(frame.format), interpolation=Interpolation.BICUBIC, threads=1)
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, picture.format.name
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.color_range = ColorRange.JPEG
    # One quality, given as both ends of what rate control may choose: PyAV has no way to set it on a frame.
    encoder.qmin = encoder.qmax = _QUALITY
    return b"".join(bytes(packet) for packet in (*encoder.encode(picture), *encoder.encode(None)))


def _jpeg_format(pixels: VideoFormat) -> str:
    """The one of JPEG's formats that the command chooses: that which loses no colour, and else is smallest."""
    if pixels.is_rgb or pixels.has_palette:
        return "yuvj444p"
    if len(pixels.components) < 3:
        return "yuvj420p"
    across, down = pixels.chroma_width(16), pixels.chroma_height(16)
    if across == 16:
        return "yuvj444p"
    return "yuvj422p" if down == 16 else "yuvj420p"
