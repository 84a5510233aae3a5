"""What may be asked of a running daemon: the one set of answers behind the HTTP API, the commands and the page.

Called on the threads of whoever asks, several at once. It holds no state of its own: it asks the parts for their
snapshots, and hands changes to the thread that owns what is to be changed.
"""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING, Any, Protocol

from mediawatchd import __version__
from mediawatchd import config as configuration
from mediawatchd.catalog import browse, missing, offers, similar
from mediawatchd.catalog import known as known_paths
from mediawatchd.catalog import roots as root_rows
from mediawatchd.catalog.browse import path_fields
from mediawatchd.catalog.database import SQLITE_VERSION
from mediawatchd.catalog.jobs import covers
from mediawatchd.catalog.matching import count_unmatched
from mediawatchd.catalog.totals import FIELDS
from mediawatchd.control.copies import Reach
from mediawatchd.control.duplicates import Verifier
from mediawatchd.control.explaining import explain
from mediawatchd.errors import Refused
from mediawatchd.model import MAX_INTEGER
from mediawatchd.paths import printable, unslashed
from mediawatchd.similarity.matcher import SCORE_VERSION
from mediawatchd.work.progress import iso_time, job_fields, path_lists

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.jobs import Scope
    from mediawatchd.catalog.transaction import Transaction
    from mediawatchd.catalog.writer import Writer
    from mediawatchd.config import Config
    from mediawatchd.control.doctor import Doctor
    from mediawatchd.control.feed import Feed, Listener
    from mediawatchd.control.sync import Sync
    from mediawatchd.model import JobKind
    from mediawatchd.watching.roots import Roots
    from mediawatchd.watching.rules import Rules
    from mediawatchd.watching.status import RootStatus
    from mediawatchd.watching.unreadable import UnreadableDirectory
    from mediawatchd.work.jobs import Jobs
    from mediawatchd.work.queue import WorkQueue

NOTHING = dict.fromkeys(FIELDS, 0)
NAMED = 20
"""How many unreadable directories of a root, and how many disks below it that are away, status tells by name."""


class Steering(Protocol):
    """What only the parts list can do or tell."""

    @property
    def config(self) -> Config: ...
    @property
    def rules(self) -> Rules: ...
    @property
    def is_ready(self) -> bool: ...
    @property
    def started(self) -> float: ...
    @property
    def queues(self) -> Mapping[int, WorkQueue]: ...
    def is_paused(self) -> bool: ...
    def pause(self, paused: bool) -> None: ...
    def reload(self) -> None: ...
    def troubles(self) -> list[str]: ...
    def metrics(self) -> tuple[bytes, str]: ...
    def is_healthy(self) -> bool: ...


class Operations:
    """Any thread may call any method; what cannot be granted is raised as Refused."""

    def __init__(
        self,
        *,
        steering: Steering,
        database: Database,
        writer: Writer,
        roots: Roots,
        jobs: Jobs,
        sync: Sync,
        feed: Feed,
        doctor: Doctor,
    ) -> None:
        self._steering = steering
        self._database = database
        self._writer = writer
        self._roots = roots
        self._jobs = jobs
        self._sync = sync
        self._feed = feed
        self._doctor = doctor
        self._verifier = Verifier(reader=database.reader, writer=writer, reach=self.reach)

    def version(self) -> dict[str, Any]:
        return {"version": __version__, "python": platform.python_version(), "sqlite": SQLITE_VERSION}

    def status(self) -> dict[str, Any]:
        statuses = self._roots.statuses()
        now_ns = self._database.clock.now_ns()
        with self._database.reader() as connection:
            totals = self._roots.totals(connection)
            rows = root_rows.load_roots(connection)
            settling = offers.settling(connection, now_ns)
            unmatched = count_unmatched(connection, SCORE_VERSION, MAX_INTEGER)
        whole = {field: sum(each[field] for each in totals.values()) for field in FIELDS}
        queues = [queue.statistics() for queue in self._steering.queues.values()]
        troubles = self._steering.troubles()
        return {
            "version": __version__,
            "state": self.state(),
            "degraded": bool(troubles),
            "troubles": troubles,
            "uptime_seconds": round(time.time() - self._steering.started, 1),
            "roots": [
                _root_fields(status, totals.get(status.id, NOTHING), rows[status.id].last_reconcile)
                for status in statuses
                if status.id in rows
            ],
            "catalog": {
                **{field: whole[field] for field in ("files", "bytes", "videos", "audio", "quick_hashed")},
                "pending_quick_hash": whole["pending_quick_hash"],
                "pending_probe": whole["pending_probe"],
                "phashed": whole["phashed"],
                "pending_phash": whole["pending_phash"],
                "pending_match": unmatched,
                "missing": whole["missing"],
                "problems": whole["problems"],
            },
            "queue": {
                "length": sum(each.length for each in queues),
                "capacity": sum(each.capacity for each in queues),
            },
            "settling": settling,
            "jobs": [job_fields(job) for job in self._jobs.running()],
        }

    def doctor(self) -> dict[str, Any]:
        """What is wrong with the daemon and its surroundings, and how it is put right. Takes seconds."""
        return self._doctor.examine()

    def state(self) -> str:
        """The first that holds: starting, paused, scanning, hashing, idle."""
        if not self._steering.is_ready:
            return "starting"
        if self._steering.is_paused():
            return "paused"
        if any(keeper.is_walking() for keeper in self._roots.keepers()):
            return "scanning"
        if any(queue.statistics().held for queue in self._steering.queues.values()):
            return "hashing"
        return "idle"

    def config(self) -> dict[str, Any]:
        return configuration.public(self._steering.config)

    def start_scan(self, paths: list[bytes] | None) -> dict[str, Any]:
        return self._start("scan", self._folders(paths))

    def start_hash(self, paths: list[bytes] | None, force: bool) -> dict[str, Any]:
        return self._start("phash", self._known(self._folders(paths)), force=force)

    def _start(self, kind: JobKind, paths: Scope, *, force: bool = False) -> dict[str, Any]:
        # What lies within another path of the list is done with it.
        scope = tuple(path for path in paths if not any(path != other and covers([other], path) for other in paths))
        return {"status": "started", "job": self._jobs.launch(kind, scope, force=force).id}

    def _folders(self, paths: list[bytes] | None) -> Scope:
        """Paths as folders; without any, those of the roots. Raises Refused, 400, naming those outside the roots."""
        if not paths:
            return tuple(keeper.path for keeper in self._roots.keepers())
        folders = tuple(dict.fromkeys(path.rstrip(b"/") + b"/" for path in paths))
        outside = [path for path in folders if self._roots.covering(path) is None]
        if outside:
            raise Refused(
                400,
                "outside_roots",
                "these folders are below no configured root",
                hint="`mediawatchctl status` lists the roots; scan_dirs in the configuration adds one.",
                detail=dict(path_lists("invalid", outside)),
            )
        return folders

    def _known(self, folders: Scope) -> Scope:
        """The same with those that are files as such. Raises Refused, 400, naming what the catalog does not know."""
        roots = {keeper.path for keeper in self._roots.keepers()}
        with self._database.reader() as connection:
            known = {path: path if path in roots else known_paths.known_as(connection, path) for path in folders}
        if unknown := [path for path, name in known.items() if name is None]:
            raise Refused(
                400,
                "unknown_path",
                "the catalog knows no such file or folder",
                hint="New files are known after `mediawatchctl sync`; `mediawatchctl show PATH` says why one is not.",
                detail=dict(path_lists("invalid", unknown)),
            )
        return tuple(name for name in known.values() if name is not None)

    def scan_status(self) -> dict[str, Any]:
        return self._status_of("scan")

    def hash_status(self) -> dict[str, Any]:
        return self._status_of("phash")

    def _status_of(self, kind: JobKind) -> dict[str, Any]:
        """The newest job of a kind; the most of its fields without values while there was none."""
        newest = next((job for job in self._jobs.newest() if job.row.kind == kind), None)
        if newest is None:
            counts = dict.fromkeys(("processed", "written", "skipped", "failed"), 0)
            nothing = dict.fromkeys(("job", "state", "total", "percent", "current_file", "current_file_b64"))
            return {"running": False, "kind": kind, **nothing, **counts}
        fields = job_fields(newest)
        return {"running": fields["state"] in {"queued", "running", "stopping"}, "job": fields["id"], **fields}

    def stop_scan(self, job: int | None) -> dict[str, Any]:
        return self._stop("scan", job)

    def stop_hash(self, job: int | None) -> dict[str, Any]:
        return self._stop("phash", job)

    def _stop(self, kind: JobKind, job: int | None) -> dict[str, Any]:
        running = [status.row.id for status in self._jobs.running() if status.row.kind == kind]
        wanted = running if job is None else [job]
        if not wanted:
            raise Refused(409, "not_running", f"no {kind} is running", hint="`mediawatchctl jobs` lists the jobs.")
        for job_id in wanted:
            self._jobs.cancel(job_id)
        return {"status": "stopping", "jobs": wanted}

    def jobs(self) -> list[dict[str, Any]]:
        return [job_fields(job) for job in self._jobs.newest()]

    def job(self, job: int) -> dict[str, Any]:
        return job_fields(self._jobs.status(job))

    def cancel_job(self, job: int) -> dict[str, Any]:
        return job_fields(self._jobs.cancel(job))

    def wait_job(self, job: int, timeout_seconds: float) -> dict[str, Any]:
        return job_fields(self._jobs.wait(job, timeout_seconds))

    def file(self, path: bytes) -> dict[str, Any]:
        return explain(
            self._database,
            self._roots,
            self._steering.rules,
            path,
            config=self._steering.config,
            paused=self._steering.is_paused(),
            queues=self._steering.queues,
        )

    def reach(self) -> Reach:
        """Which disks are there."""
        return Reach(self._roots.online(), self._roots.away())

    def dismiss(self, a: bytes, b: bytes) -> dict[str, Any]:
        """Remember that two files are no copies of each other."""
        return self._judge("dismissed", similar.dismiss, a, b)

    def undismiss(self, a: bytes, b: bytes) -> dict[str, Any]:
        return self._judge("undismissed", similar.undismiss, a, b)

    def verify(self, key: tuple[int, bytes], is_given_up: Callable[[], bool]) -> dict[str, Any]:
        """Compare the bytes of all files of a size and quick hash."""
        return self._verifier.verify(key, is_given_up=is_given_up)

    def _judge(self, status: str, judge: Callable[[Transaction, int, int], bool], a: bytes, b: bytes) -> dict[str, Any]:
        with self._database.reader() as connection:
            ids = [(path, browse.id_at(connection, path)) for path in (a, b)]
        known = [file_id for _, file_id in ids if file_id is not None]
        if len(known) < 2:
            unknown = [path for path, file_id in ids if file_id is None]
            raise Refused(
                404,
                "not_found",
                f"the catalog knows no file {' and no file '.join(map(printable, unknown))}",
                hint="`mediawatchctl show PATH` says why.",
            )
        one, other = known
        if one == other:
            raise Refused(400, "bad_value", "both paths are the same file")
        changed = self._writer.ask(lambda tx: judge(tx, one, other))
        return {"status": status, "changed": changed, **path_fields("a", a), **path_fields("b", b)}

    def sync(self, timeout_seconds: float, walk: bool) -> dict[str, Any]:
        return self._sync.wait(timeout_seconds, walk=walk, is_paused=self._steering.is_paused)

    def pause(self) -> dict[str, Any]:
        self._steering.pause(True)
        return {"status": "paused"}

    def resume(self) -> dict[str, Any]:
        self._steering.pause(False)
        return {"status": "resumed"}

    def reload(self) -> dict[str, Any]:
        self._steering.reload()
        return {"status": "reloaded"}

    def accept_root(self, path: bytes) -> dict[str, Any]:
        """Take what is mounted at a root for the root's own from now on."""
        keeper = self._roots.named(path)
        state = keeper.status().state
        if state != "replaced":
            raise Refused(
                409, "not_replaced", f"the root is {state}, not replaced", hint="There is nothing to be accepted."
            )
        self._writer.call(lambda tx: tx.tell_root(path, "what is mounted there was accepted by a person"))
        keeper.accept()
        return {"status": "accepted", **path_fields("path", path)}

    def confirm_missing(self, path: bytes) -> dict[str, Any]:
        keeper = self._roots.named(path)
        confirmed = self._in_pieces(lambda tx: missing.confirm(tx, keeper.root_id))
        return {"status": "confirmed", "files": confirmed, **path_fields("path", path)}

    def forget_root(self, path: bytes) -> dict[str, Any]:
        """Delete what is remembered of a root that is no longer configured."""
        wanted = path.rstrip(b"/") + b"/"
        with self._database.reader() as connection:
            rows = root_rows.load_roots(connection)
        row = next((row for row in rows.values() if row.path == wanted), None)
        if row is None:
            raise Refused(404, "unknown_root", "the catalog knows no such root", hint="Nothing is to be forgotten.")
        if row.configured:
            raise Refused(
                409,
                "still_configured",
                "the root is still configured",
                hint="Take it out of scan_dirs and run `mediawatchctl reload` first.",
            )
        forgotten = self._in_pieces(lambda tx: root_rows.forget(tx, row.id))
        self._writer.call(lambda tx: tx.tell_root(path, f"forgotten by a person, with {forgotten:,} files"))
        return {"status": "forgotten", "files": forgotten, **path_fields("path", path)}

    def _in_pieces(self, change: Callable[[Transaction], int]) -> int:
        """Make a change that may be of many rows in transactions of its own, until nothing is left of it."""
        total = 0
        while changed := self._writer.ask(change):
            total += changed
        return total

    def subscribe(self, since: int | None) -> Listener:
        return self._feed.subscribe(since)

    def metrics(self) -> tuple[bytes, str]:
        return self._steering.metrics()

    def healthy(self) -> bool:
        return self._steering.is_healthy()


def _root_fields(status: RootStatus, totals: Mapping[str, int], last_reconcile: int | None) -> dict[str, Any]:
    return {
        **path_fields("path", unslashed(status.path)),
        "state": status.state,
        "since": iso_time(status.since),
        "next_attempt": iso_time(status.next_attempt),
        "watch": status.watch,
        "watch_since": iso_time(status.watch_since),
        "files": totals["files"],
        "bytes": totals["bytes"],
        "missing": totals["missing"],
        "held": totals["held"],
        "unwatched_directories": status.unwatched_directories,
        "unreadable_directories": len(status.unreadable),
        "unreadable": [_unreadable_fields(each) for each in status.unreadable[:NAMED]],
        **path_lists("away", status.away[:NAMED]),
        "events_reliable": status.events_reliable,
        "last_reconcile": iso_time(last_reconcile),
        "next_walk": iso_time(status.next_walk),
        **path_fields("walking", status.walking),
        "message": status.message,
        "hint": status.hint,
    }


def _unreadable_fields(directory: UnreadableDirectory) -> dict[str, Any]:
    return {
        **path_fields("path", unslashed(directory.path)),
        "reason": directory.reason,
        "since": iso_time(directory.since),
        "next_attempt": iso_time(directory.next_attempt),
    }
