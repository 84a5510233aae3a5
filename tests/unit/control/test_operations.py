"""What may be asked of a daemon, over real roots and a real catalog; the parts list and the workers are the test's."""

from __future__ import annotations

import os
import time
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd import config as configuration
from mediawatchd.catalog import browse
from mediawatchd.catalog.transaction import Policy
from mediawatchd.config import CommandLine, FileExtensions
from mediawatchd.control.feed import Feed
from mediawatchd.control.operations import Operations
from mediawatchd.control.sync import Sync
from mediawatchd.errors import Refused
from mediawatchd.model import PROBE, QUICK_HASH, Stamp, Task
from mediawatchd.watching import places
from mediawatchd.watching.filesystems import Identity
from mediawatchd.watching.rules import Rules
from mediawatchd.work.jobs import Jobs
from mediawatchd.work.phash import PhashRun
from mediawatchd.work.queue import WorkQueue
from mediawatchd.work.scan import Scan
from tests.parts import WITHIN
from tests.rooted import Rooted, rooted
from tests.trees import size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STATUS = {"version", "state", "degraded", "uptime_seconds", "roots", "catalog", "queue", "settling", "jobs"}
ROOT = {
    *("path", "path_b64", "state", "watch", "files", "bytes", "missing", "held", "unwatched_directories"),
    *("last_reconcile", "message", "hint"),
}
CATALOG = {
    *("files", "bytes", "videos", "audio", "quick_hashed", "pending_quick_hash", "phashed", "pending_phash"),
    *("missing", "problems"),
}


class MadeUpSteering:
    def __init__(self, root: bytes) -> None:
        self.config = configuration.load(None, overrides=CommandLine((root,)), environment={"XDG_STATE_HOME": "/s"})
        self.rules = Rules(extensions=FileExtensions())
        self.is_ready = True
        self.started = time.time() - 100
        self.queues = {QUICK_HASH: WorkQueue(capacity=100, busy_limit=1), PROBE: WorkQueue(capacity=20, busy_limit=1)}
        self.paused = False
        self.told: list[str] = []

    def is_paused(self) -> bool:
        return self.paused

    def pause(self, paused: bool) -> None:
        self.paused = paused

    def troubles(self) -> list[str]:
        return self.told


class Bench:
    def __init__(self, parts: Rooted, root: bytes) -> None:
        self.parts = parts
        self.root = root
        self.steering = MadeUpSteering(root)
        self.jobs = Jobs(
            database=parts.database,
            writer=parts.writer,
            errands={
                "scan": partial(
                    Scan,
                    database=parts.database,
                    writer=parts.writer,
                    within_reach=parts.roots.within_reach,
                    away=frozenset,
                    walk=parts.roots.walk,
                    current_file=lambda: None,
                ),
                "phash": partial(
                    PhashRun,
                    database=parts.database,
                    writer=parts.writer,
                    policy=lambda: Policy(0, None, 0, 0),
                    within_reach=parts.roots.within_reach,
                    away=frozenset,
                    withdraw=lambda _unwanted: None,
                    current_file=lambda: None,
                ),
            },
        )
        parts.listeners.append(lambda _committed: self.jobs.committed())
        self.operations = Operations(
            steering=self.steering,  # type: ignore[arg-type] - made up
            database=parts.database,
            writer=parts.writer,
            roots=parts.roots,
            jobs=self.jobs,
            sync=Sync(
                database=parts.database,
                writer=parts.writer,
                observers=lambda: parts.observer,  # type: ignore[arg-type, return-value] - made up
                roots=parts.roots,
            ),
            feed=Feed(database=parts.database),
            doctor=SimpleNamespace(examine=dict),  # type: ignore[arg-type] - it has tests of its own
        )

    def known(self, path: bytes) -> bool:
        with self.parts.database.reader() as connection:
            return browse.file_at(connection, path) is not None

    def scopes(self, *paths: bytes) -> tuple[bytes, ...]:
        """The scope of a scan that was asked for with these paths."""
        job = self.operations.start_scan(list(paths) or None)["job"]
        scope: tuple[bytes, ...] = self.jobs.status(job).row.scope
        return scope


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    root = tree({"a.mkv": size(10), "b.mp3": size(20), "films/c.mkv": size(30)}).under(tmp_path / "media")
    with rooted(tmp_path, root) as parts:
        made = Bench(parts, root)
        yield made
        assert made.jobs.stop(WITHIN)


def refused(call: Any, *arguments: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value


def told(bench: Bench) -> list[str]:
    bench.parts.flush()
    with bench.parts.database.reader() as connection:
        return [detail for (detail,) in connection.execute("SELECT detail FROM history WHERE event = 'root'")]


def test_status_has_the_shape_of_the_contract(bench: Bench) -> None:
    status = bench.operations.status()
    assert status.keys() >= STATUS
    assert status["catalog"].keys() >= CATALOG
    assert status["queue"] == {"length": 0, "capacity": 120}
    (root,) = status["roots"]
    assert root.keys() >= ROOT
    assert root["path"] == os.fsdecode(bench.root[:-1])
    assert (root["state"], root["watch"], root["files"], root["bytes"]) == ("online", "inotify", 3, 60)
    assert status["catalog"].items() >= {"files": 3, "bytes": 60, "videos": 2, "audio": 1, "missing": 0}.items()
    assert status["catalog"]["pending_quick_hash"] == 3
    assert 99 < status["uptime_seconds"] < 1000
    assert (status["degraded"], status["jobs"]) == (False, [])


def test_status_of_what_was_done_and_what_went(bench: Bench) -> None:
    ids = {row["path"]: row["id"] for row in bench.parts.rows()}
    bench.parts.hashed(ids[bench.root + b"a.mkv"])
    bench.parts.failed(ids[bench.root + b"b.mp3"])
    bench.parts.gone(ids[bench.root + b"films/c.mkv"])
    catalog = bench.operations.status()["catalog"]
    assert catalog.items() >= {
        "files": 2, "bytes": 30, "videos": 1, "audio": 1, "quick_hashed": 1, "pending_quick_hash": 1,
        "missing": 1, "problems": 1,
    }.items()  # fmt: skip


def test_state_is_the_first_that_holds(bench: Bench) -> None:
    steering = bench.steering
    assert bench.operations.status()["state"] == "idle"
    task = Task(1, b"/x", Stamp(1, 1, 1, 1, 1), "video", PROBE, 1, 1, 1)
    steering.queues[PROBE].offer([task])
    assert bench.operations.status()["state"] == "hashing"
    bench.parts.is_paused = True  # the keeper's walks wait, and one that waits counts as none
    kept = bench.parts.keeper(bench.root)
    kept._watch._is_awaited = True
    assert bench.operations.status()["state"] == "scanning"
    steering.paused = True
    assert bench.operations.status()["state"] == "paused"
    steering.is_ready = False
    assert bench.operations.status()["state"] == "starting"


def test_troubles_are_told_in_words(bench: Bench) -> None:
    bench.steering.told = ["the catalog cannot be written: disk full"]
    status = bench.operations.status()
    assert (status["degraded"], status["troubles"]) == (True, ["the catalog cannot be written: disk full"])


def test_a_scan_of_everything_or_of_folders(bench: Bench) -> None:
    assert bench.scopes() == (bench.root,)
    bench.operations.stop_scan(None)
    # What is no longer shown as running is in nobody's way.
    wait_until(lambda: bench.operations.status()["jobs"] == [], within=WITHIN)
    assert bench.scopes(bench.root[:-1] + b"/films") == (bench.root + b"films/",)


def test_a_folder_within_another_one_and_one_named_twice_are_walked_once(bench: Bench) -> None:
    films = bench.root + b"films"
    assert bench.scopes(films, bench.root[:-1], films, bench.root) == (bench.root,)


def test_folders_outside_the_roots_are_named_and_nothing_starts(bench: Bench) -> None:
    refusal = refused(bench.operations.start_scan, [bench.root, b"/etc", b"/media\xff"])
    assert (refusal.status, refusal.code) == (400, "outside_roots")
    assert refusal.detail == {"invalid": ["/etc", "/media\ufffd"], "invalid_b64": [None, "L21lZGlh/w=="]}
    assert bench.jobs.running() == []


def test_scan_status_before_any_scan(bench: Bench) -> None:
    assert bench.operations.scan_status().items() >= {"running": False, "job": None, "percent": None}.items()


def test_scan_status_is_that_of_the_newest(bench: Bench) -> None:
    job = bench.operations.start_scan(None)["job"]
    status = bench.operations.scan_status()
    assert (status["running"], status["job"]) == (True, job)
    assert status.keys() >= {"total", "processed", "current_file", "percent", "written", "skipped", "failed"}
    assert bench.operations.stop_scan(job) == {"status": "stopping", "jobs": [job]}
    assert bench.operations.wait_job(job, WITHIN)["state"] == "cancelled"
    assert bench.operations.scan_status()["running"] is False


def test_a_phash_job_of_everything_of_a_folder_or_of_a_file(bench: Bench) -> None:
    def scope(*paths: bytes, force: bool = False) -> tuple[bytes, ...]:
        job = bench.operations.start_hash(list(paths) or None, force)["job"]
        row = bench.jobs.wait(job, WITHIN).row if bench.operations.stop_hash(job) else None
        assert row is not None
        assert (row.kind, row.force) == ("phash", force)
        return row.scope

    film = bench.root + b"films/c.mkv"
    wait_until(lambda: bench.known(film), within=WITHIN)
    assert scope() == (bench.root,)
    assert scope(bench.root[:-1], force=True) == (bench.root,)
    assert scope(bench.root + b"films") == (bench.root + b"films/",)
    assert scope(film) == (film,)
    assert scope(film, bench.root + b"films/") == (bench.root + b"films/",)


def test_what_is_no_known_file_or_folder_is_named_and_nothing_starts(bench: Bench) -> None:
    wait_until(lambda: bench.known(bench.root + b"films/c.mkv"), within=WITHIN)
    paths = [bench.root + b"films", bench.root + b"none.mkv", bench.root + b"films/c.mkv/b"]
    refusal = refused(bench.operations.start_hash, paths, False)
    assert (refusal.status, refusal.code) == (400, "unknown_path")
    assert refusal.detail["invalid"] == [os.fsdecode(path) for path in paths[1:]]
    assert refused(bench.operations.start_hash, [b"/etc"], False).code == "outside_roots"
    assert bench.jobs.running() == []


def test_hash_status_before_any_and_of_the_newest(bench: Bench) -> None:
    fields = {"running", "total", "processed", "current_file", "percent", "written", "skipped", "failed"}
    assert bench.operations.hash_status().keys() >= fields
    assert bench.operations.hash_status()["running"] is False
    scan = bench.operations.start_scan(None)["job"]
    job = bench.operations.start_hash(None, False)["job"]
    assert bench.operations.hash_status().keys() >= fields
    assert (bench.operations.hash_status()["job"], bench.operations.scan_status()["job"]) == (job, scan)
    assert bench.operations.stop_hash(None) == {"status": "stopping", "jobs": [job]}


def test_there_is_nothing_to_stop(bench: Bench) -> None:
    assert (refused(bench.operations.stop_scan, None).status, refused(bench.operations.stop_scan, 5).status) == (
        409,
        404,
    )


def test_pause_and_resume(bench: Bench) -> None:
    assert bench.operations.pause() == {"status": "paused"}
    assert bench.steering.paused
    assert bench.operations.resume() == {"status": "resumed"}
    assert not bench.steering.paused


def test_only_a_replaced_root_can_be_accepted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = refused(bench.operations.accept_root, bench.root[:-1])
    assert (refusal.status, refusal.code) == (409, "not_replaced")
    assert refused(bench.operations.accept_root, b"/etc").status == 404
    identity = Identity("uuid:other", "uuid", "ext4", True, True, False, ())
    monkeypatch.setattr(places, "identify", lambda _fd, _mount: identity)
    kept = bench.parts.keeper(bench.root)
    kept._places._by_device.clear()
    kept.check_root()
    bench.parts.wait_for(bench.root, "replaced")
    assert bench.operations.accept_root(bench.root[:-1])["status"] == "accepted"
    bench.parts.wait_for(bench.root, "online")
    assert "what is mounted there was accepted by a person" in told(bench)


def test_held_files_are_confirmed(bench: Bench) -> None:
    bench.parts.call(
        lambda tx: tx.connection.execute("UPDATE media_files SET held = 1, absent_ns = 1 WHERE name = ?", (b"a.mkv",))
    )
    bench.parts.call(lambda tx: tx.totals.load(tx.connection))
    answer = bench.operations.confirm_missing(bench.root[:-1])
    assert (answer["status"], answer["files"], answer["path"]) == ("confirmed", 1, os.fsdecode(bench.root[:-1]))
    assert bench.parts.missing() == {bench.root + b"a.mkv"}
    assert refused(bench.operations.confirm_missing, b"/etc").status == 404


def test_a_root_is_forgotten_only_when_it_left_the_configuration(bench: Bench, tmp_path: Path) -> None:
    refusal = refused(bench.operations.forget_root, bench.root[:-1])
    assert (refusal.status, refusal.code) == (409, "still_configured")
    assert refused(bench.operations.forget_root, b"/nothing").status == 404
    bench.parts.keep(tree({"d.mkv": size(1)}).under(tmp_path / "other"))
    assert bench.operations.forget_root(bench.root[:-1])["files"] == 3
    bench.parts.settle(bytes(tmp_path / "other") + b"/")
    assert {row["path"] for row in bench.parts.rows()} == {bytes(tmp_path / "other" / "d.mkv")}
    assert refused(bench.operations.forget_root, bench.root[:-1]).status == 404
    assert "forgotten by a person, with 3 files" in told(bench)


def test_an_unknown_job(bench: Bench) -> None:
    for ask in (bench.operations.job, bench.operations.cancel_job):
        assert refused(ask, 99).status == 404
    assert refused(bench.operations.wait_job, 99, 0.1).status == 404
    assert bench.operations.jobs() == []


def test_a_verdict_is_about_two_files_that_the_catalog_knows(bench: Bench) -> None:
    a, b = bench.root + b"a.mkv", bench.root + b"b.mp3"
    assert bench.operations.dismiss(a, b) == {
        "status": "dismissed", "changed": True, "a": os.fsdecode(a), "a_b64": None, "b": os.fsdecode(b), "b_b64": None,
    }  # fmt: skip
    assert not bench.operations.dismiss(b, a)["changed"]
    assert bench.operations.undismiss(b, a)["changed"]
    assert not bench.operations.undismiss(a, b)["changed"]
    for one, other in ((a, b"/nothing"), (b"/nothing", b)):
        refusal = refused(bench.operations.dismiss, one, other)
        assert (refusal.status, "/nothing" in str(refusal)) == (404, True)
    assert refused(bench.operations.dismiss, a, a).status == 400
