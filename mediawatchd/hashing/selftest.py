"""Whether decoding works here: a tiny clip is made, probed and decoded, in a process that is started for it alone.

`run` is the caller's side and loads no PyAV; `python -m mediawatchd.hashing.selftest` is the process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

SECONDS = 30.0
"""A busy machine starts a Python slowly."""
COMMAND = (sys.executable, "-P", "-m", "mediawatchd.hashing.selftest")


def run(*, timeout_seconds: float = SECONDS) -> str | None:
    """Make, probe and decode a clip; None when all went well, else what did not, in a sentence."""
    try:
        done = subprocess.run(COMMAND, capture_output=True, timeout=timeout_seconds, check=False, text=True)
    except subprocess.TimeoutExpired:
        return f"decoding a tiny clip took longer than {timeout_seconds:g} s"
    except OSError as error:
        return f"a decode process cannot be started: {error.strerror}"
    if done.returncode == 0:
        return None
    said = done.stderr.strip().rpartition("\n")[2]
    ended = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
    return f"decoding a tiny clip failed with {ended}: {said or 'no message'}"


def main() -> None:
    """Raise what goes wrong."""
    from mediawatchd.hashing.streams import probe  # noqa: PLC0415
    from mediawatchd.hashing.video import video_phash  # noqa: PLC0415 - PyAV is for this process only

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(os.fsencode(folder), b"clip.mkv")
        _write(path)
        found = probe(path)
        if found.video is None or found.video.codec != "mpeg4":
            raise RuntimeError("the clip was not recognised")
        if video_phash(path, found.duration) is None:
            raise RuntimeError("no picture of the clip could be decoded")


def _write(path: bytes) -> None:
    import av  # noqa: PLC0415

    with av.open(os.fsdecode(path), "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([25 * number]) * plane.buffer_size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


if __name__ == "__main__":
    main()
