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

from mediawatchd.hashing.probe import probe
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

    distances = {}
    for path in paths:
        duration = duration_of(path)
        expected, found = by_command(path, duration), (video_phash(path, duration) or "").split("|")
        assert len(found) == len(expected) >= 3, path
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
