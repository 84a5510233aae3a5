from __future__ import annotations

import os
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from mediawatchd.hashing.frames import Frames, best_picture
from mediawatchd.hashing.video import video_phash
from tests.media import make_audio, make_video

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame

TIMES = [0.3, 0.35, 1.7, 2.2, 3.9]


def frames_of(container: InputContainer) -> Frames:
    stream = best_picture(container)
    assert stream is not None
    return Frames(container, stream)


def small(frame: VideoFrame) -> bytes:
    return frame.reformat(format="gray").to_ndarray().tobytes()


def all_frames(path: bytes) -> list[tuple[float, bytes]]:
    with av.open(path.decode()) as container:
        start = (container.start_time or 0) / 1_000_000
        return [(frame.time - start, small(frame)) for frame in container.decode(video=0)]


def picture_at(path: bytes, seconds: float) -> bytes:
    """The first frame that is not before the tick nearest to the time."""
    with av.open(path.decode()) as container:
        tick = container.streams.video[0].time_base
    assert tick is not None
    return next(picture for time, picture in all_frames(path) if time >= seconds - tick / 2 - 0.000_001)


def write(path: Path, *, keyframe_every: int = 10, seconds: float = 5, rate: int = 20, **options: str) -> bytes:
    """A video of noise, so that each frame is another one; keyframes come at fixed distances."""
    random = np.random.default_rng(7)
    with av.open(str(path), "w") as output:
        chosen = {"preset": "ultrafast", "g": str(keyframe_every), "sc_threshold": "0", "bf": "3", **options}
        stream = output.add_stream("libx264", rate=rate, options=chosen)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.codec_context.thread_count = 64, 48, 1
        for number in range(round(seconds * rate)):
            noise = av.VideoFrame.from_ndarray(random.integers(30, 220, (6, 8), np.uint8), format="gray")
            frame = noise.reformat(64, 48, "yuv420p", interpolation="BICUBIC")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return str(path).encode()


@pytest.fixture(params=["x.mp4", "x.mkv", "b.mkv", "long.mp4", "long.mkv", "a.avi", "v.webm", "h.mkv", "n.mkv", "m.ts"])
def video(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[bytes]:
    path = tmp_path / request.param
    match request.param:
        case "x.mp4" | "x.mkv":
            yield write(path)
        case "b.mkv":  # no frame serves as a reference but for the keyframes and every fourth
            yield write(path, b_strategy="0")
        case "long.mp4" | "long.mkv":
            yield write(path, keyframe_every=500)
        case "h.mkv":
            yield make_video(path, seconds=5, codec="libx265", b_frames=3)
        case "n.mkv":
            yield make_video(path, seconds=5, codec="libsvtav1")
        case "m.ts":
            yield make_video(path, seconds=5, b_frames=2)
        case _:
            yield make_video(path, seconds=5)


def test_exact_frames_are_those_of_a_whole_decode(video: bytes) -> None:
    with av.open(video.decode()) as container:
        frames = frames_of(container)
        for forward in (True,) if frames.is_guessed else (False, True):
            found = [(time, small(frame)) for time, frame in frames.at(TIMES, forward=forward)]
            assert found == [(time, picture_at(video, time)) for time in TIMES]


@pytest.mark.parametrize("keyframe_every", [10, 45, 140])
def test_the_frame_at_a_moment_is_found_where_ffmpeg_guesses_the_place(tmp_path: Path, keyframe_every: int) -> None:
    """It was the next keyframe, seconds later."""
    video = make_video(tmp_path / "a.ts", seconds=18, codec="libx264", keyframe_every=keyframe_every, b_frames=2)
    times = [3.1, 5.0, 8.7, 8.8, 15.9]
    with av.open(video.decode()) as container:
        frames = frames_of(container)
        found = [(time, frames.seconds_of(frame), small(frame)) for time, frame in frames.at(times, sure=True)]
    assert [picture for _, _, picture in found] == [picture_at(video, time) for time in times]
    assert all(0 <= seconds - time + 0.000_1 < 1 / 12 for time, seconds, _ in found)


def test_times_behind_the_end_are_left_out(tmp_path: Path) -> None:
    with av.open(write(tmp_path / "a.mp4").decode()) as container:
        assert [time for time, _ in frames_of(container).at([1.0, 6.0, 7.0])] == [1.0]


def test_a_second_way_may_begin_before_the_end_of_the_first(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4")
    with av.open(path.decode()) as container:
        frames = frames_of(container)
        first = [small(frame) for _, frame in frames.at(TIMES)]
        packets = frames.keyframes([1.0, 4.0])
        assert frames.decode_alone(packets[0][1]) is not None
        assert [small(frame) for _, frame in frames.at(TIMES)] == first


def test_keyframes_come_once_and_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", keyframe_every=20)
    expected = dict(all_frames(path))
    with av.open(path.decode()) as container:
        frames = frames_of(container)
        found = frames.keyframes([0.1, 0.9, 1.0, 3.5, 4.99])
        assert [time for time, _ in found] == [0, 1, 3, 4]
        for time, packet in found:
            frame = frames.decode_alone(packet)
            assert frame is not None
            assert small(frame) == expected[time]


def test_what_no_frame_needs_is_not_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", keyframe_every=500, b_strategy="0")
    with av.open(path.decode()) as container:
        frames = frames_of(container)
        context = container.streams.video[0].codec_context
        before = context.skip_frame
        seen = []

        class Watched:
            """The decoder, and with how much it was told to skip for each packet."""

            def __getattr__(self, name: str) -> object:
                return getattr(context, name)

            def __setattr__(self, name: str, value: object) -> None:
                seen.append(value)
                setattr(context, name, value)

        frames._context = Watched()
        list(frames.at([4.0], forward=True))
    assert before == "DEFAULT"
    assert seen.count("NONREF") > 70
    assert "DEFAULT" in seen[-8:]


def test_damage_costs_what_it_hits(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", keyframe_every=10)
    times = [0.5, 1.0, 4.0, 4.5]
    expected = [(time, picture_at(path, time)) for time in times]
    with open(path, "r+b") as file:
        size = file.seek(0, 2)
        file.seek(size // 2)
        file.write(bytes(200))
    with av.open(path.decode()) as container:
        assert [(time, small(frame)) for time, frame in frames_of(container).at(times)] == expected


def test_the_length_is_found_where_the_file_tells_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv")
    with open(path, "r+b") as file:
        content = file.read()
        at = content.index(b"\x44\x89\x88")  # Matroska's Duration, a double
        for duration in (0.0, 90 * 3600 * 1000.0):
            file.seek(at + 3)
            file.write(np.array(duration, ">f8").tobytes())
            file.flush()
            with av.open(path.decode()) as container:
                assert frames_of(container).length_seconds() == pytest.approx(5, abs=0.1)


def test_pictures_shorter_than_the_sound(tmp_path: Path) -> None:
    with av.open(make_video(tmp_path / "a.mp4", seconds=2, audio="aac").decode()) as container:
        frames = frames_of(container)
        assert frames.length_seconds() == pytest.approx(2, abs=0.01)
        assert frames.pixels(10) == 10 * 12 * 64 * 36


def test_no_pictures(tmp_path: Path) -> None:
    with av.open(make_audio(tmp_path / "a.mp3").decode()) as container:
        assert best_picture(container) is None


def test_the_default_stream_then_the_largest_is_best(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        for side in (32, 64, 48):
            stream = output.add_stream("mpeg4", rate=10)
            assert isinstance(stream, VideoStream)
            stream.width = stream.height = side
        for number in range(5):
            for stream in output.streams.video:
                frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                output.mux(stream.encode(frame))
        for stream in output.streams.video:
            output.mux(stream.encode(None))
    with av.open(str(path)) as container:
        stream = best_picture(container)
        assert stream is not None
        assert stream.width == 64


@pytest.mark.parametrize("codec", [b"V_MPEG4/ISO/XYZ", b"V_QUICKTIME/ZYX"])
def test_a_codec_without_a_decoder_was_a_fault_of_ours(tmp_path: Path, codec: bytes) -> None:
    path = tmp_path / "a.mkv"
    make_video(path)
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/ASP", codec))
    with av.open(str(path)) as container:
        assert container.streams.video
        assert best_picture(container) is None
    assert video_phash(os.fsencode(path), 1.0) is None


def test_a_stream_that_turned_up_late_was_a_fault_of_ours_at_the_end_of_the_file(tmp_path: Path) -> None:
    class TurningUpLate:
        """A container as PyAV's is when a damaged file gets another stream while it is read."""

        def __init__(self, container: InputContainer) -> None:
            self._container = container

        def __getattr__(self, name: str) -> object:
            return getattr(self._container, name)

        def demux(self, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
            yield from self._container.demux(stream)
            raise IndexError("list index out of range")

    path = write(tmp_path / "a.mkv")
    with av.open(path.decode()) as container:
        frames = Frames(cast("InputContainer", TurningUpLate(container)), container.streams.video[0])
        assert [time for time, _ in frames.at([0.3, 4.9, 7])] == [0.3, 4.9]
