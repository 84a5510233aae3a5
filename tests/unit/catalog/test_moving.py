"""Directories that moved: their rows go along, whatever else moved with them."""

from __future__ import annotations

import pytest

from mediawatchd.catalog import directories, roots
from mediawatchd.catalog.moving import apply_moves
from mediawatchd.catalog.transaction import Look
from mediawatchd.model import Place
from tests.catalogs import Catalog, file, inode_of

FILES = 300


def fill(catalog: Catalog, *folders: bytes) -> None:
    """A file in each directory, named for it."""
    for directory in folders:
        name = directory.strip(b"/").replace(b"/", b"_") + b".mkv"
        catalog.look(directory, file(name, inode=inode_of(directory + name)))


def test_a_directory_moves_with_all_below_it(catalog: Catalog) -> None:
    fill(catalog, b"a/", b"a/x/", b"a/x/y/", b"b/")
    before, ids = catalog.present(), catalog.directory_paths()
    tx = catalog.move_directories((b"a/", b"c/"))
    assert catalog.present() == {
        b"b/b.mkv": before[b"b/b.mkv"],
        b"c/a.mkv": before[b"a/a.mkv"],
        b"c/x/a_x.mkv": before[b"a/x/a_x.mkv"],
        b"c/x/y/a_x_y.mkv": before[b"a/x/y/a_x_y.mkv"],
    }
    assert catalog.directory_paths()[b"c/x/y/"] == ids[b"a/x/y/"]
    assert [(event.event, event.path, event.former, event.detail) for event in tx.events] == [
        ("moved", b"/media/c/", b"/media/a/", "directory")
    ]


def test_a_tree_that_moves_in_pieces_arrives_whole(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "_AT_ONCE", 3)
    fill(catalog, b"a/", *(b"a/%d/" % number for number in range(9)), b"a/8/x/")
    ids = catalog.directory_paths()
    catalog.move_directories((b"a/", b"a2/"))
    assert catalog.directory_paths() == {path.replace(b"a/", b"a2/", 1): each for path, each in ids.items()}
    assert len(catalog.present()) == 11


def test_a_move_writes_directories_and_no_file(catalog: Catalog) -> None:
    catalog.look(b"a/", *(file(b"%d.mkv" % number) for number in range(FILES)))
    catalog.look(b"a/x/", *(file(b"%d.mkv" % number) for number in range(FILES)))
    statements: list[str] = []
    before = catalog.connection.total_changes
    with catalog.transaction() as tx:
        catalog.connection.set_trace_callback(statements.append)
        apply_moves(tx, [catalog.directory_move(b"a/", b"b/")])
        catalog.connection.set_trace_callback(None)
    assert catalog.connection.total_changes - before < 20
    assert len(statements) < 30
    assert len(catalog.present()) == 2 * FILES


def test_a_directory_moves_into_one_that_is_new(catalog: Catalog) -> None:
    fill(catalog, b"a/")
    catalog.move_directories((b"a/", b"new/er/b/"))
    assert list(catalog.present()) == [b"new/er/b/a.mkv"]


def test_a_directory_moves_up_and_down(catalog: Catalog) -> None:
    fill(catalog, b"a/x/", b"b/")
    catalog.move_directories((b"a/x/", b"x/"))
    catalog.move_directories((b"b/", b"x/b/"))
    assert sorted(catalog.present()) == [b"x/a_x.mkv", b"x/b/b.mkv"]


def test_a_directory_whose_name_begins_like_that_of_the_moved_one_stays(catalog: Catalog) -> None:
    fill(catalog, b"a/", b"a2/", b"a b/", b"a/2/")
    catalog.move_directories((b"a/", b"c/"))
    assert sorted(catalog.present()) == [b"a b/a b.mkv", b"a2/a2.mkv", b"c/2/a_2.mkv", b"c/a.mkv"]


def test_a_directory_with_bytes_that_are_no_text_moves(catalog: Catalog) -> None:
    fill(catalog, b"a/", b"a/\xff/", b"a/%_/")
    catalog.move_directories((b"a/", b"\xfe/"))
    assert len([path for path in catalog.present() if path.startswith(b"\xfe/")]) == 3
    assert catalog.value("SELECT count(*) FROM directories WHERE path_is_text") == 1, "only the root"
    catalog.move_directories((b"\xfe/", b"a/"))
    assert catalog.value("SELECT count(*) FROM directories WHERE path_is_text") == 3


def test_files_in_a_moved_directory_are_unchanged_when_seen_there(catalog: Catalog) -> None:
    fill(catalog, b"a/")
    before = catalog.know(b"a/a.mkv")
    catalog.move_directories((b"a/", b"b/"))
    tx = catalog.look(
        b"b/", file(b"a.mkv", inode=inode_of(b"a/a.mkv")), place=Place(catalog.disk, inode_of(b"/media/a/"))
    )
    assert catalog.row(b"b/a.mkv") == before
    assert tx.events == []


def test_another_directory_made_at_the_old_path_is_a_new_one(catalog: Catalog) -> None:
    fill(catalog, b"a/")
    old = catalog.directory_paths()[b"a/"]
    catalog.move_directories((b"a/", b"b/"))
    fill(catalog, b"a/")
    assert catalog.directory_paths()[b"b/"] == old
    assert len(catalog.present()) == 2


# Several at once


def test_two_directories_that_swap_names_swap_paths(catalog: Catalog) -> None:
    fill(catalog, b"a/", b"a/x/", b"b/")
    before = catalog.present()
    catalog.move_directories((b"a/", b"b/"), (b"b/", b"a/"))
    assert catalog.present() == {
        b"b/a.mkv": before[b"a/a.mkv"],
        b"b/x/a_x.mkv": before[b"a/x/a_x.mkv"],
        b"a/b.mkv": before[b"b/b.mkv"],
    }
    assert catalog.missing() == []


def test_three_directories_that_rotate_rotate_paths(catalog: Catalog) -> None:
    fill(catalog, b"a/", b"b/", b"c/")
    catalog.move_directories((b"a/", b"b/"), (b"b/", b"c/"), (b"c/", b"a/"))
    assert sorted(catalog.present()) == [b"a/c.mkv", b"b/a.mkv", b"c/b.mkv"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_directory_and_one_that_was_in_it_move_apart(catalog: Catalog, order: tuple[int, int]) -> None:
    fill(catalog, b"a/", b"a/x/", b"a/x/y/", b"a/z/")
    moves = [(b"a/", b"b/"), (b"a/x/", b"x/")]
    catalog.move_directories(*(moves[index] for index in order))
    assert sorted(catalog.present()) == [b"b/a.mkv", b"b/z/a_z.mkv", b"x/a_x.mkv", b"x/y/a_x_y.mkv"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_directory_that_takes_the_place_of_its_parent_keeps_its_files(
    catalog: Catalog, order: tuple[int, int]
) -> None:
    """mv a/x t; mv a b; mv t a"""
    fill(catalog, b"a/", b"a/x/")
    moves = [(b"a/", b"b/"), (b"a/x/", b"a/")]
    catalog.move_directories(*(moves[index] for index in order))
    assert sorted(catalog.present()) == [b"a/a_x.mkv", b"b/a.mkv"]
    assert catalog.missing() == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_leaves_a_directory_that_is_overwritten_is_not_missing(catalog: Catalog, order: tuple[int, int]) -> None:
    fill(catalog, b"a/", b"s/", b"s/y/")
    moves = [(b"a/", b"s/"), (b"s/y/", b"z/")]
    catalog.move_directories(*(moves[index] for index in order))
    assert sorted(catalog.present()) == [b"s/a.mkv", b"z/s_y.mkv"]
    assert catalog.missing() == [b"s/s.mkv"]


# What was there, and what was gone


def test_a_directory_moved_over_a_known_one_leaves_its_files_missing(catalog: Catalog) -> None:
    fill(catalog, b"a/", b"b/", b"b/x/")
    before = catalog.know(b"b/b.mkv")
    tx = catalog.move_directories((b"a/", b"b/"))
    assert list(catalog.present()) == [b"b/a.mkv"]
    assert catalog.missing() == [b"b/b.mkv", b"b/x/b_x.mkv"]
    assert catalog.remembered(b"b/b.mkv").quick_hash == before.quick_hash
    assert sorted(event.event for event in tx.events) == ["missing", "missing", "moved"]


def test_a_directory_that_was_overwritten_and_turns_up_elsewhere_has_its_files_again(catalog: Catalog) -> None:
    """a over b and b to c, where c is looked at later."""
    fill(catalog, b"a/", b"b/")
    b = catalog.know(b"b/b.mkv")
    catalog.move_directories((b"a/", b"b/"))
    gone = catalog.directory_paths(gone=True)[b"b/"]
    with catalog.transaction() as tx:
        move = catalog.directory_move(b"b/", b"c/")
        apply_moves(tx, [move._replace(directory_id=gone, place=Place(catalog.disk, inode_of(b"/media/b/")))])
    catalog.look(b"c/", file(b"b.mkv", inode=inode_of(b"b/b.mkv")), place=Place(catalog.disk, inode_of(b"/media/b/")))
    assert catalog.present()[b"c/b.mkv"] == b.id
    assert catalog.row(b"c/b.mkv").video_phash == b.video_phash


def test_a_directory_moves_onto_a_path_that_is_remembered(catalog: Catalog) -> None:
    fill(catalog, b"a/", b"b/", b"b/x/")
    catalog.lose(b"b/")
    catalog.move_directories((b"a/", b"b/"))
    assert list(catalog.present()) == [b"b/a.mkv"]
    assert catalog.missing() == [b"b/b.mkv", b"b/x/b_x.mkv"]


def test_a_directory_that_was_gone_is_found_elsewhere_with_its_files(catalog: Catalog) -> None:
    """Also when the daemon was down while it moved, and the old path was looked at first."""
    fill(catalog, b"a/", b"a/x/")
    before = catalog.know(b"a/x/a_x.mkv")
    catalog.lose(b"a/")
    catalog.move_directories((b"a/", b"b/"))
    place = Place(catalog.disk, inode_of(b"/media/a/x/"))
    tx = catalog.look(b"b/x/", file(b"a_x.mkv", inode=inode_of(b"a/x/a_x.mkv")), place=place)
    assert catalog.row(b"b/x/a_x.mkv")._replace(fact_ns=0) == before._replace(fact_ns=0)
    assert [event.event for event in tx.events] == ["restored"]


def test_what_was_missing_in_a_directory_goes_along(catalog: Catalog) -> None:
    fill(catalog, b"a/")
    catalog.look(b"a/", file(b"gone.mkv"))
    row = catalog.know(b"a/gone.mkv")
    catalog.miss(b"a/", b"gone.mkv")
    catalog.move_directories((b"a/", b"b/"))
    assert catalog.missing() == [b"b/gone.mkv"]
    catalog.look(b"b/", file(b"gone.mkv"), place=Place(catalog.disk, inode_of(b"/media/a/")))
    assert catalog.present()[b"b/gone.mkv"] == row.id


def test_a_gone_subdirectory_does_not_follow_to_a_path_that_is_taken(catalog: Catalog) -> None:
    fill(catalog, b"a/", b"a/x/")
    catalog.lose(b"a/x/")
    catalog.move_directories((b"a/", b"b/"))
    fill(catalog, b"b/x/")
    fill(catalog, b"a/x/")
    catalog.move_directories((b"b/", b"c/"))
    assert sorted(catalog.present()) == [b"a/x/a_x.mkv", b"c/a.mkv", b"c/x/b_x.mkv"]


def test_a_move_ends_an_absence(catalog: Catalog) -> None:
    fill(catalog, b"a/")
    catalog.look(b"", gone=[b"a/"])
    catalog.move_directories((b"a/", b"b/"))
    assert catalog.value("SELECT count(*) FROM directories WHERE absent_ns IS NOT NULL") == 0


# Roots


def test_a_directory_moved_between_roots_takes_its_numbers_along(catalog: Catalog) -> None:
    catalog.configure(b"/media/", b"/media2/")
    fill(catalog, b"a/", b"a/x/", b"b/")
    catalog.look(b"a/", file(b"gone.mkv"), file(b"song.flac", media_type="audio"))
    catalog.know(b"a/x/a_x.mkv")
    catalog.miss(b"a/", b"gone.mkv")
    catalog.move_directories((b"a/", b"/media2/c/"))
    assert catalog.counts(1)["files"] == 1
    two = catalog.counts(2)
    assert (two["files"], two["audio"], two["missing"], two["phashed"]) == (3, 1, 1, 1)
    assert catalog.connection.execute("SELECT DISTINCT root FROM files WHERE file_path > '/media2'").fetchall() == [
        ("/media2",)
    ]


def test_two_roots_swap_directories(catalog: Catalog) -> None:
    catalog.configure(b"/media/", b"/media2/")
    fill(catalog, b"a/", b"a/x/", b"/media2/a/")
    catalog.move_directories((b"a/", b"/media2/a/"), (b"/media2/a/", b"a/"))
    assert (catalog.counts(1)["files"], catalog.counts(2)["files"]) == (1, 2)


def test_a_directory_moved_out_of_a_root_that_left_the_configuration_is_taken_in(catalog: Catalog) -> None:
    catalog.configure(b"/media2/")
    catalog.look(b"/media2/a/", file(b"a.mkv"))
    catalog.configure(b"/media/")
    catalog.move_directories((b"/media2/a/", b"a/"))
    assert catalog.counts(1)["files"] == 1
    assert catalog.value("SELECT count(*) FROM files") == 1


# What is no longer true of the rows


def test_a_directory_seen_later_than_the_look_that_missed_it_is_not_moved(catalog: Catalog) -> None:
    fill(catalog, b"a/")
    catalog.now = 200
    catalog.look(b"a/", place=Place(catalog.disk, 7))
    catalog.move_directories((b"a/", b"b/"), at=199)
    assert list(catalog.present()) == [b"a/a.mkv"]


def test_a_gone_directory_whose_row_was_taken_meanwhile_is_not_moved(catalog: Catalog) -> None:
    """Another one had come to its remembered path, and was carried off to where the gone one was: its files were in no
    catalog until the next walk."""
    fill(catalog, b"a/")
    catalog.lose(b"a/")
    move = catalog.directory_move(b"a/", b"b/")
    catalog.look(b"a/", file(b"new.mkv"), place=Place(catalog.disk, 7))
    with catalog.transaction() as tx:
        apply_moves(tx, [move])
    assert list(catalog.present()) == [b"a/new.mkv"]


@pytest.mark.parametrize("absence", ["absent", "gone"])
def test_a_directory_missed_later_than_the_look_that_found_it_elsewhere_is_moved(
    catalog: Catalog, absence: str
) -> None:
    """Two roots are looked at by two threads, when it moves from one to the other: what was in it came file by file."""
    fill(catalog, b"a/", b"a/x/")
    before = catalog.present()
    if absence == "absent":
        catalog.look(b"", gone=[b"a/"], at=200)
    else:
        catalog.now = 200
        catalog.lose(b"a/")
    tx = catalog.move_directories((b"a/", b"b/"), at=199)
    assert [(event.event, event.path) for event in tx.events] == [("moved", b"/media/b/")]
    if absence == "absent":
        assert catalog.present() == {b"b/a.mkv": before[b"a/a.mkv"], b"b/x/a_x.mkv": before[b"a/x/a_x.mkv"]}


def test_a_directory_that_moved_on_meanwhile_is_not_moved(catalog: Catalog) -> None:
    fill(catalog, b"a/")
    move = catalog.directory_move(b"a/", b"c/")
    catalog.move_directories((b"a/", b"b/"))
    with catalog.transaction() as tx:
        apply_moves(tx, [move])
    assert list(catalog.present()) == [b"b/a.mkv"]


def test_a_directory_that_was_forgotten_meanwhile_is_not_moved(catalog: Catalog) -> None:
    catalog.configure(b"/media/", b"/media2/")
    fill(catalog, b"a/", b"/media2/x/")
    moves = [catalog.directory_move(b"/media2/x/", b"x/"), catalog.directory_move(b"a/", b"b/")]
    catalog.configure(b"/media/")
    catalog.run(lambda tx: roots.forget(tx, 2))
    with catalog.transaction() as tx:
        apply_moves(tx, moves)
    assert list(catalog.present()) == [b"b/a.mkv"]


def test_nothing_moves_into_a_root_that_is_not_configured(catalog: Catalog) -> None:
    catalog.configure(b"/media/", b"/media2/")
    fill(catalog, b"a/")
    move = catalog.directory_move(b"a/", b"/media2/a/")
    catalog.configure(b"/media/")
    with catalog.transaction() as tx:
        apply_moves(tx, [move, move._replace(root_id=99)])
    assert list(catalog.present()) == [b"a/a.mkv"]


@pytest.mark.parametrize("links", [1, 2])
def test_a_file_that_left_a_directory_which_then_moved_is_found(catalog: Catalog, links: int) -> None:
    """Two roots are looked at by two threads: the file was seen in one before the directory was seen in the other.

    It became a new file, and the row that had its history went along with the directory. What has a second link may
    be in both, and is looked for again.
    """
    catalog.look(b"films/", file(b"a.mkv"), file(b"b.mkv"))
    a = catalog.know(b"films/a.mkv").id
    found = catalog.moved(b"films/a.mkv", here=b"c.mkv")
    found = found._replace(stamp=found.stamp._replace(links=links))
    catalog.move_directories((b"films/", b"movies/"))
    tx = catalog.look(b"", found)
    if links == 1:
        assert catalog.present()[b"c.mkv"] == a
        assert tx.looks == []
    else:
        assert sorted(catalog.present()) == [b"movies/a.mkv", b"movies/b.mkv"]
        assert tx.looks == [Look(1, b"/media/", b"c.mkv", 0)]


def test_a_directory_that_is_known_where_it_moved_to_takes_nothing_away(catalog: Catalog) -> None:
    """A file in it was seen first, by another thread: the directory was taken for one that it had overwritten."""
    catalog.look(b"films/", file(b"a.mkv"), file(b"b.mkv"))
    ids = catalog.know(b"films/a.mkv").id, catalog.know(b"films/b.mkv").id
    move = catalog.directory_move(b"films/", b"movies/")
    place = Place(catalog.disk, inode_of(b"/media/films/"))
    catalog.look(b"movies/", catalog.moved(b"films/a.mkv", here=b"a.mkv"), place=place)
    with catalog.transaction() as tx:
        apply_moves(tx, [move])
    catalog.look(b"movies/", catalog.moved(b"films/b.mkv", here=b"b.mkv"), place=place)
    assert catalog.present() == {b"movies/a.mkv": ids[0], b"movies/b.mkv": ids[1]}
    assert catalog.missing() == []
