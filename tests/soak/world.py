"""What is so at a moment of the soak: which disks are there, what the daemon was told, what it must leave as it is."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.changes import Changer
from tests.judge import Judge
from tests.oracle import key_of, regular_files
from tests.soak.machine import SETTINGS, Machine, footage
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.oracle import Key

STATE_SECONDS = 40
SYNC_SECONDS = 120
TRY_SECONDS = 40
HELD_TURNS = 5
FILES_OF_DRIVE = 4


class Found(Exception):
    """Something is wrong with the daemon."""


class _Kept(NamedTuple):
    file_id: int
    key: Key
    quick_hash: str


class World:
    """Owned by the one thread of the soak; the faults change it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.machine = Machine(folder)
        self.daemon = self.machine.daemon
        clips = footage(folder / "footage")
        roots = map(os.fsencode, self.machine.roots)
        self.changer = Changer(roots, os.fsencode(self.machine.outside), seed, clips)
        self.judge = Judge(self.daemon, self.changer, sync=self._sync)
        self.ignored: set[bytes] = set()
        self.unconfigured: set[Path] = set()
        self.states = dict.fromkeys(self.machine.roots, "online")
        self.is_stopped = False
        self.is_full = False
        self.started_full = False
        self.was_reconfigured = False
        self.reload_due = False
        self.resume_due = False
        self._kept: dict[bytes, _Kept] = {}
        self._untouched: dict[bytes, dict[int, tuple[Any, ...]]] = {}
        self._hashed_at: dict[int, tuple[Any, ...]] = {}
        self._phashes: dict[int, tuple[tuple[Any, ...], str]] = {}

    # The daemon.

    def start(self) -> None:
        self.started_full = self.is_full
        self.daemon.start(wait=False)

    def is_running(self) -> bool:
        """Whether it may be asked something."""
        process = self.daemon.process
        return process is not None and process.poll() is None and not self.is_stopped and self.daemon._answers()

    def ask(self, *arguments: str) -> Any:
        """What `mediawatchctl --json` says; Found when it fails."""
        done = self._ctl(*arguments)
        if done.returncode != 0:
            raise Found(f"mediawatchctl {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
        return json.loads(done.stdout) if done.stdout else None

    def try_to_ask(self, *arguments: str) -> bool:
        """The same when the daemon may be unable to do it now."""
        try:
            return self.is_running() and self._ctl(*arguments, timeout=TRY_SECONDS).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def configure(self) -> None:
        """Give the daemon the configuration that now holds, at once or when it can take it."""
        roots = [root for root in self.machine.roots if root not in self.unconfigured]
        names = sorted(os.fsdecode(name) for name in self.ignored)
        self.daemon.configure(roots, {**SETTINGS, "ignore": names})
        self.was_reconfigured = True
        self.reload_due = not self.try_to_ask("reload")

    def begin_to_ask(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Ask, whatever the answer will be."""
        return subprocess.Popen(
            self._command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )

    def _ctl(self, *arguments: str, timeout: float = SYNC_SECONDS + 30) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._command(*arguments), check=False, capture_output=True, text=True, timeout=timeout)

    def _command(self, *arguments: str) -> list[str]:
        program = os.path.join(os.path.dirname(sys.executable), "mediawatchctl")
        return [program, "--json", "--socket", str(self.daemon.socket), *arguments]

    def _sync(self) -> Any:
        return self.ask("sync", "--walk", "--timeout", str(SYNC_SECONDS))

    # The disks.

    def knows(self, place: Path) -> bool:
        """Whether the catalog surely knows a file that is in a folder now: else it takes whatever is there instead."""
        below = os.fsencode(place) + b"/"
        known = ((path, seen.key) for path, seen in self.judge.before().items() if path.startswith(below))
        return any(_key(path) == key for path, key in known)

    def use_drive(self) -> None:
        """Have some files on the disk below a root, so that something is known of it when it goes."""
        drive = os.fsencode(self.machine.drive_disk.place)
        if drive + b"/" not in self.changer.away:
            for number in range(sum(1 for _ in regular_files(drive)), FILES_OF_DRIVE):
                with open(drive + b"/%d of the drive.mkv" % number, "wb") as file:
                    file.write(self.changer.random.randbytes(70_000))

    def goes(self, place: Path) -> None:
        """A folder is about to be away: what the catalog knows of it must stay as it is."""
        path = os.fsencode(place)
        below = path + b"/"
        self.changer.finish_downloads(below)
        self.changer.away.add(below)
        if path in self.changer.roots:
            self.changer.roots.remove(path)
        for known, seen in self.judge.before().items():
            if known.startswith(below) and _key(known) == seen.key:
                self._kept[known] = _Kept(seen.id, seen.key, seen.quick_hash)

    def comes(self, place: Path) -> None:
        """It is back, and perhaps not as it was."""
        path = os.fsencode(place)
        below = path + b"/"
        self.changer.away.discard(below)
        if place in self.machine.roots:
            self.changer.roots.append(path)
            self.changer.roots.sort()
        for row in self._untouched.pop(below, {}).values():
            file_id, known, size, mtime_ns, _, inode, _, quick_hash, _, missing_since, absent_ns, held = row
            key = _key(known)
            if missing_since is not None or absent_ns is not None or held or key is None:
                continue
            if (key.file[1], key.size, key.mtime_ns) == (inode, size, mtime_ns):
                self._kept[known] = _Kept(file_id, key, quick_hash)
                self._hashed_at[file_id] = row[2:9]

    # The comparison.

    def check(self) -> None:
        """Wait until the daemon has seen everything and compare; Found with all that is wrong."""
        self._wait_for_daemon()
        # A catalog whose disk was full is tried again every few seconds.
        if self.reload_due:
            wait_until(lambda: self.try_to_ask("reload"), within=STATE_SECONDS, shows=self.daemon.status)
        if self.resume_due:
            wait_until(lambda: self.try_to_ask("resume"), within=STATE_SECONDS, shows=self.daemon.status)
        self.reload_due = self.resume_due = False
        configured = {root: state for root, state in self.states.items() if root not in self.unconfigured}
        wait_until(lambda: not self.machine.left_behind(), within=STATE_SECONDS, shows=self.machine.left_behind)
        wait_until(lambda: self._told_states() == configured, within=STATE_SECONDS, shows=self._told_states)
        self._confirm_held(configured)
        wrong = self.judge.check(ignored=self.ignored, judge_moves=not self.was_reconfigured)
        if not wrong:
            wrong = [*self._touched(), *self._not_kept(), *self._perceptual()]
        if wrong:
            raise Found("\n".join(wrong))
        self.judge.next()
        self.was_reconfigured = False

    def _wait_for_daemon(self) -> None:
        process = self.daemon.process
        assert process is not None
        if self.started_full:
            # It may have refused to start without space; who would have started it again is systemd.
            wait_until(lambda: process.poll() is not None or self.daemon._answers(), within=STATE_SECONDS)
            if process.poll() is not None:
                self.start()
        self.daemon.wait_until_answering()
        self.started_full = False

    def _told_states(self) -> dict[Path, str]:
        return {
            root: told["state"]
            for told in self.daemon.status()["roots"]
            for root in self.machine.roots
            if told["path"] == os.fspath(root)
        }

    def _confirm_held(self, states: dict[Path, str]) -> None:
        """Say of what is held that it is gone; it is looked at before, as held rows may not hide anything else."""
        for _ in range(HELD_TURNS):
            answer = self._sync()
            if not answer["held"]:
                return
            wrong = self.judge.differences(ignored=self.ignored)
            if wrong:
                raise Found("\n".join(["While files are held:", *wrong]))
            for root, state in states.items():
                if state == "online":
                    self.ask("confirm-missing", os.fspath(root))

    def _touched(self) -> Iterator[str]:
        """Rows of disks that are away, and not as they were when that was first seen."""
        for below in self.changer.away:
            whole = any(os.fsencode(root) + b"/" == below for root in self.machine.roots)
            now = {row[0]: row for row in self._rows(below) if whole or row[9] is None}
            was = self._untouched.setdefault(below, now)
            for file_id in was.keys() | now.keys():
                if was.get(file_id) != now.get(file_id):
                    yield f"a row of a disk that is away was {was.get(file_id)}, and is {now.get(file_id)}"

    def _not_kept(self) -> Iterator[str]:
        away = tuple(self.changer.away)
        kept = {
            path: kept
            for path, kept in self._kept.items()
            if (path.startswith(away) or _key(path) == kept.key)
            and self.judge.is_single(path, kept.key, kept.quick_hash)
        }
        ids = {row["file_path"]: row["id"] for row in self.daemon.rows("missing_since IS NULL")}
        hidden = tuple(os.fsencode(root) + b"/" for root in self.unconfigured)
        for path, was in kept.items():
            if path.startswith(hidden) or self.was_reconfigured:
                continue
            if ids.get(path) != was.file_id:
                yield f"{path!r} stayed as it is, and its row {was.file_id} became {ids.get(path)}"
        if self._hashed_at and not self.was_reconfigured:
            now = {row[0]: row[2:9] for row in self._rows(b"/")}
            for path, was in kept.items():
                stamped = self._hashed_at.get(was.file_id)
                if stamped and now.get(was.file_id, stamped)[:5] == stamped[:5] and now[was.file_id] != stamped:
                    yield f"{path!r} came back as it was and was hashed again: {stamped} {now[was.file_id]}"
        self._kept.clear()
        self._hashed_at.clear()

    def _perceptual(self) -> Iterator[str]:
        """Perceptual hashes that are not those of their content: lost with it unchanged, or unlike those of copies."""
        now: dict[int, tuple[tuple[Any, ...], str]] = {}
        of_content: dict[tuple[Any, ...], str] = {}
        for row in self.daemon.rows("missing_since IS NULL"):
            content = (row["file_size"], row["quick_hash"])
            phash, before = row["video_phash"], self._phashes.get(row["id"])
            if before is not None and before[0] == (*content, row["mtime_ns"]) and before[1] != phash:
                yield f"{row['file_path']!r} had the perceptual hash {before[1]}, has {phash}, and did not change"
            if phash is None:
                continue
            if of_content.setdefault(content, phash) != phash:
                yield f"{row['file_path']!r} has the perceptual hash {phash}, a copy of it {of_content[content]}"
            now[row["id"]] = (*content, row["mtime_ns"]), phash
        self._phashes = now

    def _rows(self, below: bytes) -> Iterable[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.daemon.database}?mode=ro", uri=True)) as connection:
            return connection.execute(
                "SELECT f.id, CAST(d.path || f.name AS BLOB), f.size, f.mtime_ns, f.ctime_ns, f.inode, f.links, "
                "lower(hex(f.quick_hash)), f.hashed_at, f.missing_since, f.absent_ns, f.held "
                "FROM media_files AS f JOIN directories AS d ON d.id = f.directory_id "
                "WHERE d.path >= ? AND d.path < ? ORDER BY f.id",
                (below, below[:-1] + b"0"),
            ).fetchall()


def _key(path: bytes) -> Key | None:
    try:
        return key_of(os.lstat(path))
    except OSError:
        return None
