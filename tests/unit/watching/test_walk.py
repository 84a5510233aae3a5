"""One pass over real folders that change under it; what it found is asked of the catalog."""

from __future__ import annotations

import errno
import os
import shutil
from functools import partial
from typing import TYPE_CHECKING, Self

import pytest

from mediawatchd.watching import visitor
from mediawatchd.watching.walk import OPEN_DIRECTORY, Walked, open_below, open_in_root, walk
from mediawatchd.watching.walker import Walker
from mediawatchd.watching.walks import HINT, WalkRequest, Walks
from tests.rooted import Rooted, rooted
from tests.rooted import open_below as opened
from tests.trees import size, symlink, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    return tree({"a/1.mkv": size(10), "b/deep/2.mkv": size(20), "c/3.mkv": size(30)}).under(tmp_path / "media")


@pytest.fixture
def parts(tmp_path: Path, root: bytes) -> Iterator[Rooted]:
    """The root was walked once; its keeper is idle from then on, and the test walks in its place."""
    with rooted(tmp_path, root) as made:
        yield made


def stepping(parts: Rooted, root: bytes, walked: Walked) -> Generator[None]:
    """A walk that the test takes step by step."""
    eyes = parts.keeper(root)._visitor
    with parts.database.reader() as connection:
        fd = os.open(root, OPEN_DIRECTORY)
        try:
            yield from walk(eyes, connection, fd, root, walked)
        finally:
            os.close(fd)


def when_looking_at(monkeypatch: pytest.MonkeyPatch, path: bytes, do: Callable[[], object]) -> None:
    """Have something happen right after this directory was listed."""
    listed = visitor.Visitor._list

    def disturbed(self: visitor.Visitor, sight: visitor.Sight) -> object:
        listing = listed(self, sight)
        if sight.path == path:
            do()
        return listing

    monkeypatch.setattr(visitor.Visitor, "_list", disturbed)


def test_it_visits_everything_below_and_counts(parts: Rooted, root: bytes) -> None:
    walked = Walked()
    steps = list(stepping(parts, root, walked))
    assert (walked.directories, walked.files, walked.complete) == (5, 3, True)
    assert len(steps) == 5
    assert opened(root) == []


def test_what_it_has_open_is_closed_wherever_it_is_left(parts: Rooted, root: bytes) -> None:
    for wanted in range(1, 5):
        walked = Walked()
        steps = stepping(parts, root, walked)
        for _ in range(wanted):
            next(steps)
        assert opened(root)
        steps.close()
        assert opened(root) == []
        assert not walked.complete


def test_what_it_has_open_is_closed_when_it_breaks(parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    when_looking_at(monkeypatch, root + b"b/deep/", fail)
    with pytest.raises(ZeroDivisionError):
        list(stepping(parts, root, Walked()))
    assert opened(root) == []


def test_a_directory_replaced_by_a_link_as_it_is_walked_is_not_followed(
    parts: Rooted, root: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tree({"secret.mkv": size(5), "deep/more.mkv": size(5)}).under(tmp_path / "outside")

    def swap() -> None:
        shutil.rmtree(root + b"b")
        os.symlink(outside[:-1], root + b"b")

    when_looking_at(monkeypatch, root, swap)
    parts.walk(root)
    parts.settle(root)
    assert not [path for path in parts.present() if b"secret" in path or b"more" in path]


def test_links_inside_a_root_are_not_followed_wherever_they_lead(parts: Rooted, root: bytes, tmp_path: Path) -> None:
    outside = tree({"secret.mkv": size(5)}).under(tmp_path / "outside")
    tree(
        {"out": symlink(outside[:-1]), "in": symlink(root + b"a"), "up": symlink(".."), "file.mkv": symlink("a/1.mkv")}
    ).under(root)
    assert parts.walk(root) is None
    assert parts.present() == {root + b"a/1.mkv", root + b"b/deep/2.mkv", root + b"c/3.mkv"}


def test_a_root_may_itself_be_a_link(parts: Rooted, root: bytes, tmp_path: Path) -> None:
    link = bytes(tmp_path / "link")
    os.symlink(root[:-1], link)
    parts.keep(link + b"/")
    parts.settle(link + b"/")
    assert link + b"/a/1.mkv" in parts.present()


def test_a_directory_that_moves_away_as_it_is_walked_leaves_no_rows_where_it_was(
    parts: Rooted, root: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = bytes(tmp_path / "moved")
    when_looking_at(monkeypatch, root + b"b/", lambda: os.path.exists(root + b"b") and os.rename(root + b"b", moved))
    assert parts.walk(root) is None
    parts.walk(root)
    parts.walk(root)
    assert parts.present() == {root + b"a/1.mkv", root + b"c/3.mkv"}


def test_a_directory_that_goes_before_it_is_opened_is_no_trouble(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    when_looking_at(monkeypatch, root, lambda: shutil.rmtree(root + b"b", ignore_errors=True))
    walked = Walked()
    list(stepping(parts, root, walked))
    assert (walked.complete, walked.directories) == (True, 3)
    assert parts.status(root).unreadable == ()


def test_a_directory_replaced_by_a_file_is_no_trouble(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap() -> None:
        shutil.rmtree(root + b"b", ignore_errors=True)
        with open(root + b"b", "wb"):
            pass

    when_looking_at(monkeypatch, root, swap)
    walked = Walked()
    list(stepping(parts, root, walked))
    assert walked.complete
    assert parts.status(root).unreadable == ()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE, errno.ENOTCONN])
def test_a_directory_that_cannot_be_read_keeps_its_rows_and_is_named(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    really_open = os.open

    def refuse(path: bytes, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if path == b"b" and dir_fd is not None:
            raise OSError(code, os.strerror(code))
        return really_open(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    walked = Walked()
    list(stepping(parts, root, walked))
    parts.flush()
    assert walked.complete
    [told] = parts.status(root).unreadable
    assert (told.path, told.reason) == (root + b"b/", os.strerror(code))
    assert told.next_attempt is not None
    for _ in range(3):
        assert parts.walk(root) is None
    assert root + b"b/deep/2.mkv" in parts.present()
    assert parts.missing() == set()
    assert parts.status(root).state == "online"


def test_one_file_that_cannot_be_looked_at_hides_neither_the_others_nor_itself(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A bad inode in the root made the whole root an error, for good.
    tree({"bad.mkv": size(3), "good.mkv": size(4)}).under(root)
    assert parts.walk(root) is None
    tree({"new.mkv": size(5)}).under(root)
    scandir = os.scandir

    class Bad:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self._entry = entry
            self.name = entry.name

        def __getattr__(self, name: str) -> object:
            return getattr(self._entry, name)

        def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
            if self.name == "bad.mkv":
                raise OSError(errno.EUCLEAN, os.strerror(errno.EUCLEAN))
            return self._entry.stat(follow_symlinks=follow_symlinks)

    class Listing:
        def __init__(self, fd: int) -> None:
            self._entries = scandir(fd)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_error: object) -> None:
            self._entries.close()

        def __iter__(self) -> Iterator[Bad]:
            return map(Bad, self._entries)

    monkeypatch.setattr(visitor.os, "scandir", Listing)
    for _ in range(3):
        assert parts.walk(root) is None
        assert [(told.path, told.reason) for told in parts.status(root).unreadable] == [
            (root, os.strerror(errno.EUCLEAN))
        ]
    monkeypatch.undo()
    assert {root + b"bad.mkv", root + b"good.mkv", root + b"new.mkv"} <= parts.present()
    assert parts.missing() == set()
    assert parts.status(root).state == "online"


def test_a_walk_that_is_left_before_its_first_step_has_nothing_open(parts: Rooted, root: bytes) -> None:
    keeper = parts.keeper(root)
    walks = Walks(root=root, wake=bool)
    walker = Walker(
        root_id=keeper.root_id,
        root=root,
        visitor=keeper._visitor,
        reporting=keeper._reporting,
        walks=walks,
        open_directory=partial(open_in_root, root),
        is_disturbed=bool,
    )
    walks.ask(WalkRequest(root, HINT))
    before = opened(root)
    with parts.database.reader() as connection:
        for _ in range(50):
            assert walker.begin(connection, paused=False)
            walker.interrupt()
    assert opened(root) == before


def test_ignored_directories_are_not_entered(parts: Rooted, root: bytes) -> None:
    tree({"_UNPACK_x/4.mkv": size(4), "d.part/5.mkv": size(4)}).under(root)
    walked = Walked()
    list(stepping(parts, root, walked))
    assert walked.directories == 5


def test_a_deep_tree_needs_no_deep_stack(tmp_path: Path) -> None:
    deep = b"/".join([b"d"] * 300)
    root = tree({deep + b"/a.mkv": size(3)}).under(tmp_path / "media")
    with rooted(tmp_path, root) as parts:
        assert parts.present() == {root + deep + b"/a.mkv"}


def test_names_that_are_no_text_are_walked_as_they_are(tmp_path: Path) -> None:
    names = [b"\xff/\xfe.mkv", "音楽/曲.mp3".encode(), b"new\nline/a b.mkv", b"-/--.mkv"]
    root = tree(dict.fromkeys(names, size(5))).under(tmp_path / "media")
    with rooted(tmp_path, root) as parts:
        assert parts.present() == {root + name for name in names}


def test_opening_below_follows_no_link_on_the_way(root: bytes, tmp_path: Path) -> None:
    tree({"inside/x.mkv": size(1)}).under(tmp_path / "outside")
    os.symlink(bytes(tmp_path / "outside"), root + b"link")
    fd = os.open(root, OPEN_DIRECTORY)
    try:
        for relative in (b"link/", b"link/inside/", b"a/1.mkv/"):
            with pytest.raises(OSError, match=r"Not a directory|Too many levels") as refused:
                open_below(fd, relative)
            assert refused.value.errno in {errno.ENOTDIR, errno.ELOOP}
        with pytest.raises(FileNotFoundError):
            open_below(fd, b"nowhere/deep/")
        below = open_below(fd, b"b/deep/")
        assert os.listdir(below) == ["2.mkv"]
        os.close(below)
    finally:
        os.close(fd)
    assert opened(root) == []
