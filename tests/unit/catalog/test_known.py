"""What the catalog knows of a directory, for those who compare it with the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.catalog import known
from mediawatchd.catalog.directories import below
from mediawatchd.catalog.known import KnownDirectory, KnownFile
from mediawatchd.model import Place
from tests.catalogs import file, inode_of

if TYPE_CHECKING:
    from tests.catalogs import Catalog


def directory(catalog: Catalog, path: bytes) -> KnownDirectory:
    found = known.directory(catalog.connection, catalog.absolute(path))
    assert found is not None
    return found


def test_a_directory_is_known_by_its_whole_path_while_it_is_there(catalog: Catalog) -> None:
    catalog.look(b"films/", file(b"a.mkv"))
    row = directory(catalog, b"films/")
    assert (row.path, row.filesystem_id, row.inode) == (b"/media/films/", catalog.disk, inode_of(b"/media/films/"))
    assert (row.gone, row.absent_ns) == (0, None)
    assert known.directory(catalog.connection, b"/media/film/") is None
    catalog.look(b"", gone=[b"films/"])
    assert directory(catalog, b"films/").absent_ns is not None
    catalog.now += 10
    catalog.look(b"", gone=[b"films/"])
    assert known.directory(catalog.connection, b"/media/films/") is None


def test_the_directories_in_a_directory_are_those_that_are_there(catalog: Catalog) -> None:
    for path in (b"films/", b"films/new/", b"songs/", b"lost/"):
        catalog.look(path)
    catalog.lose(b"lost/")
    found = known.subdirectories(catalog.connection, directory(catalog, b"").id)
    assert found == {path: directory(catalog, path) for path in (b"/media/films/", b"/media/songs/")}


def test_the_stamps_in_a_directory_are_those_of_files_that_are_there(catalog: Catalog) -> None:
    names = [b"a.mkv", b"b.mkv", b"\xff.mkv", b"hidden.mkv", b"lost.mkv"]
    catalog.look(b"", *(file(name) for name in names))
    catalog.look(b"sub/", file(b"c.mkv"))
    catalog.miss(b"", b"lost.mkv")
    with catalog.transaction() as tx:
        tx.connection.execute("UPDATE media_files SET hidden = 1 WHERE name = ?", (b"hidden.mkv",))
        tx.totals.recount(tx.connection, 1)
    directory_id = directory(catalog, b"").id
    stamps = {name: tuple(file(name).stamp) for name in names[:3]}
    assert known.files(catalog.connection, directory_id, 3) == stamps
    # Of too many, a slab at a time.
    assert known.files(catalog.connection, directory_id, 2) is None
    assert known.count(catalog.connection, directory_id) == 3
    assert list(known.names(catalog.connection, directory_id, 2)) == [names[:2], names[2:3]]
    asked = [b"b.mkv", b"c.mkv", b"hidden.mkv", b"lost.mkv", b"strange.mkv"]
    assert known.files_named(catalog.connection, directory_id, asked) == {b"b.mkv": stamps[b"b.mkv"]}


def test_a_file_whose_absence_waits_equals_no_stamp_so_that_seeing_it_is_news(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.look(b"", absent=[b"a.mkv"])
    assert known.files(catalog.connection, directory(catalog, b"").id, 3) == {b"a.mkv": ()}


def test_a_sample_is_of_what_is_there_or_of_what_is_gone(catalog: Catalog) -> None:
    catalog.look(b"films/", *(file(b"%d.mkv" % number) for number in range(20)))
    catalog.look(b"films2/", file(b"x.mkv"))
    paths = below(b"/media/films/")
    sample = known.sample(catalog.connection, paths, 16)
    assert len(sample) == 16
    assert all(path.startswith(b"/media/films/") and stamp == file(path[13:]).stamp for path, stamp in sample)
    assert known.sample(catalog.connection, paths, 16, gone=True) == []
    catalog.lose(b"films/")
    assert known.sample(catalog.connection, paths, 16) == []
    assert len(known.sample(catalog.connection, paths, 16, gone=True)) == 16


def test_files_are_known_below_a_path_by_file_system(catalog: Catalog) -> None:
    usb = catalog.filesystem("usb")
    catalog.look(b"films/usb/", file(b"a.mkv"), place=Place(usb, 3))
    catalog.look(b"films2/", file(b"b.mkv"))
    assert known.holds_files(catalog.connection, b"/media/films/", usb)
    assert not known.holds_files(catalog.connection, b"/media/films/", catalog.disk)
    assert known.holds_files(catalog.connection, b"/media/", catalog.disk)
    catalog.miss(b"films2/", b"b.mkv")
    assert not known.holds_files(catalog.connection, b"/media/", catalog.disk)


def test_files_are_found_by_inode_also_many_and_missing_ones(catalog: Catalog) -> None:
    files = [file(b"%04d.mkv" % number, number, inode=number + 1) for number in range(2 * known.VARIABLES + 1)]
    catalog.look(b"films/", *files)
    catalog.look(b"usb/", file(b"a.mkv", inode=1), place=Place(catalog.filesystem("usb"), 3))
    catalog.miss(b"films/", b"0003.mkv")
    found = list(known.files_with_inodes(catalog.connection, catalog.disk, [*range(1, len(files) + 1), 1 << 40]))
    assert len(found) == len(files), "those of another file system have other inodes"
    assert [row for row in found if row.missing] == [
        KnownFile(catalog.remembered(b"films/0003.mkv").id, b"/media/films/", b"0003.mkv", 3, 1_000, 4, True)
    ]
    assert list(known.files_with_inodes(catalog.connection, catalog.disk, [])) == []


def test_directories_are_found_by_inode_also_gone_ones(catalog: Catalog) -> None:
    catalog.look(b"films/")
    catalog.look(b"lost/")
    catalog.look(b"usb/", place=Place(catalog.filesystem("usb"), inode_of(b"/media/films/")))
    catalog.lose(b"lost/")
    inodes = [inode_of(b"/media/films/"), inode_of(b"/media/lost/")]
    found = list(known.directories_with_inodes(catalog.connection, catalog.disk, inodes))
    assert {(row.path, row.gone) for row in found} == {(b"/media/films/", 0), (b"/media/lost/", 1)}
