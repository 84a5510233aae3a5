"""What is answered about exact duplicates, and the comparison of their bytes that a person asks for.

Lists run on the thread of whoever asks. A comparison reads files and may hang on a dead disk, so it has a thread of
its own, which who asked waits for; at most `MOST` of them, also when some hang for ever.
"""

from __future__ import annotations

import threading
from array import array
from typing import TYPE_CHECKING, Any

from mediawatchd.catalog import duplicates
from mediawatchd.catalog.browse import ROWS_AT_ONCE, path_fields
from mediawatchd.control.copies import as_copy, file_fields, group_fields
from mediawatchd.control.streams import LOOK_SECONDS
from mediawatchd.errors import Refused
from mediawatchd.hashing.comparison import Cancelled, Comparison
from mediawatchd.model import WALKED, Task
from mediawatchd.similarity.exact import exact_groups
from mediawatchd.similarity.keep import same_files
from mediawatchd.work.progress import path_lists

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from mediawatchd.catalog.browse import Reader
    from mediawatchd.catalog.copies import CopyRow
    from mediawatchd.catalog.duplicates import Key, Member
    from mediawatchd.catalog.writer import Writer
    from mediawatchd.control.copies import Reach
    from mediawatchd.model import Stamp

    Json = dict[str, Any]

MOST = 4


def page(
    reader: Reader, reach: Reach, *, under: bytes | None, limit: int, after: Key | None
) -> tuple[list[Json], Key | None]:
    """At most `limit` keys behind `after`, and where to go on; a key whose files differ may give more or no groups."""
    with reader() as connection:
        found = list(duplicates.repeated(connection, under=under, after=after, limit=limit + 1))
        members = duplicates.members(connection, (file_id for _, file_id in found[:limit]))
    return shown(members, reach), found[limit - 1][0] if len(found) > limit else None


def stream(
    reader: Reader, reach: Reach, *, under: bytes | None, limit: int | None, after: Key | None
) -> Generator[list[Json]]:
    """All groups, or those of the first `limit` keys, in lists; which they are is settled once, at eight bytes each."""
    for members in _in_pieces(reader, under=under, limit=limit, after=after):
        yield shown(members, reach)


def reclaimable(reader: Reader) -> Iterator[int]:
    """What each group could free."""
    for groups in _in_pieces(reader, under=None, limit=None, after=None):
        for members in groups:
            for kept, _ in exact_groups((as_copy(row), content) for row, content in members):
                yield kept.reclaimable_bytes


def _in_pieces(
    reader: Reader, *, under: bytes | None, limit: int | None, after: Key | None
) -> Generator[list[list[Member]]]:
    with reader() as connection:
        found = duplicates.repeated(connection, under=under, after=after, limit=limit)
        ids = array("q", (file_id for _, file_id in found))
    for first in range(0, len(ids), ROWS_AT_ONCE):
        with reader() as connection:
            members = duplicates.members(connection, ids[first : first + ROWS_AT_ONCE])
        yield members


def shown(groups: Iterable[Sequence[Member]], reach: Reach) -> list[Json]:
    """The groups as scripts see them."""
    found = []
    for members in groups:
        rows = {member.row.id: member.row for member in members}
        for kept, verified in exact_groups((as_copy(row, reach), content) for row, content in members):
            one = rows[kept.file_id]
            found.append(
                {
                    "kind": "exact",
                    "quick_hash": None if one.quick_hash is None else one.quick_hash.hex(),
                    "file_size": one.size,
                    **group_fields(kept, rows),
                    "verified": verified,
                    "files": [file_fields(rows[copy.file_id], reach) for copy in kept.copies],
                }
            )
    return found


class Verifier:
    """Any thread may call; each comparison has a thread `verify-N`. The semaphore counts those that read."""

    def __init__(self, *, reader: Reader, writer: Writer, reach: Callable[[], Reach]) -> None:
        self._reader = reader
        self._writer = writer
        self._reach = reach
        self._room = threading.BoundedSemaphore(MOST)

    def verify(self, key: Key, *, is_given_up: Callable[[], bool]) -> Json:
        """Compare all files of a key byte for byte, and remember what was found for as long as their stamps stay.

        Blocks for as long as reading them takes, or until nobody waits. Raises Refused.
        """
        with self._reader() as connection:
            members = duplicates.with_key(connection, key)
        if len(members) < 2:
            raise Refused(404, "not_found", "the catalog knows no two files of this size and quick hash")
        if not self._room.acquire(blocking=False):
            raise Refused(
                503, "too_many_streams", f"{MOST} comparisons are under way already",
                hint="Wait for one, or look for a disk that hangs: `mediawatchctl status`.",
            )  # fmt: skip
        run = _Run([member.row for member in members], self._reach(), self._room)
        run.start()
        while not run.done.wait(LOOK_SECONDS):
            if is_given_up():
                run.is_cancelled = True
                raise Refused(408, "client_gone", "nobody waited for the comparison any more")
        if run.error is not None:
            raise run.error
        self._writer.ask(lambda tx: duplicates.store_comparison(tx, run.compared))
        with self._reader() as connection:
            members = duplicates.with_key(connection, key)
        failed = [row for row in run.rows if row.id in run.failures]
        return {
            "groups": shown([members], self._reach()),
            "uncompared": [{**path_fields("path", row.path), "reason": run.failures[row.id]} for row in failed],
            **path_lists("different", run.different()),
        }


class _Run:
    """One comparison; owned by its thread until `done` is set. One path of each file is read."""

    def __init__(self, rows: Sequence[CopyRow], reach: Reach, room: threading.BoundedSemaphore) -> None:
        self.rows = rows
        self.done = threading.Event()
        self.is_cancelled = False
        self.error: BaseException | None = None
        self.failures: dict[int, str] = {row.id: "Its disk is not there." for row in rows if not reach.has(row)}
        self.compared: dict[int, tuple[Stamp, int] | None] = dict.fromkeys(row.id for row in rows)
        self._room = room
        there = {row.id: row for row in rows if reach.has(row)}
        self._by_id = {row.id: row for row in rows}
        self._paths = {
            paths[0].file_id: [path.file_id for path in paths] for paths in same_files(map(as_copy, there.values()))
        }

    def start(self) -> None:
        name = f"verify-{self.rows[0].id}"
        threading.Thread(target=self._compare, name=name, daemon=True).start()

    def different(self) -> list[bytes]:
        """The paths of files that have no copy among the others."""
        contents = [found[1] for found in self.compared.values() if found]
        return [
            self._by_id[file_id].path
            for file_id, found in self.compared.items()
            if found and contents.count(found[1]) == 1
        ]

    def _compare(self) -> None:
        try:
            tasks = [_task(self._by_id[file_id]) for file_id in self._paths]
            comparison = Comparison(tasks, is_cancelled=lambda: self.is_cancelled)
            for alike in comparison.run():
                for file_id in (path for one in alike for path in self._paths[one]):
                    self.compared[file_id] = (self._by_id[file_id].stamp, min(alike))
            for one, text in comparison.failures.items():
                self.failures.update(dict.fromkeys(self._paths[one], text))
        except Cancelled:
            pass
        except BaseException as error:  # noqa: BLE001 - who waits is told
            self.error = error
        finally:
            self._room.release()
            self.done.set()


def _task(row: CopyRow) -> Task:
    return Task(row.id, row.path, row.stamp, row.media_type, 0, row.root_id, row.filesystem_id or 0, WALKED)
