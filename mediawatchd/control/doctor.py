"""What the daemon can say of its own health: each check with what is wrong and how it is put right.

Runs on the thread of whoever asks, for some seconds. Roots are looked at on threads of their own, each with a time
limit, so that whoever asks does not hang on a dead disk; what else the parts know comes from their snapshots.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from mediawatchd import __version__
from mediawatchd.catalog import health, known
from mediawatchd.catalog.directories import below
from mediawatchd.control import findings
from mediawatchd.control.findings import LEVELS, Finding
from mediawatchd.hashing import selftest
from mediawatchd.model import SANE_TIME
from mediawatchd.paths import printable, shell_word, unslashed
from mediawatchd.watching.status import away_text
from mediawatchd.watching.unreadable import unreadable_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.writer import Writer
    from mediawatchd.config import Config
    from mediawatchd.watching.observers import Observers
    from mediawatchd.watching.roots import Roots
    from mediawatchd.watching.status import RootStatus

CATALOG_SECONDS = 5.0
DISK_SECONDS = 5.0
LEAST_FREE_BYTES = 64 << 20
LARGE_WAL_BYTES = 256 << 20
CLOCK_SECONDS = 60.0
RESTART = "sudo systemctl restart mediawatchd"


class Steering(Protocol):
    """What only the parts list can tell."""

    @property
    def config(self) -> Config: ...
    @property
    def last_reload(self) -> tuple[bool, float]: ...
    def is_paused(self) -> bool: ...
    def stuck_threads(self) -> list[str]: ...


class Doctor:
    """Any thread may ask. It remembers nothing but what the clocks showed at the start."""

    def __init__(
        self,
        *,
        steering: Steering,
        database: Database,
        writer: Writer,
        roots: Roots,
        observers: Callable[[], Observers],
        addresses: Callable[[], Sequence[object]],
        self_test: Callable[[], str | None] = selftest.run,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._steering = steering
        self._database = database
        self._writer = writer
        self._roots = roots
        self._observers = observers
        self._addresses = addresses
        self._self_test = self_test
        self._wall = wall
        # Unlike the monotonic clock, this one goes on while the machine sleeps.
        self._wall_ahead = wall() - time.clock_gettime(time.CLOCK_BOOTTIME)

    def examine(self) -> dict[str, Any]:
        """All findings, the worst first, and how many there are of each level."""
        now = self._wall()
        with self._database.reader() as connection:
            totals = self._roots.totals(connection)
            found = health.examine(connection, now=now, limit_seconds=CATALOG_SECONDS)
            samples = {
                status.id: [path for path, _ in known.sample(connection, below(status.path), 1)]
                for status in self._roots.statuses()
            }
        all_findings = [
            *self._of_roots(totals, samples),
            *findings.inotify_limits(found.directories),
            *self._of_watching(),
            *self._of_socket(),
            *self._of_catalog(found),
            *self._of_files(found),
            *self._of_clock(found, now),
            *self._of_daemon(),
        ]
        all_findings.sort(key=lambda finding: LEVELS.index(finding.level))
        counts = {level: sum(finding.level == level for finding in all_findings) for level in LEVELS}
        return {"version": __version__, "counts": counts, "findings": [finding._asdict() for finding in all_findings]}

    def _of_roots(
        self, totals: Mapping[int, Mapping[str, int]], samples: Mapping[int, Sequence[bytes]]
    ) -> Iterator[Finding]:
        statuses = self._roots.statuses()
        looks = {status.id: _Look(status, samples[status.id]) for status in statuses if status.state == "online"}
        deadline = time.monotonic() + DISK_SECONDS
        for status in statuses:
            path = unslashed(status.path)
            name, word = printable(path), shell_word(path)
            if status.state != "online":
                fix = (findings.mount_fix(path) if status.state == "offline" else "") or status.hint or ""
                yield Finding("error", "root", f"{name} is {status.state}: {status.message}", fix)
                continue
            seen = looks[status.id].result(deadline)
            yield from seen
            if held := totals[status.id]["held"]:
                text = f"{name}: {held:,} files are gone, too many at once to believe it"
                yield Finding("warning", "root", text, f"If they are really gone: mediawatchctl confirm-missing {word}")
            if status.message is not None:
                fix = f"sudo {status.hint}" if (status.hint or "").startswith("sysctl ") else status.hint or ""
                yield Finding("warning", "root", f"{name}: {status.message}", fix)
            if status.unreadable:
                text = f"{name}: {unreadable_text(status.unreadable)}"
                fix = "Check the disk or its server, and the rights on the folder; it is tried again by itself."
                yield Finding("warning", "root", text, fix)
            for place in status.away:
                fix = "Mount it; its files stay as they are."
                yield Finding("warning", "root", f"{name}: {away_text(place)}", fix)
            if not (seen or status.message or status.unreadable or status.away):
                yield Finding("ok", "root", f"{name} is online, {_watched(status)}")

    def _of_watching(self) -> Iterator[Finding]:
        if self._steering.config.watch.backend == "polling":
            yield Finding("ok", "watcher", "roots are polled, as the configuration has it")
            return
        watcher = self._observers().statistics()
        if watcher.degraded is not None:
            yield Finding("error", "watcher", watcher.degraded, "It is started again by itself; its log says more.")
        elif watcher.canary_last_seen is None:
            yield Finding("warning", "watcher", "it has not yet proved that it sees", "Ask again in a minute.")
        else:
            again = f", {watcher.restarts} restarts" if watcher.restarts else ""
            yield Finding("ok", "watcher", f"{watcher.watches:,} directories are watched{again}")

    def _of_socket(self) -> Iterator[Finding]:
        for address in self._addresses():
            if isinstance(address, str):
                yield findings.control_socket(os.fsencode(address))

    def _of_catalog(self, found: health.Health) -> Iterator[Finding]:
        path, sizes = self._steering.config.db_path, self._database.sizes()
        name, folder = printable(path), os.path.dirname(path)
        trouble = self._writer.statistics().trouble
        if trouble is not None:
            yield Finding("error", "catalog", trouble, f"Make room, or give the rights: df -h {shell_word(folder)}")
        if found.damage is not None:
            text = f"{name} is damaged: {found.damage}"
            yield Finding("error", "catalog", text, f"{RESTART} moves it aside and rebuilds it from the disks")
        elif trouble is None:
            how = f"as far as it could be checked in {CATALOG_SECONDS:g} s" if found.is_partial else "without damage"
            yield Finding("ok", "catalog", f"{name} is {how}, {_mebibytes(sizes['db'])}")
        for notice in self._database.notices:
            yield Finding("warning", "catalog", f"at the start: {notice}")
        space = os.statvfs(folder)
        free = space.f_bavail * space.f_frsize
        if free < max(LEAST_FREE_BYTES, sizes["db"] // 10):
            text = f"only {_mebibytes(free)} are free where the catalog lies"
            yield Finding(
                "error" if free < LEAST_FREE_BYTES else "warning", "catalog", text, f"Make room in {printable(folder)}"
            )
        if sizes["wal"] > LARGE_WAL_BYTES:
            text = f"its journal has grown to {_mebibytes(sizes['wal'])}: some program reads the catalog without an end"
            yield Finding("warning", "catalog", text, f"Find and end it: sudo fuser -v {shell_word(path)}")

    def _of_files(self, found: health.Health) -> Iterator[Finding]:
        failed = self._self_test()
        if failed is not None:
            yield Finding("error", "decoder", failed, "Install mediawatchd anew: its decoder does not work here.")
        else:
            yield Finding("ok", "decoder", "a tiny clip was probed and decoded")
        listing = "mediawatchctl files --problem"
        if denied := found.problems.get("permission", 0):
            roots = " ".join(shell_word(status.path) for status in self._roots.statuses())
            yield Finding("error", "files", f"{_files(denied)} may not be read", findings.access_fix(roots))
        if broken := sum(count for reason, count in found.problems.items() if reason != "permission"):
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(found.problems.items()))
            yield Finding("warning", "files", f"{_files(broken)} could not be read or understood ({reasons})", listing)

    def _of_clock(self, found: health.Health, now: float) -> Iterator[Finding]:
        moved = now - time.clock_gettime(time.CLOCK_BOOTTIME) - self._wall_ahead
        fix = "timedatectl status"
        if now < SANE_TIME:
            text = f"the clock shows {time.strftime('%Y-%m-%d', time.gmtime(now))}: it was not set"
            yield Finding("error", "clock", text, "sudo timedatectl set-ntp true")
        elif abs(moved) > CLOCK_SECONDS:
            yield Finding("warning", "clock", f"the clock was set by {moved:+.0f} s since the daemon started", fix)
        elif found.last_event is not None and found.last_event > now + CLOCK_SECONDS:
            text = "the history has events of the future: the clock was ahead, or is behind now"
            yield Finding("warning", "clock", text, fix)
        else:
            yield Finding("ok", "clock", "it runs evenly")
        if found.future_files and now >= SANE_TIME:
            text = f"{_files(found.future_files)} of a date in the future"
            yield Finding("warning", "clock", text, "Harmless for the catalog; `touch FILE` gives them today's date.")

    def _of_daemon(self) -> Iterator[Finding]:
        for thread in self._steering.stuck_threads():
            yield Finding("error", "daemon", thread, "Check the disk it waits for: its root says more.")
        if not self._steering.last_reload[0]:
            text = "the last reload was refused: an older configuration is in force"
            yield Finding("error", "daemon", text, "mediawatchd --check-config")
        if self._steering.is_paused():
            yield Finding("warning", "daemon", "hashing and walks are paused", "mediawatchctl resume")


class _Look:
    """A look at an online root, begun at once on a thread of its own: it is left behind if its disk hangs."""

    def __init__(self, root: RootStatus, sample: Sequence[bytes]) -> None:
        self._root = root
        self._sample = sample
        self._found: list[Finding] = []
        self._thread = threading.Thread(target=self._look, name=f"doctor-{root.id}", daemon=True)
        self._thread.start()

    def result(self, deadline: float) -> list[Finding]:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            text = f"{printable(self._root.path)} has not answered for {DISK_SECONDS:g} s"
            return [Finding("error", "root", text, "Check the disk, its server or its connection.")]
        return self._found

    def _look(self) -> None:
        denied = findings.access(unslashed(self._root.path))
        if denied is not None:
            self._found.append(denied)
            return
        for path in self._sample:
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    os.read(descriptor, 1)
                finally:
                    os.close(descriptor)
            except PermissionError:
                fix = findings.access_fix(shell_word(self._root.path))
                self._found.append(Finding("error", "root", f"{printable(path)} may not be read", fix))
            except OSError:
                continue  # it may have gone; what is wrong with a file is a problem of that file


def _watched(root: RootStatus) -> str:
    if root.watch == "polling":
        return "and walked now and then"
    return "and watched" + ("" if root.events_reliable else "; changes made elsewhere are found by walks")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB"
