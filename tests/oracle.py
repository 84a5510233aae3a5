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
    from collections.abc import Iterable, Iterator, Mapping

    from tests.running import Running

VIDEO = {b"mp4", b"mkv", b"avi", b"mov", b"m4v", b"webm", b"wmv", b"flv", b"mpg", b"mpeg", b"ts", b"m2ts", b"mts"} | {
    b"vob", b"ogv", b"3gp"
}  # fmt: skip
AUDIO = {b"mp3", b"aac", b"flac", b"wav", b"ogg", b"wma", b"m4a", b"opus", b"aiff", b"ape", b"wv"}
_UNFINISHED_ENDS = (b".part", b".partial", b".!qB", b".!ut", b".crdownload", b".aria2", b".tmp")
_RSYNC = re.compile(rb"\..+\.[0-9A-Za-z]{6}", re.DOTALL)


class Key(NamedTuple):
    """What a rename leaves as it is."""

    inode: int
    size: int
    mtime_ns: int


class Seen(NamedTuple):
    """A file on disk and in the catalog."""

    key: Key
    links: int
    id: int
    quick_hash: str


Snapshot = dict[bytes, Seen]


def quick_hash(path: bytes) -> str:
    """The contract, written a second time."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(size.to_bytes(8, "little") + file.read(65_536))
        if size > 65_536:
            file.seek(size - min(65_536, size - 65_536))
            digest.update(file.read())
    return digest.hexdigest()


def key_of(status: os.stat_result) -> Key:
    return Key(status.st_ino, status.st_size, status.st_mtime_ns)


def regular_files(directory: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Every regular file below a directory, and never what a link leads to."""
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            yield from regular_files(entry.path)
            continue
        status = os.lstat(entry.path)
        if stat.S_ISREG(status.st_mode):
            yield entry.path, status


def is_media(path: bytes, root: bytes) -> bool:
    """Whether a path is to be catalogued, as the default configuration says."""
    *folders, name = path[len(root) :].strip(b"/").split(b"/")
    if any(part.startswith(b"_UNPACK_") or _unfinished(part) for part in folders):
        return False
    stem, _, extension = name.rpartition(b".")
    return bool(stem) and extension.lower() in VIDEO | AUDIO and not _unfinished(name) and not _RSYNC.fullmatch(name)


def _unfinished(name: bytes) -> bool:
    return name.endswith(_UNFINISHED_ENDS) or name.startswith(b".syncthing.")


def media_files(roots: Iterable[bytes]) -> dict[bytes, os.stat_result]:
    """The files that the catalog must know, by path."""
    return {
        path: status
        for root in roots
        if os.path.isdir(root)
        for path, status in regular_files(root)
        if is_media(path, root)
    }


def snapshot(daemon: Running, roots: Iterable[bytes]) -> Snapshot:
    """The media files with their rows; for a daemon without `differences`."""
    rows = daemon.present()
    return {
        path: Seen(key_of(status), status.st_nlink, rows[path]["id"], rows[path]["quick_hash"])
        for path, status in media_files(roots).items()
    }


def differences(daemon: Running, roots: Iterable[bytes]) -> list[str]:
    """What is wrong in the catalog of a daemon that has synced; empty when all is right."""
    disk = media_files(roots)
    with closing(sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)) as connection:
        connection.execute("BEGIN")
        return [*_rows(connection, disk), *_structure(connection), *_counts(connection, daemon, disk)]


def _rows(connection: sqlite3.Connection, disk: Mapping[bytes, os.stat_result]) -> Iterator[str]:
    rows = connection.execute(
        "SELECT CAST(v.file_path AS BLOB), v.quick_hash, f.size, f.mtime_ns, f.ctime_ns, f.inode, f.links, "
        "v.media_type, f.lacks, f.absent_ns, v.problem FROM files AS v JOIN media_files AS f ON f.id = v.id "
        "WHERE v.missing_since IS NULL"
    ).fetchall()
    paths = Counter(row[0] for row in rows)
    yield from (f"{path!r} has {count} present rows" for path, count in paths.items() if count > 1)
    yield from (f"{path!r} is on disk and not in the catalog" for path in sorted(disk.keys() - paths.keys()))
    yield from (f"{path!r} is in the catalog and not on disk" for path in sorted(paths.keys() - disk.keys()))
    for path, stored, size, mtime_ns, ctime_ns, inode, links, media_type, lacks, absent_ns, problem in rows:
        if path not in disk:
            continue
        status = disk[path]
        stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_nlink)
        if (size, mtime_ns, ctime_ns, inode, links) != stamp:
            yield f"{path!r} has the stamp {(size, mtime_ns, ctime_ns, inode, links)}, the disk says {stamp}"
        if stored != quick_hash(path):
            yield f"{path!r} has the hash {stored}, its bytes have {quick_hash(path)}"
        if (media_type == "audio") != (path.rpartition(b".")[2].lower() in AUDIO):
            yield f"{path!r} is said to be {media_type}"
        if lacks & 3:
            yield f"{path!r} still lacks {lacks & 3}, its problem is {problem}"
        if absent_ns is not None:
            yield f"{path!r} is on disk and waits to be missing"


def _structure(connection: sqlite3.Connection) -> Iterator[str]:
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
            yield f"{what}: {value!r}"


def _counts(connection: sqlite3.Connection, daemon: Running, disk: Mapping[bytes, os.stat_result]) -> Iterator[str]:
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
        "files": len(disk),
        "bytes": sum(status.st_size for status in disk.values()),
        "audio": sum(path.rpartition(b".")[2].lower() in AUDIO for path in disk),
        "quick_hashed": len(disk),
        "pending_quick_hash": 0,
        "pending_probe": 0,
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
        self._of_inode: dict[int, set[Key]] = {}
        self._linked: set[int] = {seen.key.inode for seen in before.values() if seen.links > 1}

    def look(self, directories: Iterable[bytes]) -> None:
        """Note what is where now; to be called after each change."""
        for directory in directories:
            for path, status in regular_files(directory):
                key = key_of(status)
                self._at_path.setdefault(path, set()).add(key)
                self._of_inode.setdefault(key.inode, set()).add(key)
                if status.st_nlink > 1:
                    self._linked.add(key.inode)

    def lost_ids(self, after: Snapshot, remembered: Mapping[str, int]) -> list[str]:
        """Files that are where they were, or were renamed to a new place, and have another row than before.

        Not judged, as more than one answer is right: content that there is more than once (`remembered` says how many
        rows had each hash), hard links, and what was changed, or replaced by something new, meanwhile.
        """
        owners: dict[Key, list[bytes]] = {}
        for path, seen in self.before.items():
            owners.setdefault(seen.key, []).append(path)
        lost = []
        for path, seen in after.items():
            if not self._is_single(seen.key, owners) or remembered[seen.quick_hash] != 1:
                continue
            [was] = owners[seen.key]
            unchanged = self._of_inode.get(seen.key.inode, set()) <= {seen.key}
            guests = self._at_path.get(was, set()) | self._at_path.get(path, set())
            familiar = all(self._is_single(key, owners) for key in guests)
            if unchanged and familiar and seen.id != self.before[was].id:
                lost.append(f"{was!r} is {path!r} now, and its row {self.before[was].id} became {seen.id}")
        return lost

    def _is_single(self, key: Key, owners: Mapping[Key, list[bytes]]) -> bool:
        """Whether a file was known before, at one path, and had no second link since."""
        return len(owners.get(key, ())) == 1 and key.inode not in self._linked


def remembered_hashes(daemon: Running) -> Counter[str]:
    """How many rows, present or missing, have each quick hash."""
    return Counter(row["quick_hash"] for row in daemon.rows("quick_hash IS NOT NULL"))
