"""Whatever is reported, in whatever order: the catalog holds together.

Reports are made up: they contradict each other, come late, propose moves that never were, and are rolled back at
times. `Catalog.check`, which runs after each commit, says what must hold all the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mediawatchd.catalog import missing, roots, wanting
from mediawatchd.catalog.moving import apply_moves
from mediawatchd.catalog.outcomes import ask_again
from mediawatchd.model import (
    FINGERPRINT,
    LIVE,
    PHASH,
    PROBE,
    QUICK_HASH,
    SECOND,
    WALKED,
    Changed,
    DirectoryMove,
    Failed,
    Former,
    Found,
    Hashed,
    PerceptuallyHashed,
    Place,
    Probed,
    Problem,
    Report,
    Stamp,
)
from tests.catalogs import POLICY, Catalog, digest
from tests.catalogs import PROBE as FOUND

ROOTS = {1: b"/media/", 2: b"/media2/"}
FOLDERS = (b"", b"a/", b"a/x/", b"a/x/y/", b"b/", b"b/x/")
NAMES = (b"1.mkv", b"2.mkv", b"\xff.flac")
INODES = st.sampled_from([1, 2, 3, None])
DIRECTORIES = st.builds(lambda root, folder: ROOTS[root] + folder, st.sampled_from([1, 2]), st.sampled_from(FOLDERS))
STAMPS = st.builds(Stamp, st.integers(0, 1), st.integers(0, 1), st.integers(0, 1), INODES, st.integers(1, 2))


class AnyOrder(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.catalog = Catalog(policy=replace(POLICY, hold_files=3, phash_all=True))
        self.catalog.configure(*ROOTS.values())
        self.disks = [self.catalog.disk, self.catalog.filesystem("other")]

    def teardown(self) -> None:
        self.catalog.connection.close()

    # What is drawn

    def place(self, data: st.DataObject) -> Place:
        return Place(data.draw(st.sampled_from(self.disks)), data.draw(INODES))

    def at_ns(self, data: st.DataObject) -> int:
        """Mostly now, sometimes what was seen a while ago."""
        return round((self.catalog.now - data.draw(st.sampled_from([0, 0, 0, 3, 30]))) * SECOND)

    def rows(self) -> list[tuple[int, bytes, bytes]]:
        return self.catalog.connection.execute(
            "SELECT f.id, d.path, f.name FROM media_files AS f JOIN directories AS d ON d.id = f.directory_id"
        ).fetchall()

    def file_id(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(row[0] for row in self.rows())))

    def found(self, data: st.DataObject, name: bytes) -> Found:
        """A file; at times with the stamp of a row that it then claims to have been."""
        former, stamp = None, data.draw(STAMPS)
        rows = self.rows()
        if rows and data.draw(st.booleans()):
            former = Former(*data.draw(st.sampled_from(sorted(rows))))
            if data.draw(st.booleans()):
                stamp = self.catalog.by_id(former.file_id).stamp
        media_type = "audio" if name.endswith(b"flac") else "video"
        return Found(name, media_type, stamp, data.draw(st.sampled_from([0, 5 * SECOND])), former)

    def report(self, data: st.DataObject) -> Report:
        path = data.draw(DIRECTORIES)
        names = data.draw(st.lists(st.sampled_from(NAMES), unique=True))
        absent = data.draw(st.lists(st.sampled_from(NAMES), unique=True))
        return Report(
            1 if path.startswith(ROOTS[1]) else 2,
            path,
            self.place(data),
            self.at_ns(data),
            data.draw(st.sampled_from([LIVE, WALKED])),
            tuple(self.found(data, name) for name in names),
            tuple(name for name in absent if name not in names),
            tuple(path + folder for folder in data.draw(st.lists(st.sampled_from((b"a/", b"b/", b"x/", b"y/"))))),
        )

    # What happens

    @rule(data=st.data())
    def observe(self, data: st.DataObject) -> None:
        self.catalog.observe(*(self.report(data) for _ in range(data.draw(st.integers(1, 3)))))

    @rule(data=st.data())
    def observe_in_vain(self, data: st.DataObject) -> None:
        report = self.report(data)
        with self.catalog.rolled_back() as tx:
            self.catalog.observing.apply(tx, [report])

    @rule(data=st.data(), names=st.sets(st.sampled_from(NAMES), min_size=1))
    def vanish(self, data: st.DataObject, names: set[bytes]) -> None:
        self.catalog.mounts_unchanged = data.draw(st.sampled_from([True, True, False]))
        self.catalog.miss(data.draw(DIRECTORIES), *sorted(names))
        self.catalog.mounts_unchanged = True

    @rule(path=DIRECTORIES.filter(lambda path: path not in ROOTS.values()), data=st.data())
    def vanish_whole(self, path: bytes, data: st.DataObject) -> None:
        self.catalog.lose(path, place=self.place(data))

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        known = self.catalog.connection.execute("SELECT id, path FROM directories").fetchall()
        if not known:
            return
        moves = []
        for directory_id, former in data.draw(st.lists(st.sampled_from(known), unique=True, max_size=3)):
            path = data.draw(DIRECTORIES)
            if former in ROOTS.values() or path in ROOTS.values() or path.startswith(former):
                continue  # a root cannot be moved, and nothing into itself
            if any(path.startswith(move.path) or move.path.startswith(path) for move in moves):
                continue  # what moves together arrives in one listing
            root_id = 1 if path.startswith(ROOTS[1]) else 2
            moves.append(DirectoryMove(root_id, directory_id, former, path, self.place(data), self.at_ns(data)))
        with self.catalog.transaction() as tx:
            apply_moves(tx, moves)

    @precondition(lambda self: bool(self.rows()))
    @rule(data=st.data(), content=st.sampled_from(["x", "y"]))
    def work(self, data: st.DataObject, content: str) -> None:
        outcomes: list[Any] = []
        for _ in range(data.draw(st.integers(1, 3))):
            file_id = self.file_id(data)
            stamp = self.catalog.by_id(file_id).stamp if data.draw(st.booleans()) else data.draw(STAMPS)
            kind = data.draw(st.sampled_from([Hashed, Hashed, Probed, PerceptuallyHashed, Failed, Changed]))
            if kind is Hashed:
                outcomes.append(Hashed(file_id, stamp, digest(content), 1))
            elif kind is Probed:
                outcomes.append(Probed(file_id, stamp, FOUND))
            elif kind is PerceptuallyHashed:
                if (row := self.catalog.by_id(file_id)).wanted:
                    outcomes.append(PerceptuallyHashed(file_id, stamp, row.wanted, "0", b"print"))
            elif kind is Changed:
                outcomes.append(Changed(file_id, stamp, b"", None))
            else:
                lacks = data.draw(st.sampled_from([QUICK_HASH, PROBE, PHASH, FINGERPRINT]))
                outcomes.append(Failed(file_id, stamp, lacks, Problem("io", "no"), data.draw(st.booleans())))
        self.catalog.tell(*outcomes)

    @precondition(lambda self: bool(self.rows()))
    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        file_id = self.file_id(data)
        self.catalog.run(lambda tx: ask_again(tx, [file_id]))

    @precondition(lambda self: bool(self.rows()))
    @rule(data=st.data(), again=st.booleans())
    def ask_for_hashes(self, data: st.DataObject, again: bool) -> None:
        file_id = self.file_id(data)
        self.catalog.run(lambda tx: wanting.ask(tx, [file_id], again=again))

    @rule()
    def end_jobs(self) -> None:
        self.catalog.run(lambda tx: wanting.let_go(tx, wanting.wanted(tx.connection)))

    @invariant()
    def every_video_is_waited_for_that_can_be_had(self) -> None:
        assert (
            self.catalog.connection.execute(
                "SELECT id FROM media_files WHERE media_type <> 'audio' AND lacks & 3 = 0 AND lacks & ? & ~wanted "
                "AND problem IS NULL",
                (PHASH,),
            ).fetchall()
            == []
        )

    @rule(seconds=st.sampled_from([1, 5, 10, 60, 4_000]))
    def wait(self, seconds: int) -> None:
        self.catalog.now += seconds

    @rule(root_id=st.sampled_from([1, 2]))
    def confirm(self, root_id: int) -> None:
        self.catalog.run(lambda tx: missing.confirm(tx, root_id))

    @rule(root_id=st.sampled_from([1, 2]))
    def purge(self, root_id: int) -> None:
        self.catalog.run(lambda tx: roots.add_online(tx, [root_id], 8 * 86_400 * SECOND))
        record = roots.WalkRecord(ROOTS[root_id], "periodic", "complete", 1.0, 1, 1)
        for _ in range(2):
            self.catalog.run(lambda tx: roots.record_walk(tx, root_id, record))
        self.catalog.run(missing.purge)

    @rule(suffix=st.sampled_from([b"mkv", b"flac", b""]))
    def rules_change(self, suffix: bytes) -> None:
        self.catalog.run(lambda tx: roots.apply_rules(tx, repr(suffix), lambda root, path: path.endswith(suffix)))

    @rule(narrow=st.booleans())
    def reconfigure(self, narrow: bool) -> None:
        """Narrower, or one of them out for a while."""
        self.catalog.configure(*([b"/media/a/", b"/media2/"] if narrow else [b"/media2/"]))
        self.catalog.configure(*ROOTS.values())


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
