"""Files that make decoders crash, hang and eat memory, and names that are no files, given to the real daemon.

What FFmpeg would stumble over changes with its version, so a module that decode processes load by themselves does it.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fault.test_decoding_references import PLAYLIST, REFERENCES, bait
from tests.media import make_video
from tests.misbehaviour import attempts
from tests.running import Running, running
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["bait"]

WITHIN = 60.0
PROJECT = Path(__file__).parents[2]
MISBEHAVING = """
import os, signal, sys
if any("spawn_main" in argument for argument in sys.orig_argv):
    from mediawatchd.hashing import descriptor
    from tests import misbehaviour
    well_behaved = descriptor.open_unchanged
    def open_unchanged(task):
        name = os.path.basename(task.path)
        if name.startswith(b"crashes"):
            misbehaviour.die(task, signal.SIGSEGV)
        elif name.startswith(b"hangs"):
            misbehaviour.hang(task)
        elif name.startswith(b"eats"):
            misbehaviour.eat_memory(task)
        return well_behaved(task)
    descriptor.open_unchanged = open_unchanged
"""
AT_PICTURES = """
import os, signal, sys
if any("spawn_main" in argument for argument in sys.orig_argv):
    from mediawatchd.hashing import attempt
    from tests import misbehaviour
    def hashed(_container, task, *_, **__):
        if b"crashes" in task.path:
            misbehaviour.die(task, signal.SIGSEGV)
        misbehaviour.hang(task)
    attempt._hashed = hashed
"""
KEYED = PLAYLIST.replace("{}", "{0}").replace("#EXTINF", '#EXT-X-KEY:METHOD=AES-128,URI="{0}"\n#EXTINF')
DECODING = {"phash": True, "decoders": 2, "decode_timeout_seconds": 15, "decode_memory_mb": 256}


def settled(daemon: Running) -> dict[str, dict[str, Any]]:
    """The present rows by name, when nothing is left to do."""
    daemon.sync(walk=True)
    kinds = ("pending_quick_hash", "pending_probe", "pending_phash")
    wait_until(lambda: not any(daemon.status()["catalog"][kind] for kind in kinds), within=WITHIN, shows=daemon.said)
    return {os.path.basename(os.fsdecode(path)): row for path, row in daemon.present().items()}


def shown(daemon: Running, path: Path) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = daemon.get("/api/file", {"path": str(path)})
    return answer


def test_decoders_that_crash_hang_and_eat_memory_cost_their_file_and_nothing_else(tmp_path: Path) -> None:
    media = tmp_path / "media"
    names = ("crashes.mkv", "eats.mkv", "hangs.mkv", "sound.mkv")
    for number, name in enumerate(names):
        make_video(media / name, content=number, seconds=2)
    (tmp_path / "sitecustomize.py").write_text(MISBEHAVING)
    command = ["env", f"PYTHONPATH={tmp_path}{os.pathsep}{PROJECT}"]
    with running(tmp_path / "run", media, settings={"hashing": DECODING}, command=command) as daemon:
        pid = daemon.process and daemon.process.pid
        rows = settled(daemon)
        assert rows["sound.mkv"]["video_phash"] is not None
        assert rows["sound.mkv"]["problem"] is None
        for name, says, tries in zip(
            names, ("SIGSEGV", "decode_memory_mb", "decode_timeout_seconds"), (2, 1, 1), strict=False
        ):
            assert says in rows[name]["problem"], rows[name]
            assert rows[name]["quick_hash"] is not None
            assert len(attempts(bytes(media / name))) == tries

        settled(daemon)
        crashes = media / "crashes.mkv"
        assert len(attempts(bytes(crashes))) == 2, "a walk alone does not try it again"
        job = daemon.post("/api/hash", {"scan_dirs": [str(crashes)]})["job"]
        daemon.client.get(f"/api/jobs/{job}/wait", {"timeout": WITHIN}, silence_seconds=2 * WITHIN)
        settled(daemon)
        asked = len(attempts(bytes(crashes)))
        assert asked >= 4, "somebody asked"
        make_video(crashes, content=9, seconds=2)
        settled(daemon)
        assert len(attempts(bytes(crashes))) >= asked + 2, "it changed"
        assert (daemon.process and daemon.process.pid) == pid
        assert "Traceback" not in daemon.log.read_text()


def test_decoders_that_crash_and_hang_on_pictures_cost_the_hashes_and_not_the_probe(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    with running(tmp_path / "run", media, settings={"hashing": DECODING}, first=AT_PICTURES) as daemon:
        for name, says, tries in (("crashes.mkv", "SIGSEGV", 2), ("hangs.mkv", "decode_timeout_seconds", 1)):
            make_video(media / name, content=tries, seconds=2)
            daemon.sync()
            assert daemon.present()[bytes(media / name)]["video_codec"] == "mpeg4", "whatever becomes of its pictures"
            row = settled(daemon)[name]
            assert says in row["problem"]
            assert (row["video_codec"], row["video_phash"]) == ("mpeg4", None)
            assert len(attempts(bytes(media / name))) == tries
        assert "Traceback" not in daemon.log.read_text()


def test_no_file_makes_the_daemon_open_another_or_an_address(tmp_path: Path, bait: list[str]) -> None:
    media = tmp_path / "media"
    media.mkdir()
    path, _, address = bait
    targets = [
        *bait,
        address.replace("http:", "tcp:"),
        f"crypto:{path}",
        f"subfile,,start,0,end,9,,:{path}",
        f"concat:{path}|{path}",
        f"async:cache:{path}",
        "data:text/plain;base64,AAAA",
    ]
    wanted = set()
    for kind, text in {**REFERENCES, "keyed playlist": KEYED}.items():
        for number, target in enumerate(targets):
            for suffix in (".mp4", ".mkv", ".ts"):
                (media / f"{kind}{number}{suffix}").write_text(text.format(target))
                wanted.add(f"{kind}{number}{suffix}")
    os.mkfifo(media / "fifo.mkv")
    with (
        socket.socket(socket.AF_UNIX) as listening,
        running(tmp_path / "run", media, settings={"hashing": DECODING}) as daemon,
    ):
        listening.bind(str(media / "socket.mkv"))
        rows = settled(daemon)
        assert set(rows) == wanted, "what is no file is not in the catalog"
        assert all(row["problem"].startswith("Not a media file") for row in rows.values())
        (swapped := media / "swapped.mkv").write_bytes(Path(os.fsdecode(make_video(tmp_path / "a.mkv"))).read_bytes())
        assert settled(daemon)["swapped.mkv"]["problem"] is None
        swapped.unlink()
        os.mkfifo(swapped)
        assert set(settled(daemon)) <= {*wanted, "swapped.mkv"}
        assert "Traceback" not in daemon.log.read_text()


@pytest.mark.needs_root
def test_whoever_is_not_root_decodes_within_the_same_limits(tmp_path: Path) -> None:
    """The kernel lets root start processes beyond the limit: only another user shows that no decoder needs one."""
    media = tmp_path / "media"
    kinds: dict[str, dict[str, object]] = {
        "h264.mp4": {"codec": "libx264", "b_frames": 2},
        "hevc.mkv": {"codec": "libx265", "b_frames": 2},
        "hdr.mkv": {"codec": "libx265", "hdr": True},
        "av1.mkv": {"codec": "libsvtav1"},
        "vp9.webm": {"codec": "libvpx-vp9"},
        "mpeg2.ts": {},
        "turned.mp4": {"rotation": 90},
    }
    for number, (name, more) in enumerate(kinds.items()):
        make_video(media / name, content=number, seconds=3, **more)
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", 65_534, 65_534)
    # It may pass the folders that pytest and the tests' Python lie in, which are root's own.
    rights = "+dac_override,+dac_read_search"
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={rights}"]
    command += [f"--ambient-caps={rights}", f"--bounding-set=-all,{rights}"]
    with running(tmp_path / "run", media, settings={"hashing": DECODING}, command=command) as daemon:
        rows = settled(daemon)
        assert set(rows) == set(kinds)
        for name, row in rows.items():
            assert row["problem"] is None, name
            assert row["video_phash"] is not None, name
        assert shown(daemon, media / "av1.mkv")["fingerprint"]
