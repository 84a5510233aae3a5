"""What is answered about exact duplicates, over a real catalog, and comparisons that a person asks for."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.catalog import duplicates
from mediawatchd.control import answers
from mediawatchd.control.copies import Reach
from mediawatchd.control.duplicates import MOST, Verifier
from mediawatchd.errors import Refused
from mediawatchd.hashing import comparison
from mediawatchd.model import Away, Hashed, stamp_of
from tests.alike import Alike, short
from tests.catalogs import MEDIA, digest
from tests.parts import WITHIN, Parts, catalog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def alike() -> Alike:
    """Two groups, one of them with a hard link; and files that are in none."""
    alike = Alike()
    alike.video(b"films/a.mkv", 5_000, content="a")
    alike.video(b"copies/a.mkv", 5_000, content="a")
    alike.video(b"films/b.mkv", 9_000, content="b", inode=77, links=2)
    alike.video(b"copies/b.mkv", 9_000, content="b", inode=77, links=2)
    alike.video(b"copies/b again.mkv", 9_000, content="b")
    alike.video(b"films/c.mkv", 7_000, content="c")
    alike.video(b"films/empty.mkv", 0, content="")
    alike.video(b"copies/empty.mkv", 0, content="")
    alike.video(b"films/linked.mkv", 3_000, content="l", inode=78, links=2)
    alike.video(b"copies/linked.mkv", 3_000, content="l", inode=78, links=2)
    return alike


def paths(group: dict[str, Any]) -> list[str]:
    return [short(path) for path in group["paths"]]


B = ["films/b.mkv", "copies/b.mkv", "copies/b again.mkv"]
A = ["films/a.mkv", "copies/a.mkv"]


def test_groups_of_the_largest_files_come_first(alike: Alike) -> None:
    b, a = alike.items("/api/duplicates")
    assert (paths(b), paths(a)) == (B, A)
    assert {name: b[name] for name in ("kind", "quick_hash", "file_size", "reclaimable_bytes", "verified")} == {
        "kind": "exact", "quick_hash": digest("b").hex(), "file_size": 9_000, "reclaimable_bytes": 9_000,
        "verified": False,
    }  # fmt: skip
    assert [[short(path) for path in same] for same in b["hard_links"]] == [["films/b.mkv", "copies/b.mkv"]]
    assert (short(b["keep"]), b["paths_b64"], b["hard_links_b64"]) == ("films/b.mkv", [None] * 3, [[None, None]])
    assert a["files"][1]["file_size"] == 5_000


def test_pages_and_lines_hold_the_same(alike: Alike) -> None:
    whole = alike.items("/api/duplicates")
    lines = alike.ask("/api/duplicates", headers={"Accept": answers.NDJSON}).content.splitlines()
    assert [json.loads(line) for line in lines] == whole
    found, target = [], "/api/duplicates?limit=1"
    while True:
        page = alike.ask(target).json
        found += page["items"]
        if page["next"] is None:
            break
        target = f"/api/duplicates?limit=1&after={page['next']}"
    assert found == whole


@pytest.mark.parametrize(
    ("under", "groups"),
    [("", [B, A]), ("copies", [B, A]), ("copies/b again.mkv", [B]), ("films/a.mkv", [A]), ("films/c.mkv", [])],
)
def test_a_group_is_whole_wherever_it_is_asked_for(alike: Alike, under: str, groups: list[list[str]]) -> None:
    assert [paths(group) for group in alike.items(f"/api/duplicates?under={MEDIA.decode()}{under}")] == groups


@pytest.mark.parametrize("after", ["x", "1", "1-ab", "-1-" + "ab" * 32, "1-" + "zz" * 32, "9" * 30 + "-" + "ab" * 32])
def test_cursors_of_no_page_are_refused(alike: Alike, after: str) -> None:
    assert alike.ask(f"/api/duplicates?after={after}").json["code"] == "bad_cursor"


def test_a_folder_that_nobody_knows_is_refused(alike: Alike) -> None:
    assert alike.ask("/api/duplicates?under=/media/flims").json["code"] == "not_found"


def test_what_is_not_there_is_no_copy(alike: Alike) -> None:
    alike.catalog.miss(b"copies/", b"a.mkv")
    assert [paths(group) for group in alike.items("/api/duplicates")] == [B]


def test_the_index_is_read_in_its_own_order(alike: Alike) -> None:
    plan = [row[3] for row in alike.catalog.connection.execute(f"EXPLAIN QUERY PLAN {duplicates._STARTS}")]
    assert len(plan) == 1
    assert plan[0].startswith("SCAN media_files USING")
    assert plan[0].endswith("INDEX media_files_quick_hash")


def test_a_comparison_is_asked_for_by_size_and_quick_hash(alike: Alike) -> None:
    key = {"file_size": 9_000, "quick_hash": digest("b").hex()}
    answer = alike.direct.ask("POST", "/api/duplicates/verify", key)
    assert (answer.status, answer.json) == (200, {"given_up": False})
    assert alike.operations.calls == [("verify", (9_000, digest("b")))]
    alike.direct.gone = True
    assert alike.direct.ask("POST", "/api/duplicates/verify", key).json == {"given_up": True}
    assert alike.direct.long_calls.open == 0
    for body, code in (
        ({"file_size": 9_000}, "missing_field"),
        ({"quick_hash": "ab" * 32}, "missing_field"),
        ({"file_size": 9_000, "quick_hash": "ab"}, "bad_value"),
        ({"file_size": 9_000, "quick_hash": "z" * 64}, "bad_value"),
        ({"file_size": -1, "quick_hash": "ab" * 32}, "bad_value"),
    ):
        assert alike.direct.ask("POST", "/api/duplicates/verify", body).json["code"] == code
    alike.direct.long_calls.stop()
    assert alike.direct.ask("POST", "/api/duplicates/verify", key).json["code"] == "stopping"


def test_no_copy_on_a_disk_that_is_away_is_to_be_kept(alike: Alike) -> None:
    alike.video(b"copies/c.mkv", 8_000, content="first")
    alike.video(b"films/second.mkv", 8_000, content="first")
    disk = alike.filesystem_id(b"copies/")
    reach = Reach(frozenset([1]), frozenset([Away(MEDIA + b"copies/", disk), Away(MEDIA + b"films/", disk + 1)]))
    alike.operations.reach = lambda: reach  # type: ignore[method-assign]
    for group in alike.items("/api/duplicates"):
        offline = {short(each["path"]) for each in group["files"] if each["offline"]}
        assert offline == {name for name in paths(group) if name.startswith("copies/")}
        assert short(group["keep"]).startswith("films/")
    reach = Reach(frozenset(), frozenset())
    assert all(each["offline"] for group in alike.items("/api/duplicates") for each in group["files"])


class Disk:
    """Real files in a real catalog, all of one size and said to have one quick hash."""

    def __init__(self, parts: Parts, folder: Path) -> None:
        self.parts = parts
        self.folder = folder
        self.away: frozenset[Away] = frozenset()
        self.parts.configure(bytes(folder) + b"/")
        self.verifier = Verifier(reader=parts.database.reader, writer=parts.writer, reach=self.reach)

    def reach(self) -> Reach:
        return Reach(self.parts.online, self.away)

    def put(self, name: str, content: bytes) -> int:
        (self.folder / name).write_bytes(content)
        return self.know(name)

    def know(self, name: str) -> int:
        """Have the catalog see the file as it is now."""
        stamp = stamp_of((self.folder / name).stat())
        root = bytes(self.folder) + b"/"
        (file_id,) = self.parts.found(root, name.encode(), root=root, stamp=stamp)
        self.parts.writer.outcomes([Hashed(file_id, stamp, bytes(32), 10)])
        self.parts.flush()
        return file_id

    def verify(self, size: int = 10) -> dict[str, Any]:
        return self.verifier.verify((size, bytes(32)), is_given_up=lambda: False)

    def groups(self) -> list[tuple[list[str], bool]]:
        from mediawatchd.control.duplicates import page  # noqa: PLC0415

        found, _ = page(self.parts.database.reader, self.reach(), under=None, limit=10, after=None)
        return [([os.path.basename(path) for path in group["paths"]], group["verified"]) for group in found]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    (tmp_path / "media").mkdir()
    with catalog(tmp_path) as parts:
        yield Disk(parts, tmp_path / "media")


def names(fields: list[str]) -> list[str]:
    return [os.path.basename(path) for path in fields]


def test_a_group_of_which_one_differs_is_split(disk: Disk) -> None:
    for name, content in (("a", b"0123456789"), ("b", b"0123456789"), ("c", b"0123456_89"), ("d", b"01234567_9")):
        disk.put(name, content)
    os.link(disk.folder / "d", disk.folder / "d link")
    disk.know("d")
    disk.know("d link")
    assert disk.groups() == [(["a", "b", "c", "d", "d link"], False)]
    answer = disk.verify()
    assert [names(group["paths"]) for group in answer["groups"]] == [["a", "b"]]
    assert answer["groups"][0]["verified"] is True
    assert (names(answer["different"]), answer["uncompared"]) == (["c"], [])
    assert disk.groups() == [(["a", "b"], True)]


def test_a_comparison_holds_until_a_stamp_moves(disk: Disk) -> None:
    for name in "ab":
        disk.put(name, b"0123456789")
    disk.verify()
    assert disk.groups() == [(["a", "b"], True)]
    disk.put("c", b"0123456789")
    assert disk.groups() == [(["a", "b", "c"], False)]
    disk.verify()
    assert disk.groups() == [(["a", "b", "c"], True)]
    os.utime(disk.folder / "b", (1, 1))
    disk.know("b")
    assert disk.groups() == [(["a", "b", "c"], False)]


def test_a_copy_on_a_disk_that_is_away_is_not_read(disk: Disk) -> None:
    for name in "abc":
        disk.put(name, b"0123456789")
    with disk.parts.database.reader() as connection:
        (filesystem_id,) = connection.execute(
            "SELECT filesystem_id FROM directories WHERE path = ?", (bytes(disk.folder) + b"/",)
        ).fetchone()
    disk.away = frozenset({Away(bytes(disk.folder) + b"/a", filesystem_id)})
    answer = disk.verify()
    assert [each["reason"] for each in answer["uncompared"]] == ["Its disk is not there."]
    assert names([answer["groups"][0]["keep"]]) == ["b"]


def test_what_cannot_be_compared_is_named_and_what_was_known_of_it_goes(disk: Disk) -> None:
    for name in "abc":
        disk.put(name, b"0123456789")
    disk.verify()
    (disk.folder / "b").write_bytes(b"another one")
    answer = disk.verify()
    assert [(os.path.basename(each["path"]), each["reason"]) for each in answer["uncompared"]] == [("b", "It changed.")]
    assert disk.groups() == [(["a", "b", "c"], False)]
    disk.parts.online = frozenset()
    answer = disk.verify()
    assert {each["reason"] for each in answer["uncompared"]} == {"Its disk is not there."}


def test_one_path_of_each_file_is_read(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.put("a", b"0123456789")
    os.link(disk.folder / "a", disk.folder / "a link")
    disk.know("a")
    disk.know("a link")
    disk.put("b", b"0123456789")
    opened: list[bytes] = []
    open_unchanged = comparison.open_unchanged
    monkeypatch.setattr(comparison, "open_unchanged", lambda task: opened.append(task.path) or open_unchanged(task))
    disk.verify()
    assert names([os.fsdecode(path) for path in opened]) == ["a", "b"]
    assert disk.groups() == [(["a", "a link", "b"], True)]


def test_nobody_waits_for_a_disk_that_hangs(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        disk.put(name, b"0123456789")
    hanging, go_on = threading.Semaphore(0), threading.Event()

    def hang(task: Any) -> int:
        hanging.release()
        go_on.wait(WITHIN)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(comparison, "open_unchanged", hang)
    for _ in range(MOST):
        with pytest.raises(Refused) as left:
            disk.verifier.verify((10, bytes(32)), is_given_up=lambda: hanging.acquire(blocking=False))
        assert left.value.code == "client_gone"
    with pytest.raises(Refused) as full:
        disk.verify()
    assert (full.value.status, full.value.code) == (503, "too_many_streams")
    go_on.set()


def test_a_key_that_nothing_shares_is_refused(disk: Disk) -> None:
    disk.put("a", b"0123456789")
    for size in (10, 11):
        with pytest.raises(Refused) as refused:
            disk.verify(size)
        assert refused.value.status == 404


def test_a_mistake_while_comparing_is_told_to_who_asked(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        disk.put(name, b"0123456789")
    monkeypatch.setattr(comparison.Comparison, "_alike", lambda _self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        disk.verify()
