"""Which folders are configured, what lies in them, and what becomes of rows when that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog import roots
from mediawatchd.catalog.open_work import open_work
from mediawatchd.model import MAX_INTEGER, SECOND, Place
from tests.catalogs import MEDIA, WALL, digest, file, inode_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.catalogs import Catalog

VIEW = "SELECT count(*) FROM files"


def apply_rules(catalog: Catalog, fingerprint: str, visible: Callable[[bytes, bytes], bool]) -> object:
    return catalog.run(lambda tx: roots.apply_rules(tx, fingerprint, visible))


def no_songs(root: bytes, path: bytes) -> bool:
    return not path.endswith(b".flac")


def all_files(root: bytes, path: bytes) -> bool:
    return True


@pytest.fixture
def films(catalog: Catalog) -> Catalog:
    catalog.look(b"", file(b"a.mkv"))
    catalog.look(b"films/", file(b"b.mkv"), file(b"c.flac", media_type="audio"))
    catalog.look(b"films/new/", file(b"d.mkv"))
    catalog.look(b"films2/", file(b"e.mkv"))
    return catalog


# Configured folders


def test_a_root_keeps_its_id_when_it_leaves_and_returns(catalog: Catalog) -> None:
    assert catalog.configure(MEDIA, b"/media2/") == {MEDIA: 1, b"/media2/": 2}
    assert catalog.configure(b"/media2/") == {b"/media2/": 2}
    assert (catalog.root(1).configured, catalog.root(2).configured) == (0, 1)
    assert catalog.configure(MEDIA) == {MEDIA: 1}
    assert (catalog.root(1).configured, catalog.root(2).configured) == (1, 0)


def test_rows_of_a_root_that_leaves_are_hidden_kept_and_restored(films: Catalog) -> None:
    before, counts = films.present(), films.counts()
    films.configure(b"/media2/")
    assert films.value(VIEW) == 0
    assert films.present() == before
    films.configure(MEDIA)
    assert films.value(VIEW) == 5
    assert films.counts() == counts


def test_a_root_made_narrower_keeps_what_is_in_it_and_hides_the_rest(films: Catalog) -> None:
    before = films.present()
    narrow = films.configure(b"/media/films/")[b"/media/films/"]
    assert films.present() == before
    assert (films.counts(1)["files"], films.counts(narrow)["files"]) == (2, 3)
    assert sorted(films.connection.execute("SELECT file_path, root FROM files")) == [
        ("/media/films/b.mkv", "/media/films"),
        ("/media/films/c.flac", "/media/films"),
        ("/media/films/new/d.mkv", "/media/films"),
    ]


def test_a_root_made_wider_has_what_was_in_the_narrow_ones(films: Catalog) -> None:
    before, counts = films.present(), films.counts()
    films.configure(b"/media/films/", b"/media/films2/")
    films.configure(MEDIA)
    assert films.present() == before
    assert films.counts() == counts
    assert films.counts(2) == {}


def test_a_root_made_wider_than_ever_ties_the_old_one_to_its_parents(films: Catalog) -> None:
    films.configure(b"/")
    assert films.counts(2)["files"] == 5
    parent = films.value("SELECT p.path FROM directories AS d JOIN directories AS p ON p.id = d.parent_id "
                         "WHERE d.path = ?", MEDIA)  # fmt: skip
    assert parent == b"/"
    films.look(b"/", gone=[MEDIA], place=Place(films.disk, 2))
    films.now += 10
    films.look(b"/", gone=[MEDIA], place=Place(films.disk, 2))
    assert films.present() == {}


def test_a_root_beside_one_with_a_name_that_begins_alike_takes_nothing_from_it(films: Catalog) -> None:
    films.configure(b"/media/films/", b"/media/films2/")
    assert (films.counts(2)["files"], films.counts(3)["files"]) == (3, 1)


def test_missing_rows_and_gone_directories_change_the_root_too(films: Catalog) -> None:
    films.lose(b"films/new/")
    films.configure(b"/media/films/")
    assert films.counts(2)["missing"] == 1
    films.look(b"/media/films/new/", file(b"d.mkv"), root=2)
    assert films.counts(2)["files"] == 3


def test_rows_of_an_older_catalog_below_no_root_come_in_when_one_covers_them(catalog: Catalog) -> None:
    catalog.connection.execute("INSERT INTO directories (path, path_is_text) VALUES (?, 1)", (b"/old/films/",))
    catalog.connection.execute(
        "INSERT INTO media_files (directory_id, name, name_is_text, media_type, size, mtime_ns, lacks, first_seen) "
        "VALUES (1, ?, 1, 'video', 10, 5, 1, 5)",
        (b"a.mkv",),
    )
    assert catalog.value(VIEW) == 0
    catalog.configure(MEDIA, b"/old/")
    assert catalog.value(VIEW) == 1
    assert catalog.counts(2)["files"] == 1


# File systems


def test_a_file_system_has_one_id_for_ever(catalog: Catalog) -> None:
    one = catalog.filesystem("uuid:1")
    assert catalog.filesystem("uuid:2") != one
    assert catalog.filesystem("uuid:1") == one
    assert roots.identity(catalog.connection, one) == "uuid:1"
    assert roots.identity(catalog.connection, None) is None


def test_accepting_what_is_mounted_makes_it_the_file_system_of_the_roots_own_rows(films: Catalog) -> None:
    usb = films.filesystem("usb")
    films.look(b"usb/", file(b"u.mkv"), place=Place(usb, 3))
    other = films.filesystem("other")
    films.run(lambda tx: roots.accept(tx, 1, other))
    assert films.root().filesystem_id == other
    rows = dict(films.connection.execute("SELECT path, filesystem_id FROM directories").fetchall())
    assert (rows[b"/media/films/new/"], rows[b"/media/usb/"]) == (other, usb)


def test_accepting_in_two_steps_lets_the_rows_follow_as_well(films: Catalog) -> None:
    """A person accepts before it is known what is mounted; the next look at the root says it."""
    other = films.filesystem("other")
    films.run(lambda tx: roots.accept(tx, 1, None))
    films.run(lambda tx: roots.accept(tx, 1, other))
    assert films.value("SELECT count(*) FROM directories WHERE filesystem_id <> ?", other) == 0
    films.look(b"films/", file(b"b.mkv"), place=Place(other, 7))
    films.miss(b"", b"a.mkv")
    assert films.missing() == [b"a.mkv"]


# What is counted


def test_online_time_is_counted_for_the_roots_that_are_online(catalog: Catalog) -> None:
    catalog.configure(MEDIA, b"/media2/")
    catalog.run(lambda tx: roots.add_online(tx, [2], 5 * SECOND))
    catalog.run(lambda tx: roots.add_online(tx, [2], 6 * SECOND))
    assert (catalog.root(1).online_ns, catalog.root(2).online_ns) == (0, 11 * SECOND)


def test_a_whole_walk_is_recorded_and_counted(catalog: Catalog) -> None:
    record = roots.WalkRecord(MEDIA, "start", "complete", 2.0, 3, 4)
    catalog.run(lambda tx: roots.record_walk(tx, 1, record))
    assert (catalog.root().walks, catalog.root().last_reconcile) == (1, WALL + 100)
    row = catalog.connection.execute("SELECT * FROM scans").fetchone()
    assert row == (1, 1, MEDIA, "start", "complete", WALL + 98, 2.0, 3, 4)


def test_a_walk_of_a_forgotten_root_is_not_recorded(catalog: Catalog) -> None:
    catalog.run(lambda tx: roots.record_walk(tx, 9, roots.WalkRecord(MEDIA, "start", "complete", 2.0, 3, 4)))
    assert catalog.value("SELECT count(*) FROM scans") == 0


def test_only_the_newest_thousand_walks_are_kept(catalog: Catalog) -> None:
    record = roots.WalkRecord(b"/media/films/", "job", "complete", 1.0, 1, 1)
    with catalog.transaction() as tx:
        for _ in range(roots.KEPT_SCANS + 5):
            roots.record_walk(tx, 1, record)
    assert catalog.value("SELECT count(*) FROM scans") == roots.KEPT_SCANS
    assert catalog.value("SELECT min(id) FROM scans") == 6


# Forgetting


def test_forgetting_a_root_deletes_its_rows_and_nothing_else(films: Catalog) -> None:
    films.configure(MEDIA, b"/media2/")
    films.look(b"/media2/", file(b"z.mkv"))
    films.know(b"/media2/z.mkv")
    films.miss(b"films/", b"b.mkv")
    films.configure(b"/media2/")
    assert films.run(lambda tx: roots.forget(tx, 1)) == 5
    assert list(films.present()) == [b"/media2/z.mkv"]
    assert films.missing() == []
    assert films.value("SELECT count(*) FROM directories WHERE root_id = 1") == 0
    assert films.value("SELECT count(*) FROM roots") == 1
    assert films.counts(2)["files"] == 1
    assert films.configure(MEDIA)[MEDIA] != 1 or films.present() == {b"/media2/z.mkv": 6}


def test_forgetting_what_was_left_around_a_narrower_root_keeps_that(films: Catalog) -> None:
    films.configure(b"/media/films/")
    assert films.run(lambda tx: roots.forget(tx, 1)) == 2
    assert sorted(films.present()) == [b"films/b.mkv", b"films/c.flac", b"films/new/d.mkv"]
    assert films.value(VIEW) == 3


def test_forgetting_a_root_keeps_what_the_same_batch_has_counted(films: Catalog) -> None:
    films.configure(MEDIA, b"/media2/")
    films.configure(b"/media2/")
    report = films.report(b"/media2/", file(b"z.mkv"))
    with films.transaction() as tx:
        films.observing.apply(tx, [report])
        roots.forget(tx, 1)
    assert films.counts(2)["files"] == 1


def test_forgetting_a_root_does_not_read_the_rows_of_others_for_each_of_its_directories(films: Catalog) -> None:
    """The check of the foreign key would, without an index: minutes for a library, with the writer stopped."""
    films.configure(MEDIA, b"/media2/")
    films.look(b"big/", *(file(b"%d.mkv" % number) for number in range(2_000)))
    films.observe(*(films.report(b"/media2/%d/" % number, file(b"a.mkv")) for number in range(200)))
    films.configure(MEDIA)
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    films.connection.set_progress_handler(count, 1_000)
    with films.transaction() as tx:
        roots.forget(tx, 2)
        films.connection.set_progress_handler(None, 0)
    assert steps < 300, "thousand instructions; without an index over 1,000"
    assert films.value("SELECT count(*) FROM sqlite_schema WHERE name = 'forgetting'") == 0


# Rules


def test_rows_that_the_rules_leave_out_are_hidden_and_shown_again(films: Catalog) -> None:
    before, counts = films.present(), films.counts()
    assert apply_rules(films, "no songs", no_songs) == 1
    assert films.value(VIEW) == 4
    assert "audio" not in films.counts()
    assert films.present() == before, "hidden rows are kept"
    assert apply_rules(films, "no songs", no_songs) == 0
    assert apply_rules(films, "all", all_files) == 1
    assert films.counts() == counts


def test_a_folder_that_was_gone_when_it_came_to_be_ignored_is_waited_for_by_nobody(films: Catalog) -> None:
    films.look(b"", gone=[b"films/"])
    assert open_work(films.connection, frozenset({1}), MAX_INTEGER).absences
    apply_rules(films, "no films", lambda root, path: b"films/" not in path)
    assert not open_work(films.connection, frozenset({1}), MAX_INTEGER).absences
    films.look(b"", gone=[b"films/"])
    assert open_work(films.connection, frozenset({1}), MAX_INTEGER).absences, "seen again it is"


def test_rules_are_asked_with_the_root_and_the_whole_path(films: Catalog) -> None:
    asked = set()

    def visible(root: bytes, path: bytes) -> bool:
        asked.add((root, path))
        return True

    apply_rules(films, "any", visible)
    assert (MEDIA, b"/media/films/new/d.mkv") in asked
    assert len(asked) == 5


def test_rules_that_did_not_change_cost_no_reading(films: Catalog) -> None:
    apply_rules(films, "all", all_files)

    def never(root: bytes, path: bytes) -> bool:
        raise AssertionError

    apply_rules(films, "all", never)


def test_rules_that_changed_while_a_root_was_out_hold_for_its_rows_when_it_returns(films: Catalog) -> None:
    """Else a file that is ignored now would stay visible, and then be taken for missing."""
    apply_rules(films, "all", all_files)
    films.configure(b"/media2/")
    apply_rules(films, "no songs", no_songs)
    films.configure(MEDIA)
    apply_rules(films, "no songs", no_songs)
    assert films.value("SELECT group_concat(name) FROM media_files WHERE hidden") == "c.flac"


def test_missing_rows_are_hidden_and_counted_out_too(films: Catalog) -> None:
    films.miss(b"films/", b"c.flac")
    assert films.counts()["missing"] == 1
    apply_rules(films, "no songs", no_songs)
    assert "missing" not in films.counts()


def test_hidden_rows_are_not_taken_for_the_former_of_a_new_file(films: Catalog) -> None:
    films.hash(b"films/c.flac", "song")
    films.miss(b"films/", b"c.flac")
    apply_rules(films, "no songs", no_songs)
    films.look(b"films/", file(b"x.mkv"))
    row_id = films.row(b"films/x.mkv").id
    films.hash(b"films/x.mkv", "song")
    assert films.row(b"films/x.mkv").id == row_id
    assert films.row(b"films/x.mkv").quick_hash == digest("song")


def test_a_root_reads_back_as_it_was_stored(catalog: Catalog) -> None:
    assert roots.root(catalog.connection, 1) == catalog.root() == roots.RootRow(1, MEDIA, 1, catalog.disk, 0, 0, None)
    assert roots.load_roots(catalog.connection) == {1: catalog.root()}


def test_totals_are_read_by_root(films: Catalog) -> None:
    assert roots.totals(films.connection)[1]["files"] == 5
    assert inode_of(b"/media/") > 0
