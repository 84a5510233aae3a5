"""Single frames of an open video: the exact one at a time, or the keyframes nearest to it.

Runs in decode processes only: it imports PyAV. Most of what decoding costs is spent on the way from a keyframe to
the frame that is wanted, so frames that no other frame needs are skipped there, and what was decoded already is
never decoded again to come to a later time. Damage costs the frames that it hits and no others.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING

import av
from av.stream import Discard, Disposition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_COVER_ART = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_MICROSECOND = Fraction(1, 1_000_000)
_REORDER_SECONDS = Fraction(3, 23)  # how far the ffmpeg command aims before the wanted time when frames are reordered
_FULL_SECONDS = Fraction(1, 4)  # decoded whole before the wanted time: a decoder learns the order of frames from it
_NEAR_SECONDS = 30  # not worth a seek where the index says nothing: it is as likely to lead back
_GUESSED = frozenset(("mpegts", "mpeg"))
_SKIPPING = frozenset(("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vc1", "vp8", "wmv3"))
"""Decoders that heed from frame to frame what may be skipped; dav1d does so once and for all, when it is opened."""
_EARLIER_SECONDS = (2, 12)  # broadcasts have a keyframe each second or two, encoders at least each ten
_PACKETS_TO_KEYFRAME = 1500  # a minute of film
_LONGEST_SECONDS = 24 * 3600  # a longer duration is more often a broken header than a recording


def best_picture(container: InputContainer) -> VideoStream | None:
    """The stream of moving pictures that the ffmpeg command would take; None when there is none but cover art.

    Nor is one that this FFmpeg has no decoder for: such a stream has no codec context. The library's own choice goes
    by bitrate, and where that is not known takes the first: a preview, it may be.
    """
    streams = [
        stream
        for stream in container.streams.video
        if stream.codec_context is not None and not stream.disposition & _COVER_ART
    ]
    return max(
        streams, key=lambda stream: (bool(stream.disposition & Disposition.default), _area(stream)), default=None
    )


def _area(stream: VideoStream) -> int:
    return stream.codec_context.width * stream.codec_context.height


class Frames:
    """Owned by the thread that made it, with the container and its decoder; one at a time for a container."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._stream = stream
        self._context = stream.codec_context
        self._tick = stream.time_base or _MICROSECOND
        self._start = (container.start_time or 0) * _MICROSECOND
        self._packets: Iterator[Packet[VideoStream]] | None = None
        self._decoded: Iterator[VideoFrame] = iter(())
        self._fed: int | None = None  # the time of the last packet that the decoder was given, in ticks
        self._forward = self._sure = False
        self.is_guessed = container.format.name in _GUESSED
        """Whether seeks go to any place about the time, be there a keyframe before it or not."""
        self._may_skip = self._context.name in _SKIPPING
        if not self._context.is_open:  # as after a probe that looked at the first frame, which does the same
            self._context.thread_count = 1  # the pool has a process for every core
        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all

    def duration_seconds(self) -> float | None:
        """What the file says of its duration, sound and all."""
        if self._container.duration and self._container.duration > 0:
            return float(self._container.duration * _MICROSECOND)
        streams = self._container.streams
        said = (float(stream.duration * stream.time_base) for stream in streams if stream.duration and stream.time_base)
        return max((seconds for seconds in said if seconds > 0), default=None)

    def length_seconds(self) -> float | None:
        """How long the pictures go on; None when neither the file says so nor its end can be found."""
        said = float(self._stream.duration * self._tick) if self._stream.duration else self.duration_seconds()
        return said if said and 0 < said <= _LONGEST_SECONDS else self._found_length_seconds()

    def pixels(self, seconds: float) -> float:
        """How many pixels there are to decode in so much of the video."""
        rate = self._stream.average_rate or self._stream.guessed_rate or 30
        return seconds * float(rate) * _area(self._stream)

    def at(
        self, times: Sequence[float], *, forward: bool = False, sure: bool = False
    ) -> Iterator[tuple[float, VideoFrame]]:
        """For each of the `times`, which ascend and are seconds since the start, the first frame that is not before
        it. Times without one are left out.

        With `forward` all are found on one way from the start. Without it FFmpeg is asked for the place of each, and
        where it guesses that may be after the last keyframe: then the frame is the next keyframe, unless `sure` has
        an earlier one looked for.
        """
        frame: VideoFrame | None = None
        self._forget_position()
        self._forward, self._sure = forward, sure
        if forward:
            self._seek(self._start)
            self._fed = math.floor(self._start / self._tick)
        for seconds in times:
            # As the command does: microseconds first, then the nearest tick.
            wanted = self._start + int(seconds * 1_000_000) * _MICROSECOND
            tick = math.floor(wanted / self._tick + Fraction(1, 2))
            if frame is None or _time(frame) < tick:
                frame = self._first_from(tick, wanted)
            if frame is not None:
                yield seconds, frame

    def seconds_of(self, of: VideoFrame | Packet[VideoStream]) -> float:
        """When it is shown, in seconds since the start."""
        return max(0.0, float(_time(of) * self._tick - self._start))

    def keyframes(self, times: Sequence[float]) -> list[tuple[float, Packet[VideoStream]]]:
        """The keyframes nearest before the `times`, undecoded and each once, with their own times in seconds."""
        found: dict[int, Packet[VideoStream]] = {}
        for seconds in times:
            packet = self._keyframe(self._start + Fraction(seconds))
            if packet is not None:
                found[_time(packet)] = packet
        return [(self.seconds_of(found[tick]), found[tick]) for tick in sorted(found)]

    def decode_alone(self, packet: Packet[VideoStream]) -> VideoFrame | None:
        """The frame of a keyframe's packet; None when it is damaged."""
        self._context.skip_frame = "DEFAULT"
        try:
            frames = [*self._context.decode(packet), *self._context.decode(None)]
        except av.FFmpegError:
            frames = []
        self._context.flush_buffers()
        return frames[0] if frames else None

    def _first_from(self, tick: int, wanted: Fraction) -> VideoFrame | None:
        if not self._is_ahead(tick):
            if self._sure and self.is_guessed:
                self._seek_keyframe(tick, wanted)
            else:
                self._seek(wanted)
        margin = math.ceil(_FULL_SECONDS / self._tick)
        while True:
            for frame in self._decoded:
                if _time(frame) >= tick:
                    return frame
            packet = self._next_packet()
            if packet is None:
                return None
            skippable = self._may_skip and packet.pts is not None and packet.pts < tick - margin
            self._context.skip_frame = "NONREF" if skippable else "DEFAULT"
            try:
                self._decoded = iter(self._context.decode(packet))
            except av.FFmpegError:
                continue
            if packet.dts is not None or packet.pts is not None:
                self._fed = _time(packet)

    def _next_packet(self) -> Packet[VideoStream] | None:
        if self._packets is None:
            self._packets = self._container.demux(self._stream)
        try:
            return next(self._packets, None)
        except av.FFmpegError:
            self._packets = self._fed = None  # behind the damage there may be more: the next time is sought
            return None
        except IndexError:  # PyAV at the end of a file in which a stream turned up that its header does not tell of
            return None

    def _is_ahead(self, tick: int) -> bool:
        """Whether decoding on leads to `tick` sooner than seeking."""
        if self._fed is None:
            return False
        index = self._stream.index_entries
        if self.is_guessed:
            return self._forward
        keyframe = index.search_timestamp(tick)
        if keyframe >= 0 and index[keyframe].timestamp > self._fed:
            return False
        is_known = index.search_timestamp(tick, backward=False, any_frame=True) >= 0
        return is_known or self._forward or (tick - self._fed) * self._tick < _NEAR_SECONDS

    def _seek(self, wanted: Fraction) -> None:
        if self._context.has_b_frames and not self._container.format.name.startswith("mov"):
            wanted -= _REORDER_SECONDS
        try:
            self._container.seek(int(wanted / _MICROSECOND))
        except av.FFmpegError:
            return  # it cannot seek: what is wanted is still ahead, as the times ascend
        self._decoded = iter(())
        self._packets, self._fed = self._container.demux(self._stream), None

    def _seek_keyframe(self, tick: int, wanted: Fraction) -> None:
        for seconds in _EARLIER_SECONDS:
            packet = self._keyframe(wanted - seconds)
            if packet is not None and self._packets is not None:
                self._packets = chain((packet,), self._packets)
                if _time(packet) <= tick:
                    return

    def _forget_position(self) -> None:
        self._packets, self._fed, self._decoded = None, None, iter(())

    def _keyframe(self, wanted: Fraction) -> Packet[VideoStream] | None:
        try:
            self._container.seek(int(wanted / _MICROSECOND))
        except av.FFmpegError:
            return None
        self._forget_position()
        for _ in range(_PACKETS_TO_KEYFRAME):
            packet = self._next_packet()
            if packet is None or not packet.size:
                return None
            if packet.is_keyframe and not packet.is_corrupt:
                return packet
        return None

    def _found_length_seconds(self) -> float | None:
        try:
            self._container.seek(math.ceil(self._start / _MICROSECOND) + _LONGEST_SECONDS * 1_000_000)
        except av.FFmpegError:
            return None
        self._forget_position()
        end: int | None = None
        while (packet := self._next_packet()) is not None and packet.size:
            end = max(end or 0, _time(packet) + (packet.duration or 0))
        seconds = 0.0 if end is None else float(end * self._tick - self._start)
        return seconds if 0 < seconds <= _LONGEST_SECONDS else None


def _time(of: VideoFrame | Packet[VideoStream]) -> int:
    """When it is shown, in ticks; AVI and the like say only when it is decoded."""
    if of.pts is not None:
        return of.pts
    return of.dts if of.dts is not None else -1
