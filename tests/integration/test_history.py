"""What a real daemon tells of its files, over a restart too: nothing is left out, nothing comes twice."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

from tests.media import make_video
from tests.running import Running, running
from tests.trees import size, tree

if TYPE_CHECKING:
    from pathlib import Path

    Json = dict[str, Any]


def listened(daemon: Running, since: int, until: str) -> list[Json]:
    """What the stream tells after a number, up to the event of the path `until`."""
    told: list[Json] = []
    with closing(daemon.client.lines("/api/events", {"since": since}, silence_seconds=30)) as lines:
        for event in lines:
            if event["event"] != "heartbeat":
                told.append(event)
                if event["path"] == until:
                    break
    return told


def test_a_stream_goes_on_after_a_kill_without_gap_or_repeat(tmp_path: Path) -> None:
    root = tmp_path / "media"
    tree({"films/a.mp3": size(1_000), "films/b.mp3": size(2_000), "c.mp3": size(3_000)}).under(root)
    make_video(root / "films" / "bad.mkv")
    with running(tmp_path / "run", root) as daemon:
        daemon.sync()
        start = daemon.get("/api/history", {"order": "desc", "limit": 1})["items"][0]["seq"]
        os.rename(root / "films", root / "moved")
        (root / "moved" / "bad.mkv").write_bytes(b"no film any more")
        daemon.sync()
        (root / "first.mp3").write_bytes(b"1" * 100)
        told = listened(daemon, start, str(root / "first.mp3"))
        daemon.kill()
        os.unlink(root / "c.mp3")
        os.rename(root / "moved" / "a.mp3", root / "d.mp3")
        daemon.start()
        daemon.sync()
        (root / "last.mp3").write_bytes(b"2" * 100)
        told += listened(daemon, told[-1]["seq"], str(root / "last.mp3"))

        whole = daemon.get("/api/history", {"since": start, "limit": 1000})["items"]
        assert told == whole[: len(told)]
        assert {event["path"] for event in whole[len(told) :]} <= {str(root / "last.mp3")}
        assert all(event["detail"] for event in told)
        events = {(event["event"], event["path"]) for event in told}
        for name in ("first.mp3", "last.mp3"):
            assert ("added", str(root / name)) in events
        assert {("missing", str(root / "c.mp3")), ("problem", str(root / "moved/bad.mkv"))} <= events
        assert {("changed", str(root / "moved/bad.mkv")), ("root", str(root))} <= events

        moved = daemon.get("/api/history", {"path": str(root / "d.mp3")})["items"]
        assert [(event["event"], event["from"], event["path"]) for event in moved] == [
            ("problem", None, str(root / "films/a.mp3")),
            ("moved", f"{root}/films/", f"{root}/moved/"),
            ("moved", str(root / "moved/a.mp3"), str(root / "d.mp3")),
        ]
        assert daemon.get("/api/history", {"since": "2999-01-01T00:00:00Z"})["items"] == []
