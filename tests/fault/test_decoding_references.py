"""Files that would have FFmpeg open another file or an address: neither is ever opened, and nothing waits."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from mediawatchd.hashing.attempt import attempt
from mediawatchd.hashing.descriptor import stamp_of
from mediawatchd.model import PROBE, Changed, Failed, Task
from tests.media import make_video

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLAYLIST = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
MANIFEST = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT9S" '
    'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>'
)
SESSION = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{}\nm=video 5004 RTP/AVP 96\n"
REFERENCES = {
    "playlist": PLAYLIST,
    "script": "ffconcat version 1.0\nfile '{}'\n",
    "manifest": MANIFEST,
    "session": SESSION,
    "redirection": "[Reference]\nRef1={}\n",
}


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[list[str]]:
    """What a file may refer to, as a path and as an address; opening either makes the test fail at its end."""
    fifo = tmp_path / "bait.ts"
    os.mkfifo(fifo)
    opened: list[str] = []

    def notice() -> None:
        os.close(os.open(fifo, os.O_WRONLY))  # waits until somebody opens it for reading
        opened.append("fifo")

    watch = threading.Thread(target=notice, daemon=True)
    watch.start()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield [str(fifo), fifo.as_uri(), f"http://127.0.0.1:{server.getsockname()[1]}/bait.ts"]
        watch.join(0.05)
        noticed = list(opened)
        with pytest.raises(BlockingIOError):  # nobody connected
            server.accept()
        os.close(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))
        watch.join(10)
    assert noticed == []


def attempt_at(path: Path) -> object:
    stamp = stamp_of(os.lstat(path))
    assert stamp is not None
    return attempt(Task(1, os.fsencode(path), stamp, "video", PROBE, 1, 1, 0))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".m3u8", ".ffconcat", ".mpd", ".sdp"])
@pytest.mark.parametrize("kind", REFERENCES)
def test_nothing_that_a_file_refers_to_is_opened(tmp_path: Path, bait: list[str], kind: str, suffix: str) -> None:
    for number, target in enumerate(bait):
        path = tmp_path / f"{number}{suffix}"
        path.write_text(REFERENCES[kind].format(target))
        outcome = attempt_at(path)
        assert isinstance(outcome, Failed), outcome
        assert (outcome.problem.reason, outcome.final) == ("not_media", True)


def test_a_name_that_is_a_pattern_or_an_address_is_only_a_name(tmp_path: Path, bait: list[str]) -> None:
    for number, name in enumerate(["%d.mp4", "concat:bait.ts|x.mp4", "subfile,,start,0,end,9,,:bait.ts", "-.mp4"]):
        path = tmp_path / name
        make_video(tmp_path / f"{number}.mp4")
        os.replace(tmp_path / f"{number}.mp4", path)
        assert not isinstance(attempt_at(path), Failed)


def test_a_fifo_in_the_place_of_a_film_is_not_opened(tmp_path: Path, bait: list[str]) -> None:
    path = tmp_path / "film.mkv"
    make_video(path)
    stamp = stamp_of(os.lstat(path))
    assert stamp is not None
    os.replace(bait[0], path)
    task = Task(1, os.fsencode(path), stamp, "video", PROBE, 1, 1, 0)
    assert attempt(task) == Changed(1, stamp, task.path, None)
    os.replace(path, bait[0])
