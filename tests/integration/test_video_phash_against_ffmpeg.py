"""`video_phash` against what it must equal: Debian's ffmpeg command, Pillow and imagehash, frame by frame."""

from __future__ import annotations

import io
import shutil
import subprocess
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import imagehash
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image

from mediawatchd.hashing.streams import probe
from mediawatchd.hashing.video import video_phash
from tests.media import make_video

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")

PLAIN = [
    ("h264.mp4", {"codec": "libx264"}),
    ("h264.mkv", {"codec": "libx264", "b_frames": 3}),
    ("h264.mp4", {"codec": "libx264", "b_frames": 3, "audio": "aac"}),
    ("h264.flv", {"codec": "libx264", "b_frames": 2}),
    ("h264.mp4", {"codec": "libx264", "pixels": "yuv444p"}),
    ("h265.mkv", {"codec": "libx265", "b_frames": 3}),
    ("h265.mp4", {"codec": "libx265", "hdr": True}),
    ("vp8.webm", {}),
    ("vp9.webm", {"codec": "libvpx-vp9"}),
    ("av1.mkv", {"codec": "libsvtav1"}),
    ("mpeg4.avi", {}),
    ("mpeg4.mp4", {"b_frames": 2}),
    ("mpeg2.ts", {"b_frames": 2}),
    ("mpeg2.mkv", {"codec": "mpeg2video"}),
    ("flv1.flv", {}),
    ("turned90.mp4", {"rotation": 90}),
    ("turned180.mov", {"rotation": 180}),
    ("turned270.mp4", {"rotation": 270, "codec": "libx264", "b_frames": 2}),
]

# Made by the command from one h264 source: {source}, and what no encoder of PyAV's or no muxer of its is asked for.
MADE = {
    "prores.mov": "-i {source} -c:v prores_ks",
    "mjpeg.avi": "-i {source} -c:v mjpeg -pix_fmt yuvj422p",
    "ffv1.mkv": "-i {source} -c:v ffv1 -g 1",
    "wmv2.wmv": "-i {source} -c:v wmv2 -b:v 600k",
    "theora.ogv": "-i {source} -c:v libtheora -q:v 6",
    "av1.mp4": "-i {source} -c:v libsvtav1 -preset 10 -g 30",
    "vp9.mp4": "-i {source} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 30",
    "open.mp4": "-i {source} -c:v libx264 -preset veryfast -x264-params open-gop=1:keyint=20:bframes=3",
    "open.mkv": "-i {source} -c:v libx265 -preset ultrafast -x265-params open-gop=1:keyint=20:bframes=3:log-level=none",
    "open.ts": "-i {source} -c:v libx264 -preset veryfast -x264-params open-gop=1:keyint=20:bframes=3",
    "interlaced.ts": "-i {source} -c:v mpeg2video -b:v 1M -bf 2 -flags +ilme+ildct -top 1",
    "interlaced.mp4": "-i {source} -c:v libx264 -preset veryfast -flags +ilme+ildct -x264-params tff=1:keyint=20",
    "ten-bit.mkv": "-i {source} -c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params log-level=none",
    "full-range.mp4": "-i {source} -vf scale=out_range=full -c:v libx264 -preset veryfast -color_range pc",
    "odd.webm": "-i {source} -vf crop=317:179:0:0:exact=1 -c:v libvpx-vp9 -deadline realtime -cpu-used 8",
    "odd.mkv": "-i {source} -vf crop=317:179:0:0:exact=1 -c:v mpeg4 -q:v 5",
    "odd.mp4": "-i {source} -vf format=yuv444p,crop=317:179:0:0 -c:v libx264 -preset veryfast",
    "anamorphic.mp4": "-i {source} -vf setsar=4/3 -c:v mpeg4 -q:v 5",
    "anamorphic.ts": "-i {source} -vf setsar=16/11 -c:v mpeg2video -b:v 1M",
    "late.mkv": "-i {source} -c copy -output_ts_offset 5",
    "late.mp4": "-i {source} -c copy -output_ts_offset 5",
    "late.ts": "-i {source} -c copy -output_ts_offset 100",
    "cut.mp4": "-ss 1.3 -i {source} -c copy",
    "cut.mov": "-ss 1.3 -i {source} -c copy -t 3",
    "cut.mkv": "-ss 1.3 -i {source} -c copy",
    "fragments.mp4": "-i {source} -c copy -movflags frag_keyframe+empty_moov",
    "cover.mp4": "-i {source} -i {cover} -map 1 -map 0 -c copy -disposition:v:0 attached_pic",
    "cover.mkv": "-i {source} -c copy -attach {cover} -metadata:s:t mimetype=image/jpeg",
    "upside.mkv": "-i {source} -vf vflip -c:v mpeg4 -q:v 5 -bf 2",
}


def made_by_command(folder: Path) -> list[bytes]:
    source = write_frames(folder / "source.mp4", range(0, 5000, 40)).decode()
    cover = str(folder / "cover.jpg")
    run = ["ffmpeg", "-nostdin", "-v", "error", "-threads", "1"]
    subprocess.run([*run, "-f", "lavfi", "-i", "color=red:s=640x640", "-frames:v", "1", cover], check=True, timeout=60)
    paths = []
    for name, arguments in MADE.items():
        made = [part.format(source=source, cover=cover) for part in arguments.split()]
        paths.append(str(folder / name))
        done = subprocess.run([*run, *made, paths[-1]], capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, (name, done.stderr)
    return [path.encode() for path in paths]


def by_command(path: bytes, duration: float) -> list[str]:
    """What the hash is defined by."""
    hashes = []
    for number in range(1, 5):
        command = ["ffmpeg", "-nostdin", "-v", "error", "-ss", str(duration * number / 5), "-i", path, "-frames:v", "1"]
        command += ["-f", "image2", "-vcodec", "mjpeg", "-q:v", "5", "pipe:1"]
        picture = subprocess.run(command, capture_output=True, check=False, timeout=60).stdout
        if picture:
            hashes.append(str(imagehash.dhash(Image.open(io.BytesIO(picture)))))
    return hashes


def duration_of(path: bytes) -> float:
    duration = probe(path).duration
    assert duration is not None
    return duration


def write_frames(path: Path, times_ms: Iterable[int], *, sizes: tuple[tuple[int, int], ...] = ((320, 180),)) -> bytes:
    """A video with frames at just these times, and a stream of it for every size; each frame is another picture."""
    with av.open(str(path), "w") as output:
        streams = []
        for size in sizes:
            stream = output.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "2", "g": "20"})
            assert isinstance(stream, VideoStream)
            stream.width, stream.height = size
            stream.codec_context.time_base = Fraction(1, 1000)
            streams.append(stream)
        random = np.random.default_rng(len(sizes))
        for time in times_ms:
            for stream in streams:
                small = av.VideoFrame.from_ndarray(random.integers(20, 230, (9, 16), np.uint8), format="gray")
                frame = small.reformat(stream.width, stream.height, "yuv420p", interpolation="BICUBIC")
                frame.pts, frame.time_base = time, Fraction(1, 1000)
                output.mux(stream.encode(frame))
        for stream in streams:
            output.mux(stream.encode(None))
    return str(path).encode()


@pytest.mark.timeout(480)  # 50 videos are made, and the command runs 204 times
def test_the_same_hashes_as_the_command(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    paths = [
        make_video(tmp_path / f"{number}-{name}", content=number, seconds=6, size=(320, 180), **more)
        for number, (name, more) in enumerate(PLAIN)
    ]
    steps = np.random.default_rng(3).integers(10, 200, 80)
    paths.append(write_frames(tmp_path / "h264.ts", range(0, 6000, 40)))
    paths.append(write_frames(tmp_path / "variable.mkv", np.cumsum(steps).tolist()))
    paths.append(write_frames(tmp_path / "variable.mp4", np.cumsum(steps).tolist()))
    paths.append(write_frames(tmp_path / "streams.mkv", range(0, 4000, 40), sizes=((160, 90), (640, 360), (320, 180))))
    paths += made_by_command(tmp_path)

    distances = {}
    for path in paths:
        duration = duration_of(path)
        expected, found = by_command(path, duration), (video_phash(path, duration) or "").split("|")
        assert len(found) == len(expected) >= 2, path  # Matroska that starts late says a duration too long
        distances[path] = [
            (int(ours, 16) ^ int(theirs, 16)).bit_count() for ours, theirs in zip(found, expected, strict=True)
        ]
    frames = [distance for of_one in distances.values() for distance in of_one]
    share = frames.count(0) / len(frames)
    record_property("identical_frames", share)
    print(f"{share:.1%} of {len(frames)} frames are identical, the worst differs in {max(frames)} bits")
    print("\n".join(f"{path.decode().rpartition(chr(47))[2]} {of_one}" for path, of_one in distances.items()))
    differing = {path: of_one for path, of_one in distances.items() if any(of_one)}
    assert max(frames) <= 3, differing
    assert share >= 0.95, differing
