from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import av
import av.logging
import pytest
from av.video.stream import VideoStream

from mediawatchd.hashing import container
from mediawatchd.hashing.attempt import attempt
from mediawatchd.hashing.descriptor import Unreadable, stamp_of
from mediawatchd.hashing.streams import probe
from mediawatchd.model import PROBE, AudioStream, Changed, Failed, Probed, Task, Vr
from mediawatchd.model import VideoStream as Picture
from tests import boxes
from tests.media import make_audio, make_video

if TYPE_CHECKING:
    from pathlib import Path


def task_of(path: bytes) -> Task:
    stamp = stamp_of(os.lstat(path))
    assert stamp is not None
    return Task(7, path, stamp, "video", PROBE, 1, 1, 0)


def picture_of(path: bytes) -> Picture:
    found = probe(path).video
    assert found is not None
    return found


def with_boxes(path: bytes, *added: bytes) -> bytes:
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(boxes.into_picture(content, *added))
    return path


@pytest.mark.parametrize(
    ("name", "container_format", "codec"),
    [
        ("a.mp4", "mp4", "mpeg4"),
        ("a.m4v", "mp4", "mpeg4"),
        ("a.mov", "mov", "mpeg4"),
        ("a.mkv", "matroska", "mpeg4"),
        ("a.webm", "webm", "vp8"),
        ("a.avi", "avi", "mpeg4"),
        ("a.ts", "mpegts", "mpeg2video"),
        ("a.flv", "flv", "flv1"),
    ],
)
def test_videos(tmp_path: Path, name: str, container_format: str, codec: str) -> None:
    found = probe(make_video(tmp_path / name, seconds=2))
    assert found.container_format == container_format
    assert found.duration == pytest.approx(2, abs=0.2)
    assert found.bitrate == pytest.approx((tmp_path / name).stat().st_size * 8 / 2, rel=0.2)
    assert found.video == Picture(codec, 64, 36, 12, 0, 8, None)
    assert found.audio is None
    assert found.vr is None


@pytest.mark.parametrize(
    ("name", "container_format", "codec"),
    [
        ("a.mp3", "mp3", "mp3"),
        ("a.flac", "flac", "flac"),
        ("a.opus", "ogg", "opus"),
        ("a.ogg", "ogg", "opus"),
        ("a.m4a", "mp4", "aac"),
        ("a.wav", "wav", "pcm_s16le"),
    ],
)
def test_sound_and_its_tags(tmp_path: Path, name: str, container_format: str, codec: str) -> None:
    tags = {"title": "歌", "artist": "Someone", "album": "Something", "track": "3"}
    found = probe(make_audio(tmp_path / name, seconds=1, tags=tags))
    assert found.container_format == container_format
    assert found.duration == pytest.approx(1, abs=0.1)
    assert found.video is None
    assert found.vr is None
    assert found.audio == AudioStream(codec, 2, 48_000, "歌", "Someone", "Something", "3")


def test_a_film_with_sound(tmp_path: Path) -> None:
    found = probe(make_video(tmp_path / "a.mp4", audio="aac"))
    assert found.audio == AudioStream("aac", 2, 48_000)
    assert found.video is not None


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_clockwise(tmp_path: Path, rotation: int) -> None:
    assert picture_of(make_video(tmp_path / "a.mp4", rotation=rotation)).rotation == rotation


def test_hdr(tmp_path: Path) -> None:
    picture = picture_of(make_video(tmp_path / "a.mkv", codec="libx265", hdr=True, seconds=0.5))
    assert (picture.codec, picture.bit_depth, picture.hdr) == ("hevc", 10, "HDR10")


def test_dolby_vision(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", codec="libx265", hdr=True, seconds=0.5)
    assert picture_of(with_boxes(path, boxes.DOLBY_VISION)).hdr == "Dolby Vision"


def test_hybrid_log_gamma_and_hdr10_plus(tmp_path: Path) -> None:
    # An SEI message by ITU-T T.35 (country US, provider SMPTE 2094-40) with one window and nothing else in it.
    message = bytes.fromhex("b5003c0001040140") + bytes(40)
    for trc, sei, expected in ((18, b"", "HLG"), (16, message, "HDR10+")):
        path = tmp_path / f"{trc}.mkv"
        with av.open(str(path), "w") as output:
            options = {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1"}
            stream = output.add_stream("libx265", rate=12, options=options)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
            stream.codec_context.color_trc = trc
            for number in range(4):
                frame = av.VideoFrame(64, 64, "yuv420p10le")
                frame.pts = number
                for packet in stream.encode(frame):
                    output.mux(with_sei(packet, sei))
            for packet in stream.encode(None):
                output.mux(with_sei(packet, sei))
        assert picture_of(os.fsencode(path)).hdr == expected


def with_sei(packet: av.Packet, message: bytes) -> av.Packet:
    """The packet with an SEI prefix before its first picture."""
    if not message:
        return packet
    escaped = bytearray()
    for byte in bytes([4, len(message)]) + message + b"\x80":
        if byte <= 3 and escaped.endswith(b"\0\0"):
            escaped.append(3)
        escaped.append(byte)
    changed = av.Packet(b"\0\0\0\1\x4e\1" + bytes(escaped) + bytes(packet))
    changed.stream, changed.pts, changed.dts = packet.stream, packet.pts, packet.dts
    changed.time_base, changed.is_keyframe = packet.time_base, packet.is_keyframe
    return changed


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w") as output:
        sound = output.add_stream("libmp3lame", rate=48_000)
        cover = output.add_stream("mjpeg", rate=1)
        assert isinstance(cover, VideoStream)
        cover.width = cover.height = 32
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        output.mux(cover.encode(av.VideoFrame(32, 32, "yuvj420p")))
        output.mux(cover.encode(None))
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
        frame.sample_rate = 48_000
        output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    found = probe(os.fsencode(path))
    assert found.video is None
    assert found.audio is not None


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ((boxes.spherical(),), Vr("equirectangular", "mono", 360, "metadata")),
        ((boxes.STEREO_LEFT_RIGHT, boxes.spherical()), Vr("equirectangular", "left_right", 360, "metadata")),
        (
            (boxes.STEREO_LEFT_RIGHT, boxes.spherical((0, 0, 0.25, 0.25))),
            Vr("half_equirectangular", "left_right", 180, "metadata"),
        ),
        ((boxes.spherical(cubemap=True),), Vr("cubemap", "mono", 360, "metadata")),
        ((boxes.STEREO_LEFT_RIGHT,), None),
    ],
)
def test_spherical_boxes(tmp_path: Path, added: tuple[bytes, ...], expected: Vr | None) -> None:
    assert probe(with_boxes(make_video(tmp_path / "a.mp4"), *added)).vr == expected


def test_googles_first_scheme(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    make_video(path)
    path.write_bytes(boxes.into_track(path.read_bytes(), boxes.GOOGLE_FIRST_SCHEME))
    assert probe(os.fsencode(path)).vr == Vr("equirectangular", "top_bottom", 360, "metadata")


def test_vr_by_name(tmp_path: Path) -> None:
    path = make_video(tmp_path / "Canyon_180_LR.mp4")
    assert probe(path).vr == Vr("half_equirectangular", "left_right", 180, "name")


def test_a_tag_that_looks_like_side_data_is_a_tag(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    lie = "x\n    Side data:\n      spherical: equirectangular \n      displaymatrix: rotation of -90.00 degrees"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=12)
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = 64
        stream.metadata["title"] = output.metadata["title"] = lie
        output.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        output.mux(stream.encode(None))
    found = probe(os.fsencode(path))
    assert found.vr is None
    assert found.video is not None
    assert found.video.rotation == 0


@pytest.mark.parametrize("name", [b"na\xffme\n\x01%d.mp4", b"-.mp4", b"http:\\x?y=#.mp4", b"x" * 251 + b".mp4"])
def test_any_name(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    assert picture_of(make_video(path)).codec == "mpeg4"


def test_bytes_in_tags_that_are_no_text_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    make_audio(path, tags={"title": "a long title to be broken"})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"broken", b"br\xff\xfeen"))
    found = probe(os.fsencode(path))
    assert found.audio is not None
    assert found.audio.title is not None
    assert found.audio.title.startswith("a long title")
    found.audio.title.encode()


def test_long_tags_are_cut(tmp_path: Path) -> None:
    found = probe(make_audio(tmp_path / "a.flac", tags={"title": "x" * 100_000}))
    assert found.audio is not None
    assert found.audio.title == "x" * 500


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.mp4", b""),
        ("text.mkv", b"Dear diary, today I watched a film.\n" * 50),
        ("playlist.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\nfilm.ts\n#EXT-X-ENDLIST\n"),
        ("script.mp4", b"ffconcat version 1.0\nfile 'film.ts'\n"),
        ("session.mp4", b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"),
        (
            "picture.mp4",
            bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de") + bytes(64),
        ),
        ("zeros.mp4", bytes(100_000)),
        ("subtitles.mkv", b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n2\n00:00:03,000 --> 00:00:04,000\nYou\n"),
    ],
)
def test_what_is_no_media(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    task = task_of(os.fsencode(path))
    outcome = attempt(task)
    assert isinstance(outcome, Failed), outcome
    assert (outcome.problem.reason, outcome.final, outcome.lacks) == ("not_media", True, PROBE)
    with pytest.raises(Unreadable):
        probe(os.fsencode(path))


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_a_download_that_lacks_its_end_is_damaged(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    make_video(path)
    path.write_bytes(path.read_bytes()[:-1500])
    outcome = attempt(task_of(os.fsencode(path)))
    assert isinstance(outcome, Failed)
    assert (outcome.problem.reason, outcome.final) == ("decode", True)
    assert outcome.problem.text == attempt(task_of(os.fsencode(path))).problem.text  # also at the second time
    assert "fits no known format" not in outcome.problem.text


def test_what_is_left_of_a_matroska_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    make_video(path, seconds=4)
    path.write_bytes(path.read_bytes()[:-2000])
    assert picture_of(os.fsencode(path)).width == 64


def test_the_outcome_has_the_stamp_it_was_read_under(tmp_path: Path) -> None:
    task = task_of(make_video(tmp_path / "a.mp4"))
    assert attempt(task) == Probed(7, task.stamp, probe(task.path))


def test_a_file_that_changes_meanwhile_is_changed_also_when_it_looks_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    make_video(path)
    for content in (path.read_bytes(), b"half a film, still being written"):
        path.write_bytes(content)
        task = task_of(os.fsencode(path))
        opened = av.open

        def open_late(*arguments: object, opened: object = opened, **more: object) -> object:
            with open(path, "ab") as file:
                file.write(b"more")
            return opened(*arguments, **more)

        with monkeypatch.context() as patched:
            patched.setattr(av, "open", open_late)
            outcome = attempt(task)
        assert outcome == Changed(7, task.stamp, task.path, task_of(os.fsencode(path)).stamp)


def test_a_disk_error_is_not_taken_for_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "a.mkv", seconds=4)
    task = task_of(path)
    pread = os.pread
    for reads in range(3):
        count = 0

        def fail_late(descriptor: int, size: int, offset: int, reads: int = reads) -> bytes:
            nonlocal count
            count += 1
            if count > reads:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return pread(descriptor, min(size, 1000), offset)

        with monkeypatch.context() as patched:
            patched.setattr(os, "pread", fail_late)
            outcome = attempt(task)
        assert isinstance(outcome, Failed)
        assert (outcome.problem.reason, outcome.final) == ("io", False)
    assert isinstance(attempt(task), Probed)  # nothing of it is left behind


def test_the_white_list_names_real_demuxers_and_none_that_refers_to_other_files() -> None:
    names = container.DEMUXERS.split(",")
    assert sorted(names) == names
    known = {part for name in av.formats_available for part in name.split(",")}
    assert set(names) <= known
    assert not {"hls", "dash", "concat", "image2", "sdp", "rtsp", "imf", "vobsub", "webm_dash_manifest"} & set(names)


def test_ffmpeg_writes_nothing_to_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.mp4"
    make_video(path)
    content = path.read_bytes()
    for broken in (content[:-600], content[:3000] + bytes(500) + content[3500:], b"no film"):
        path.write_bytes(broken)
        attempt(task_of(os.fsencode(path)))
    assert av.logging.get_level() is None
    assert capfd.readouterr() == ("", "")


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    good = task_of(make_video(tmp_path / "a.mp4"))
    (tmp_path / "b.mp4").write_bytes(b"no film")
    bad = task_of(os.fsencode(tmp_path / "b.mp4"))
    attempt(good)
    before = os.listdir("/proc/self/fd")
    attempt(good)
    attempt(bad)
    assert os.listdir("/proc/self/fd") == before
