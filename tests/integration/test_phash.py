"""Perceptual hashes from the command to the stored hash, with a real daemon, real videos and real decode processes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import pytest

from mediawatchd.errors import Refused
from mediawatchd.hashing.fingerprint import unpack
from mediawatchd.hashing.video import video_phash
from tests.control import ask
from tests.media import make_audio, make_video
from tests.misbehaviour import attempts
from tests.running import Running, running
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHIN = 60.0
VIDEOS = ("films/a.mp4", "films/b.mkv", "more/c.mp4", "more/d.mkv")
COUNTED = """
import sys
if any("spawn_main" in argument for argument in sys.orig_argv):
    from mediawatchd.hashing import descriptor
    from tests import misbehaviour
    opened = descriptor.open_unchanged
    def open_unchanged(task):
        misbehaviour.behave(task)
        return opened(task)
    descriptor.open_unchanged = open_unchanged
"""
Json = dict[str, Any]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of videos, made once."""
    folder = tmp_path_factory.mktemp("clips")
    for number, name in enumerate(VIDEOS):
        make_video(folder / name, content=number + 1, seconds=4)
    make_audio(folder / "song.mp3")
    return folder


@pytest.fixture
def root(tmp_path: Path, clips: Path) -> Path:
    """The videos as a library of the test's own."""
    for path in (path for path in clips.rglob("*") if path.is_file()):
        copy = tmp_path / "media" / path.relative_to(clips)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return tmp_path / "media"


@pytest.fixture
def daemon(tmp_path: Path, root: Path) -> Iterator[Running]:
    with running(tmp_path / "run", root, settings={"hashing": {"decoders": 1}}) as made:
        made.sync()
        yield made


def hashed(daemon: Running) -> dict[str, float]:
    """When each video that has a fingerprint was hashed, by its name."""
    with closing(sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        rows = connection.execute(
            "SELECT f.name, g.hashed_at FROM fingerprints AS g JOIN media_files AS f ON f.id = g.file_id "
            "WHERE g.fingerprint IS NOT NULL"
        ).fetchall()
    return {os.fsdecode(name): at for name, at in rows}


def phash(daemon: Running, *paths: Path, force: bool = False) -> int:
    body: Json = {"force": force} | ({"scan_dirs": [str(path) for path in paths]} if paths else {})
    job: int = daemon.post("/api/hash", body)["job"]
    return job


def ended(daemon: Running, job: int) -> Json:
    answer: Json = daemon.client.get(f"/api/jobs/{job}/wait", {"timeout": WITHIN}, silence_seconds=2 * WITHIN)
    return answer


def refused(daemon: Running, *paths: Path) -> Refused:
    with pytest.raises(Refused) as caught:
        phash(daemon, *paths)
    return caught.value


def ctl(daemon: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(ctl_command(daemon, *arguments), capture_output=True, text=True, timeout=100, check=False)


def ctl_command(daemon: Running, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "mediawatchd.cli.ctl", "--socket", str(daemon.socket), *arguments]


def decoders(daemon: Running) -> list[int]:
    """The decode processes."""
    assert daemon.process is not None
    tasks = Path(f"/proc/{daemon.process.pid}/task")
    children = [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]
    decoding = []
    for pid in children:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since it was listed
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                decoding.append(pid)
    return decoding


def make_slow(path: Path, pictures: int = 6_000) -> None:
    """A video of one key picture and thousands that change nothing, large enough to be decoded for half a minute."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 3840, 2160, "yuv420p"
        encoded = []
        for number in range(2):
            picture = av.VideoFrame(3840, 2160, "yuv420p")
            picture.pts = number
            encoded += stream.encode(picture)
        key, other = encoded
        for number in range(pictures):
            packet = av.Packet(bytes(key if number == 0 else other))
            packet.stream, packet.time_base = stream, other.time_base
            packet.pts = packet.dts = number
            packet.is_keyframe = number == 0
            container.mux(packet)


def is_alive(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_file_a_folder_and_everything(daemon: Running, root: Path) -> None:
    assert hashed(daemon) == {}
    one = ended(daemon, phash(daemon, root / "films" / "a.mp4"))
    assert (one["state"], one["scope"]) == ("done", [str(root / "films" / "a.mp4")])
    assert (one["total"], one["written"]) == (1, 1)
    folder = ended(daemon, phash(daemon, root / "films"))
    assert (folder["total"], folder["processed"], folder["written"], folder["skipped"]) == (2, 2, 1, 1)
    first = hashed(daemon)
    everything = ended(daemon, phash(daemon))
    assert (everything["total"], everything["written"], everything["skipped"]) == (4, 2, 2), "the song does not count"
    assert (everything["percent"], everything["failed"]) == (100.0, 0)
    assert hashed(daemon).items() > first.items(), "what is hashed is skipped"
    rows = daemon.present()
    for name in VIDEOS:
        path = bytes(root / name)
        assert rows[path]["video_phash"] == video_phash(path, rows[path]["duration"])
    assert rows[bytes(root / "song.mp3")]["video_phash"] is None
    shown = daemon.get("/api/file", {"path": str(root / "films" / "a.mp4")})
    assert (shown["fingerprint"], shown["state"]) == (True, "ready")
    catalog = daemon.status()["catalog"]
    assert (catalog["phashed"], catalog["pending_phash"]) == (4, 0)
    assert daemon.get("/api/hash/status").items() >= {"running": False, "job": everything["id"], "total": 4}.items()
    forced = ended(daemon, phash(daemon, root / "films", force=True))
    assert (forced["written"], forced["skipped"]) == (2, 0)
    again = hashed(daemon)
    assert {name for name in again if again[name] > first.get(name, again[name])} == {"a.mp4", "b.mkv"}
    with closing(sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)) as connection:
        blobs = [unpack(blob) for (blob,) in connection.execute("SELECT fingerprint FROM fingerprints")]
    assert all(fingerprint.times for fingerprint in blobs)

    metrics = ask(str(daemon.socket), "GET", "/metrics").content.decode()
    for line in (
        'mediawatchd_pending_files{kind="phash"} 0.0',
        'mediawatchd_stage_duration_seconds_count{stage="phash"} 6.0',
        'mediawatchd_queue_wait_seconds_count{queue="phash"} 6.0',
        'mediawatchd_jobs_total{kind="phash",result="done"} 4.0',
        'mediawatchd_files_processed_total{result="phashed"} 6.0',
    ):
        assert line in metrics.splitlines()

    outside = refused(daemon, root, Path("/etc"))
    assert (outside.status, outside.code, outside.detail["invalid"]) == (400, "outside_roots", ["/etc"])
    nothing = refused(daemon, root / "films", root / "films" / "none.mp4")
    assert (nothing.status, nothing.code) == (400, "unknown_path")
    assert nothing.detail["invalid"] == [str(root / "films" / "none.mp4")]
    done = ctl(daemon, "phash", str(root / "none"))
    assert (done.returncode, str(root / "none") in done.stderr) == (2, True)


def test_hashes_go_with_the_content_and_what_failed_is_tried_anew(daemon: Running, root: Path, clips: Path) -> None:
    ended(daemon, phash(daemon))
    before = daemon.present()
    os.chmod(root / "films" / "b.mkv", 0o600)
    (root / "films" / "a.mp4").write_bytes((clips / "more" / "c.mp4").read_bytes())
    (broken := root / "films" / "broken.mp4").write_bytes(b"this is no film")
    daemon.sync(walk=True)
    after = daemon.present()
    changed, touched = bytes(root / "films" / "a.mp4"), bytes(root / "films" / "b.mkv")
    assert after[changed]["video_phash"] is None
    assert after[touched]["video_phash"] == before[touched]["video_phash"]
    assert set(hashed(daemon)) == {"b.mkv", "c.mp4", "d.mkv"}
    done = ctl(daemon, "phash", "--wait", str(root / "films"))
    assert done.returncode == 6
    assert "phash 2 done: 3 of 3 files, 1 written, 1 skipped, 1 failed" in done.stdout
    assert "files --problem" in done.stderr
    assert daemon.present()[changed]["video_phash"] == before[bytes(root / "more" / "c.mp4")]["video_phash"]
    assert daemon.present()[bytes(broken)]["problem"] is not None
    assert daemon.status()["catalog"]["pending_phash"] == 0
    assert ended(daemon, phash(daemon, broken))["failed"] == 1
    broken.write_bytes((clips / "films" / "b.mkv").read_bytes())
    daemon.sync()
    mended = ctl(daemon, "--json", "phash", "--wait", str(broken))
    assert (mended.returncode, json.loads(mended.stdout)["written"]) == (0, 1)


def test_a_cancel_kills_what_is_decoded_and_keeps_what_is_done(daemon: Running, root: Path) -> None:
    ended(daemon, phash(daemon, root / "films"))
    make_slow(root / "more" / "slow.mp4")
    daemon.sync()
    daemon.post("/api/pause")
    job = phash(daemon)
    wait_until(lambda: daemon.get(f"/api/jobs/{job}")["total"] == 5, within=WITHIN)
    assert daemon.get(f"/api/jobs/{job}")["current_file"] is None
    assert daemon.status()["catalog"]["pending_phash"] == 3
    daemon.post("/api/resume")
    wait_until(lambda: daemon.get(f"/api/jobs/{job}")["current_file"] == str(root / "more/slow.mp4"), within=WITHIN)
    wait_until(lambda: daemon.get(f"/api/jobs/{job}")["written"] == 2, within=WITHIN)
    assert daemon.status()["state"] == "hashing"

    second = refused(daemon, root / "films" / "a.mp4")
    assert (second.status, second.code, second.detail["job"]) == (409, "already_running", job)
    assert second.detail["progress"]["total"] == 5  # type: ignore[index] - it is JSON
    again = ctl(daemon, "phash", "--force")
    assert (again.returncode, f"phash {job} is running already" in again.stderr) == (1, True)
    command = ctl_command(daemon, "phash", "--wait")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        assert waiting.stderr.readline() == f"mediawatchctl: phash {job} is running already; waiting for that one\n"
        progress = waiting.stderr.readline()
        assert progress.startswith(f"phash {job}: 4 of 5 files, 80.0 %")
        assert progress.endswith("more/slow.mp4\n")
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(WITHIN) == 130
        assert f"job {job} --wait` attaches again" in waiting.stderr.read()

    (crashing,) = decoders(daemon)
    os.kill(crashing, signal.SIGSEGV)
    (decoder,) = wait_until(lambda: [pid for pid in decoders(daemon) if pid != crashing], within=WITHIN)
    assert daemon.post("/api/hash/stop") == {"status": "stopping", "jobs": [job]}
    wait_until(lambda: not is_alive(decoder), within=10)  # left alone it would go on for longer
    cancelled = ended(daemon, job)
    assert (cancelled["state"], cancelled["processed"], cancelled["written"]) == ("cancelled", 4, 2)
    assert daemon.status()["catalog"].items() >= {"pending_phash": 0, "phashed": 4, "problems": 0}.items()
    with pytest.raises(Refused, match="no phash is running"):
        daemon.post("/api/hash/stop")
    assert set(hashed(daemon)) == {Path(name).name for name in VIDEOS}


def test_a_killed_daemon_goes_on_and_does_not_do_again_what_was_done(daemon: Running) -> None:
    ended(daemon, phash(daemon))
    before = hashed(daemon)
    job = phash(daemon, force=True)
    wait_until(lambda: any(at > before[name] for name, at in hashed(daemon).items()), within=WITHIN, poll=0.002)
    daemon.kill()
    halfway = {name: at for name, at in hashed(daemon).items() if at > before[name]}
    daemon.start()
    again = ended(daemon, job)
    assert (again["state"], again["force"], again["written"], again["skipped"]) == ("done", True, 4, 0)
    after = hashed(daemon)
    assert {name: after[name] for name in halfway} == halfway
    assert all(after[name] > before[name] for name in before)


def test_a_new_video_is_opened_once_for_probe_frames_and_fingerprint(tmp_path: Path, clips: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    settings = {"hashing": {"phash": True}}
    with running(tmp_path / "run", media, settings=settings, first=COUNTED) as daemon:
        for number, name in enumerate(VIDEOS):
            path = media / os.path.basename(name)
            path.write_bytes((clips / name).read_bytes())
            wait_until(lambda: len(hashed(daemon)) == number + 1, within=WITHIN)  # noqa: B023 - waited for here
            row = daemon.present()[bytes(path)]
            assert row["video_codec"] is not None
            assert row["video_phash"] is not None
            assert len(attempts(bytes(path))) == 1
        assert daemon.status()["catalog"].items() >= {"pending_probe": 0, "pending_phash": 0}.items()


def test_the_configuration_has_every_video_hashed(daemon: Running, root: Path, clips: Path) -> None:
    def configure(**hashing: object) -> None:
        daemon.configure([root], {"hashing": {"decoders": 1, **hashing}})
        daemon.post("/api/reload")

    def new(name: str) -> bytes:
        (root / name).write_bytes((clips / "films" / "a.mp4").read_bytes() + name.encode())
        daemon.sync()
        return bytes(root / name)

    configure(phash=True)
    wait_until(lambda: len(hashed(daemon)) == 4, within=WITHIN)
    path = new("whole.mp4")
    wait_until(lambda: daemon.present()[path]["video_phash"] is not None, within=WITHIN)
    assert daemon.get("/api/jobs")["items"] == []
    configure(phash=True, video_phash=False)
    path = new("fingerprint.mp4")
    wait_until(lambda: "fingerprint.mp4" in hashed(daemon), within=WITHIN)
    assert daemon.present()[path]["video_phash"] is None
    wait_until(lambda: daemon.status()["catalog"]["pending_phash"] == 0, within=WITHIN)
    configure(phash=False)
    new("unasked.mp4")
    assert daemon.status()["catalog"].items() >= {"pending_phash": 0, "phashed": 6}.items()
    assert ended(daemon, phash(daemon))["written"] == 2, "the new one, and the string that the other lacks"
    assert daemon.present()[path]["video_phash"] is not None
