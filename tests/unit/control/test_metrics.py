"""What a scrape says, over a real catalog that is not running: the parts tell what they tell."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from mediawatchd import __version__
from mediawatchd.catalog.database import Database
from mediawatchd.catalog.totals import FIELDS
from mediawatchd.catalog.writer import WriterStatistics
from mediawatchd.control import metrics
from mediawatchd.control.metrics import Metrics
from mediawatchd.hashing.decoding import DecodeStatistics
from mediawatchd.model import PHASH, PROBE, QUICK_HASH, Stamp, Task
from mediawatchd.telemetry.durations import Durations
from mediawatchd.telemetry.heartbeat import Heartbeats
from mediawatchd.telemetry.logs import Counter
from mediawatchd.watching.sink import LOST_REASONS, ObserverStatistics
from mediawatchd.watching.status import RootStatus
from mediawatchd.work.queue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAMPLE = re.compile(r"^(?P<name>\w+)(\{(?P<labels>.*)\})? (?P<value>\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
FILMS = RootStatus(
    id=1, path=b"/films/", state="online", since=0, message=None, hint=None, next_attempt=None, watch="inotify",
    unwatched_directories=3, walking=None, last_walk=None, last_walk_seconds=4.5,
)  # fmt: skip
NO_TIMES = Durations().counts()
WRITER = WriterStatistics(
    queued=7, capacity=20_000, oldest=None, waits=NO_TIMES, writes=NO_TIMES, discovered=11, results={"hashed": 5},
    failures={(PROBE, "decode"): 2}, walks={(1, "complete"): 3, (1, "another file system is mounted"): 1, (9, "x"): 4},
    hashed_bytes=4096, dropped=1, trouble=None,
)  # fmt: skip


class Parts:
    """The parts as they are between two scrapes; a test changes one and scrapes again."""

    def __init__(self, database: Database) -> None:
        self.config = SimpleNamespace(hashing=SimpleNamespace(workers=4, decoders=2))
        self.queues = {bit: WorkQueue(capacity=10, busy_limit=2) for bit in (QUICK_HASH, PROBE, PHASH)}
        decoding = DecodeStatistics(0, 1, True, 0, 0, 0, 0, {PROBE: NO_TIMES, PHASH: NO_TIMES})
        pool = SimpleNamespace(statistics=lambda: decoding)
        self.workers = SimpleNamespace(
            queues=self.queues,
            decoders=SimpleNamespace(pool=lambda: pool),
            hashers=SimpleNamespace(durations=lambda: NO_TIMES),
        )
        self.last_reload = (True, 1_700_000_000.0)
        self.broken: list[str] = []
        self.writing = WRITER
        self.watching = ObserverStatistics(
            alive=True, restarts=2, watches=40, watches_limit=None, canary_last_seen=None, events={"closed": 6},
            lost={(1, "overflow"): 2, (9, "limit"): 1}, child_pids=(), degraded=None,
        )  # fmt: skip
        self.all = [FILMS]
        self.totals = {1: dict.fromkeys(FIELDS, 0) | {"files": 100, "bytes": 5_000, "held": 60, "pending_probe": 8}}
        self.jobs: list[Any] = []
        self.heartbeats = Heartbeats()
        self.messages = Counter()
        roots = SimpleNamespace(
            statuses=lambda: self.all,
            totals=lambda _connection: self.totals,
            keepers=lambda: [SimpleNamespace(root_id=root.id, is_walking=lambda: True) for root in self.all],
            durations=lambda: NO_TIMES,
        )
        given: dict[str, Any] = {
            "steering": self,
            "writer": SimpleNamespace(statistics=lambda: self.writing),
            "observers": lambda: SimpleNamespace(statistics=lambda: self.watching),
            "roots": roots,
            "jobs": SimpleNamespace(running=lambda: self.jobs, ended=lambda: {("scan", "done"): 1}),
            "application": SimpleNamespace(requests=lambda: {("/api/jobs/<job>", 200): 2}),
        }
        self.metrics = Metrics(
            database=database, heartbeats=self.heartbeats, messages=self.messages, **cast("dict[str, Any]", given)
        )

    def is_paused(self) -> bool:
        return False

    def troubles(self) -> list[str]:
        return self.broken

    def scrape(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        text = self.metrics.render()[0].decode()
        found = {}
        for line in text.splitlines():
            if match := SAMPLE.match(line):
                labels = frozenset(LABEL.findall(match["labels"] or ""))
                assert (match["name"], labels) not in found, line
                found[match["name"].removeprefix("mediawatchd_"), labels] = float(match["value"])
        return found

    def value(self, name: str, **labels: str) -> float:
        return self.scrape()[name, frozenset(labels.items())]

    def series(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        return {labels: value for (each, labels), value in self.scrape().items() if each == name}


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    database = Database(tmp_path / "catalog.db")
    database.open()
    yield Parts(database)
    database.close()


def test_it_is_a_text_that_every_prometheus_reads(parts: Parts) -> None:
    body, content_type = parts.metrics.render()
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert body.endswith(b"\n")
    assert f'version="{__version__}"'.encode() in body


def test_two_of_them_share_nothing(parts: Parts, tmp_path: Path) -> None:
    database = Database(tmp_path / "other.db")
    database.open()
    other = Parts(database)
    other.totals[1]["files"] = 3
    assert (parts.value("root_files", root="/films"), other.value("root_files", root="/films")) == (100, 3)
    database.close()


def test_a_root_is_in_one_state(parts: Parts) -> None:
    parts.all = [FILMS._replace(state="replaced")]
    states = parts.series("root_state")
    assert states == {
        frozenset({("root", "/films"), ("state", state)}): float(state == "replaced")
        for state in ("online", "offline", "replaced", "error")
    }
    assert parts.value("root_up", root="/films") == 0


def test_what_has_not_happened_yet_is_told_as_0(parts: Parts) -> None:
    lost = parts.series("watch_lost_total")
    assert {dict(labels)["reason"] for labels in lost} == set(LOST_REASONS)
    assert sorted(lost.values()) == [0] * 7 + [2]
    errors = parts.series("processing_errors_total")
    assert len(errors) == 24
    assert sum(errors.values()) == errors[frozenset({("stage", "probe"), ("reason", "decode")})] == 2
    assert parts.value("files_processed_total", result="vanished") == 0
    assert parts.value("jobs_total", kind="phash", result="failed") == 0
    assert parts.value("log_messages_total", level="critical") == 0


def test_roots_that_are_not_configured_any_more_are_not_told_of(parts: Parts) -> None:
    roots = {dict(labels).get("root") for _, labels in parts.scrape()} - {None}
    assert roots == {"/films"}


def test_walks_that_ended_in_no_usual_way_failed(parts: Parts) -> None:
    assert parts.value("scans_total", root="/films", result="complete") == 3
    assert parts.value("scans_total", root="/films", result="failed") == 1
    assert parts.value("scan_in_progress", root="/films") == 1
    assert parts.value("last_scan_duration_seconds", root="/films") == 4.5
    assert parts.value("last_scan_success_timestamp_seconds", root="/films") == 0


def test_no_two_roots_have_one_label(parts: Parts) -> None:
    # They look the same, and Prometheus would take nothing at all of a scrape with a sample twice.
    parts.all = [FILMS._replace(path=b"/a\xff/"), FILMS._replace(id=2, path=b"/a\\xff/")]
    assert len(parts.series("root_files")) == 2


def test_a_label_holds_any_name(parts: Parts) -> None:
    parts.all = [FILMS._replace(path='/a"b\\c\n音/'.encode())]
    [labels] = parts.series("root_files")
    assert dict(labels)["root"] == '/a\\"b\\\\c\\\\n音'


def test_a_queue_tells_since_when_it_waits_and_how_long_was_waited(parts: Parts) -> None:
    assert parts.value("queue_oldest_item_timestamp_seconds", queue="hash") == 0
    before = time.time()
    stamp = Stamp(1, 1, 1, 1, 1)
    parts.queues[QUICK_HASH].offer(Task(number, b"/f", stamp, "video", 1, 1, 1, 0) for number in (1, 2, 3))
    assert before - 1 < parts.value("queue_oldest_item_timestamp_seconds", queue="hash") < time.time() + 1
    assert parts.value("queue_length", queue="hash") == 3
    parts.queues[QUICK_HASH].take(2)
    assert parts.value("queue_wait_seconds_count", queue="hash") == 2
    assert parts.value("queue_wait_seconds_bucket", queue="hash", le="+Inf") == 2
    assert parts.value("queue_wait_seconds_count", queue="probe") == 0
    assert parts.value("queue_length", queue="hash") == 1
    assert parts.value("workers_busy", pool="hash") == 1
    assert parts.value("workers", pool="hash") == 4


def test_buckets_count_all_that_took_up_to_their_bound(parts: Parts) -> None:
    times = Durations((1, 2))
    times.add([0.5, 0.6, 1.5, 9])
    parts.writing = replace(parts.writing, writes=times.counts())
    assert [parts.value("db_write_duration_seconds_bucket", le=bound) for bound in ("1.0", "2.0", "+Inf")] == [2, 3, 4]
    assert parts.value("db_write_duration_seconds_sum") == pytest.approx(11.6)


def test_a_thread_that_waits_for_work_is_alive_now(parts: Parts) -> None:
    with parts.heartbeats.register("feeder").idle():
        assert parts.value("worker_heartbeat_timestamp_seconds", worker="feeder") == pytest.approx(time.time(), abs=5)


def test_a_catalog_that_cannot_be_written_is_down(parts: Parts) -> None:
    assert (parts.value("db_up"), parts.value("degraded")) == (1, 0)
    parts.writing = replace(parts.writing, trouble="the disk is full")
    parts.broken = ["the disk is full"]
    assert (parts.value("db_up"), parts.value("degraded")) == (0, 1)


def test_a_reload_that_failed_is_told_with_the_time_of_the_last_that_succeeded(parts: Parts) -> None:
    parts.last_reload = (False, 1_700_000_000.0)
    assert parts.value("config_last_reload_successful") == 0
    assert parts.value("config_last_reload_success_timestamp_seconds") == 1_700_000_000


def test_jobs_are_told_of_together_and_never_by_their_number(parts: Parts) -> None:
    assert parts.value("job_progress_ratio", kind="scan") == 0
    rows = [(None, 0), (100, 50), (300, 50)]
    parts.jobs = [
        SimpleNamespace(row=SimpleNamespace(kind="scan", total=total, processed=done)) for total, done in rows
    ]
    assert parts.value("job_progress_ratio", kind="scan") == 0.25
    assert parts.value("job_progress_ratio", kind="phash") == 0
    assert parts.value("control_requests_total", route="/api/jobs/<job>", code="200") == 2


def test_a_library_that_has_just_arrived_is_not_counted_at_each_scrape(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as catalog, catalog:
        catalog.execute("INSERT INTO directories (id, path, path_is_text) VALUES (1, x'2f', 1)")
        catalog.executemany(
            "INSERT INTO media_files (directory_id, name, name_is_text, media_type, size, mtime_ns, due_ns, lacks, "
            "first_seen) VALUES (1, ?, 1, 'video', 1, 1, 1 << 62, 7, 0)",
            [(b"%d" % number,) for number in range(5)],
        )
    assert parts.value("settling_files") == 5
    monkeypatch.setattr(metrics, "MOST_SETTLING", 3)
    assert parts.value("settling_files") == 3
