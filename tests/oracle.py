"""What the catalog must say of a disk, found out without the product: its own walk, its own rules, its own hash.

`differences` compares a daemon that has just synced with what is there; `lost_ids` says which files moved without
their rows. Both answer in sentences, so that a failing test says what is wrong and not only that something is.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import stat
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from tests.running import Running

VIDEO = {b"mp4", b"mkv", b"avi", b"mov", b"m4v", b"webm", b"wmv", b"flv", b"mpg", b"mpeg", b"ts", b"m2ts", b"mts"} | {
    b"vob", b"ogv", b"3gp"
}  # fmt: skip
AUDIO = {b"mp3", b"aac", b"flac", b"wav", b"ogg", b"wma", b"m4a", b"opus", b"aiff", b"ape", b"wv"}
_UNFINISHED_ENDS = (b".part", b".partial", b".!qB", b".!ut", b".crdownload", b".aria2", b".tmp")
_RSYNC = re.compile(rb"\..+\.[0-9A-Za-z]{6}", re.DOTALL)


FileId = tuple[int, int]
"""Device and inode: what all hard links of a file share."""


class Key(NamedTuple):
    """What a rename leaves as it is."""

    file: FileId
    size: int
    mtime_ns: int


class Seen(NamedTuple):
    """A file on disk and in the catalog."""

    key: Key
    links: int
    id: int
    quick_hash: str


Snapshot = dict[bytes, Seen]


class Crossing(NamedTuple):
    """A file that was moved to another disk, by copying: what it was there and what it is here."""

    quick_hash: str
    former: Key
    here: Key


def quick_hash(path: bytes) -> str:
    """The contract, written a second time."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(size.to_bytes(8, "little") + file.read(65_536))
        if size > 65_536:
            file.seek(size - min(65_536, size - 65_536))
            digest.update(file.read())
    return digest.hexdigest()


def file_id(status: os.stat_result) -> FileId:
    return status.st_dev, status.st_ino


def key_of(status: os.stat_result) -> Key:
    return Key(file_id(status), status.st_size, status.st_mtime_ns)


def regular_files(directory: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Every regular file below a directory, and never what a link leads to."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from regular_files(entry.path)
                continue
            status = os.lstat(entry.path)
            if stat.S_ISREG(status.st_mode):
                yield entry.path, status


def is_media(path: bytes, root: bytes, ignored: Collection[bytes] = ()) -> bool:
    """Whether a path is to be catalogued, as the default configuration says; `ignored` are names left out besides."""
    *folders, name = path[len(root) :].strip(b"/").split(b"/")
    if any(part.startswith(b"_UNPACK_") or _unfinished(part) for part in folders):
        return False
    if any(part in ignored for part in (*folders, name)):
        return False
    stem, _, extension = name.rpartition(b".")
    return bool(stem) and extension.lower() in VIDEO | AUDIO and not _unfinished(name) and not _RSYNC.fullmatch(name)


def _unfinished(name: bytes) -> bool:
    return name.endswith(_UNFINISHED_ENDS) or name.startswith(b".syncthing.")


def media_files(
    roots: Iterable[bytes], *, away: Iterable[bytes] = (), ignored: Collection[bytes] = ()
) -> dict[bytes, os.stat_result]:
    """The files that the catalog must know, by path. Below `away` another disk is to be mounted."""
    away = tuple(away)
    return {
        path: status
        for root in roots
        if os.path.isdir(root)
        for path, status in regular_files(root)
        if is_media(path, root, ignored) and not path.startswith(away)
    }


def snapshot(daemon: Running, disk: Mapping[bytes, os.stat_result]) -> Snapshot:
    """The media files with their rows; for a daemon without `differences`."""
    rows = daemon.present()
    return {
        path: Seen(key_of(status), status.st_nlink, rows[path]["id"], rows[path]["quick_hash"])
        for path, status in disk.items()
    }


def differences(
    daemon: Running, roots: Iterable[bytes], *, away: Iterable[bytes] = (), ignored: Collection[bytes] = ()
) -> list[str]:
    """What is wrong in the catalog of a daemon that has synced; empty when all is right.

    Of what lies below `away`, which are folders with a slash at the end, the catalog may say what it likes; so it may
    say of files that it holds for a person that they are there.
    """
    disk, away = media_files(roots, away=away, ignored=ignored), tuple(away)
    with closing(sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)) as connection:
        connection.execute("BEGIN")
        rows = [_Row(row[0], row[1], row[2:7], *row[7:]) for row in connection.execute(_ROWS)]
        judged: list[_Row] = []
        others: list[_Row] = []
        for row in rows:
            free = row.path not in disk and (row.held or row.path.startswith(away))
            (others if free else judged).append(row)
        return [*_rows(judged, disk), *_structure(connection, away), *_counts(connection, daemon, disk, others)]


class _Row(NamedTuple):
    path: bytes
    quick_hash: str | None
    stamp: tuple[int | None, ...]
    media_type: str
    lacks: int
    absent_ns: int | None
    held: bool
    problem: str | None


_ROWS = (
    "SELECT CAST(v.file_path AS BLOB), v.quick_hash, f.size, f.mtime_ns, f.ctime_ns, f.inode, f.links, "
    "v.media_type, f.lacks, f.absent_ns, f.held, v.problem FROM files AS v JOIN media_files AS f ON f.id = v.id "
    "WHERE v.missing_since IS NULL"
)


def _rows(rows: Iterable[_Row], disk: Mapping[bytes, os.stat_result]) -> Iterator[str]:
    paths = Counter(row.path for row in rows)
    yield from (f"{path!r} has {count} present rows" for path, count in paths.items() if count > 1)
    yield from (f"{path!r} is on disk and not in the catalog" for path in sorted(disk.keys() - paths.keys()))
    yield from (f"{path!r} is in the catalog and not on disk" for path in sorted(paths.keys() - disk.keys()))
    for row in rows:
        path = row.path
        if path not in disk:
            continue
        status = disk[path]
        stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_nlink)
        if row.stamp != stamp:
            yield f"{path!r} has the stamp {row.stamp}, the disk says {stamp}"
        if row.quick_hash != quick_hash(path):
            yield f"{path!r} has the hash {row.quick_hash}, its bytes have {quick_hash(path)}"
        if (row.media_type == "audio") != _is_audio(path):
            yield f"{path!r} is said to be {row.media_type}"
        if row.lacks & 3:
            yield f"{path!r} still lacks {row.lacks & 3}, its problem is {row.problem}"
        if row.absent_ns is not None or row.held:
            yield f"{path!r} is on disk and waits to be missing"


def _is_audio(path: bytes) -> bool:
    return path.rpartition(b".")[2].lower() in AUDIO


def _structure(connection: sqlite3.Connection, away: tuple[bytes, ...]) -> Iterator[str]:
    """What holds between the rows, whatever is on disk."""
    broken = {
        "a present file in a gone directory": "SELECT d.path || f.name FROM media_files f "
        "JOIN directories d ON d.id = f.directory_id WHERE d.gone AND f.missing_since IS NULL",
        "two present directories of one path": "SELECT path FROM directories WHERE NOT gone "
        "GROUP BY path HAVING count(*) > 1",
        "a directory below another path than its parent's": "SELECT d.path FROM directories d "
        "JOIN directories p ON p.id = d.parent_id "
        "WHERE NOT d.gone AND substr(d.path, 1, length(p.path)) <> p.path",
        "a directory of another root than its parent": "SELECT d.path FROM directories d "
        "JOIN directories p ON p.id = d.parent_id WHERE NOT d.gone AND d.root_id IS NOT p.root_id",
        "a present directory in a gone one": "SELECT d.path FROM directories d "
        "JOIN directories p ON p.id = d.parent_id WHERE NOT d.gone AND p.gone",
        "a directory in the wrong root": "SELECT d.path FROM directories d JOIN roots r ON r.id = d.root_id "
        "WHERE NOT d.gone AND substr(d.path, 1, length(r.path)) <> r.path",
        "a directory that waits to be gone": "SELECT path FROM directories WHERE absent_ns IS NOT NULL AND NOT gone",
        "a key that leads nowhere": 'SELECT CAST("table" AS BLOB) FROM pragma_foreign_key_check',
    }
    for what, query in broken.items():
        for (value,) in connection.execute(query).fetchall():
            if not value.startswith(away):
                yield f"{what}: {value!r}"


def _counts(
    connection: sqlite3.Connection, daemon: Running, disk: Mapping[bytes, os.stat_result], others: list[_Row]
) -> Iterator[str]:
    columns = [row[1] for row in connection.execute("PRAGMA table_info(totals)") if row[1] != "root_id"]
    sums = ", ".join(f"coalesce(sum(c.{column}), 0)" for column in columns)
    stored = connection.execute(f"SELECT root_id, {', '.join(columns)} FROM totals").fetchall()
    for root_id, *values in stored:
        counted = connection.execute(f"SELECT {sums} FROM contributions AS c WHERE root_id = ?", (root_id,)).fetchone()
        for column, value, right in zip(columns, values, counted, strict=True):
            if value != right:
                yield f"the total {column} of root {root_id} is {value}, its rows say {right}"
    missing = connection.execute("SELECT count(*) FROM files WHERE missing_since IS NOT NULL").fetchone()[0]
    told = daemon.status()["catalog"]
    expected = {
        "files": len(disk) + len(others),
        "bytes": sum(status.st_size for status in disk.values()) + sum(row.stamp[0] or 0 for row in others),
        "audio": sum(map(_is_audio, disk)) + sum(row.media_type == "audio" for row in others),
        "quick_hashed": len(disk) + sum(row.quick_hash is not None for row in others),
        "pending_quick_hash": sum(row.lacks & 1 for row in others),
        "pending_probe": sum(row.lacks & 2 == 2 for row in others),
        "missing": missing,
    }
    expected["videos"] = expected["files"] - expected["audio"]
    yield from (
        f"status says {told[field]} {field}, there are {value}"
        for field, value in expected.items()
        if told[field] != value
    )


class Witness:
    """Remembers which keys each path held since `before`, so that only moves which are beyond doubt are judged."""

    def __init__(self, before: Snapshot) -> None:
        self.before = before
        self._at_path: dict[bytes, set[Key]] = {}
        self._of_file: dict[FileId, set[Key]] = {}
        self._linked: set[FileId] = {seen.key.file for seen in before.values() if seen.links > 1}

    def look(self, directories: Iterable[bytes]) -> None:
        """Note what is where now; to be called after each change."""
        for directory in directories:
            for path, status in regular_files(directory):
                key = key_of(status)
                self._at_path.setdefault(path, set()).add(key)
                self._of_file.setdefault(key.file, set()).add(key)
                if status.st_nlink > 1:
                    self._linked.add(key.file)

    def lost_ids(self, after: Snapshot, remembered: Mapping[str, int], copied: Collection[str] = ()) -> list[str]:
        """Files that are where they were, or were renamed to a new place, and have another row than before.

        Not judged, as more than one answer is right: content that there was or is more than once (`remembered` says how
        many rows had each hash before, `copied` what was copied since), hard links, and what was changed, or replaced
        by something new, meanwhile.
        """
        owners: dict[Key, list[bytes]] = {}
        for path, seen in self.before.items():
            owners.setdefault(seen.key, []).append(path)
        single = self._single_contents(after, remembered, copied)
        lost = []
        for path, seen in after.items():
            if not self._is_single(seen.key, owners) or seen.quick_hash not in single:
                continue
            [was] = owners[seen.key]
            unchanged = self._of_file.get(seen.key.file, set()) <= {seen.key}
            guests = self._at_path.get(was, set()) | self._at_path.get(path, set())
            familiar = all(self._is_single(key, owners) for key in guests)
            if unchanged and familiar and seen.id != self.before[was].id:
                lost.append(f"{was!r} is {path!r} now, and its row {self.before[was].id} became {seen.id}")
        return lost

    def lost_crossings(
        self,
        after: Snapshot,
        crossings: Iterable[Crossing],
        remembered: Mapping[str, int],
        copied: Collection[str] = (),
        *,
        away: Iterable[bytes] = (),
    ) -> list[str]:
        """The same of files that were moved to other disks, where only their content tells.

        Not judged besides: a file at whose paths there was ever another one, and one that came from below `away`, whose
        row there must stay.
        """
        away = tuple(away)
        keys: dict[str, set[Key]] = {}
        for crossing in crossings:
            keys.setdefault(crossing.quick_hash, set()).update((crossing.former, crossing.here))
        single = self._single_contents(after, remembered, copied)
        was = {seen.quick_hash: path for path, seen in self.before.items()}
        lost = []
        for path, seen in after.items():
            if seen.quick_hash not in keys.keys() & single or seen.quick_hash not in was:
                continue
            if was[seen.quick_hash].startswith(away):
                continue
            former = self.before[was[seen.quick_hash]]
            own = keys[seen.quick_hash] | {former.key, seen.key}
            alone = all(there <= own for there in self._at_path.values() if there & own)
            if alone and not any(key.file in self._linked for key in own) and seen.id != former.id:
                lost.append(f"{was[seen.quick_hash]!r} is {path!r} now, its row {former.id} became {seen.id}")
        return lost

    def saw(self, stamp: tuple[int, int, int], outside: bytes) -> bool:
        """Whether a file of this size, mtime and inode was in a root."""
        return any(
            (key.size, key.mtime_ns, key.file[1]) == stamp
            for path, keys in self._at_path.items()
            if not path.startswith(outside)
            for key in keys
        )

    def is_single(self, path: bytes, key: Key) -> bool:
        """Whether a path has held nothing but this file, which has no second link."""
        return self._at_path.get(path, set()) <= {key} and key.file not in self._linked

    def _single_contents(self, after: Snapshot, remembered: Mapping[str, int], copied: Collection[str]) -> set[str]:
        """The hashes that only one file has, and had; a few bytes come again by chance."""
        counts = Counter(seen.quick_hash for seen in after.values() if seen.key.size >= 100)
        return {value for value, count in counts.items() if count == 1 == remembered[value] and value not in copied}

    def _is_single(self, key: Key, owners: Mapping[Key, list[bytes]]) -> bool:
        """Whether a file was known before, at one path, and had no second link since."""
        return len(owners.get(key, ())) == 1 and key.file not in self._linked


def remembered_hashes(daemon: Running) -> Counter[str]:
    """How many rows, present or missing, have each quick hash."""
    return Counter(row["quick_hash"] for row in daemon.rows("quick_hash IS NOT NULL"))
