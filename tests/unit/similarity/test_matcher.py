"""The matcher over a real catalog: each pair is found once, whatever comes in between."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog import matching
from mediawatchd.hashing.fingerprint import pack
from mediawatchd.similarity import matcher as matcher_module
from mediawatchd.similarity.matcher import Matcher
from mediawatchd.similarity.search import Index
from tests.parts import MEDIA, WITHIN, Parts, catalog
from tests.unit.similarity.videos import changed, edited, film, fingerprint, taken
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mediawatchd.hashing.fingerprint import Fingerprint

FILM = taken(film("one"), 160)
OTHER = taken(film("two"), 160)


def reencoded(video: Fingerprint, bits: int = 20) -> Fingerprint:
    return edited(video, lambda hashed: changed(hashed, bits, hashed, bits))


class Library:
    """Videos are named by letters; `looks` gives one its fingerprint."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.paused = False
        self.ids = dict(zip("abcdef", parts.found(MEDIA, *(b"%c.mkv" % letter for letter in b"abcdef")), strict=True))

    @contextmanager
    def matcher(self, **options: float) -> Iterator[Matcher]:
        heart = self.parts.heartbeats.register("matcher")
        matcher = Matcher(
            database=self.parts.database,
            writer=self.parts.writer,
            heart=heart,
            is_paused=lambda: self.paused,
            **options,
        )
        self.parts.listeners.append(lambda _committed: matcher.wake())
        matcher.start()
        try:
            yield matcher
        finally:
            assert matcher.stop(WITHIN)
            self.parts.listeners.clear()
            self.parts.heartbeats.retire(heart)

    def looks(self, **videos: Fingerprint | bytes | None) -> None:
        for name, look in videos.items():
            blob = look if isinstance(look, bytes | None) else pack(look)
            self.parts.call(
                lambda tx, name=name, blob=blob: (
                    tx.connection.execute(
                        "INSERT OR REPLACE INTO fingerprints (file_id, hashed_at, fingerprint) VALUES (?, 0, ?)",
                        (self.ids[name], blob),
                    ).rowcount
                )
            )

    def pairs(self) -> set[str]:
        names = {video: name for name, video in self.ids.items()}
        with self.parts.database.reader() as connection:
            return {names[a] + names[b] for a, b in connection.execute("SELECT a_id, b_id FROM similar_pairs")}

    def is_matched(self) -> bool:
        with self.parts.database.reader() as connection:
            return not matching.count_unmatched(connection, matcher_module.SCORE_VERSION, 1)

    def settle(self) -> None:
        wait_until(self.is_matched, within=WITHIN)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with catalog(tmp_path) as parts:
        yield Library(parts)


def test_copies_are_paired_as_they_arrive(library: Library) -> None:
    with library.matcher() as matcher:
        library.looks(a=FILM, b=OTHER)
        library.settle()
        assert library.pairs() == set()
        library.looks(c=reencoded(FILM))
        library.settle()
        assert library.pairs() == {"ac"}
        library.looks(d=reencoded(OTHER), e=reencoded(FILM, 30))
        library.settle()
        assert library.pairs() == {"ac", "ae", "bd", "ce"}
        wait_until(lambda: matcher.statistics()._replace(bytes_held=0) == (5, 0, 5, 4), within=WITHIN)


def test_what_waits_since_before_the_start_is_paired(library: Library) -> None:
    library.looks(a=FILM, b=reencoded(FILM), c=OTHER, d=reencoded(FILM, 30))
    with library.matcher():
        library.settle()
    assert library.pairs() == {"ab", "ad", "bd"}


def test_what_was_matched_by_an_earlier_run_is_found_by_what_comes_later(library: Library) -> None:
    with library.matcher():
        library.looks(a=FILM, b=OTHER)
        library.settle()
    with library.matcher():
        library.looks(c=reencoded(FILM), d=reencoded(OTHER))
        library.settle()
    assert library.pairs() == {"ac", "bd"}


def test_one_more_video_builds_nothing_anew(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    build = Index.build
    monkeypatch.setattr(Index, "build", lambda rows: built.append(1) or build(rows))
    with library.matcher():
        library.looks(a=FILM)
        library.settle()
        library.looks(b=reencoded(FILM))
        library.settle()
        library.looks(c=reencoded(FILM, 30))
        library.settle()
    assert library.pairs() == {"ab", "ac", "bc"}
    assert built == [1]


def test_the_index_is_given_up_when_nothing_comes_and_made_again_when_something_does(library: Library) -> None:
    with library.matcher(idle_seconds=0.05) as matcher:
        library.looks(a=FILM)
        library.settle()
        wait_until(lambda: matcher.statistics().bytes_held == 0, within=WITHIN)
        library.looks(b=reencoded(FILM))
        library.settle()
        assert library.pairs() == {"ab"}
        wait_until(lambda: matcher.statistics().bytes_held == 0, within=WITHIN)


def test_nothing_is_loaded_for_a_catalog_without_fingerprints(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Matcher, "_build", lambda _self: pytest.fail("an index was built for nothing"))
    with library.matcher():
        library.looks(a=None)
        library.parts.flush()
    loaded = "import mediawatchd.daemon.parts, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


def test_a_video_that_is_hashed_again_gets_the_pairs_of_its_new_looks(library: Library) -> None:
    with library.matcher():
        library.looks(a=FILM, b=OTHER, c=FILM)
        library.settle()
        assert library.pairs() == {"ac"}
        library.looks(c=reencoded(OTHER))
        library.settle()
        assert library.pairs() == {"bc"}


def test_looks_that_change_while_they_are_compared_lose_no_pair(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = matching.store
    changes = iter([{"a": OTHER}, {"b": reencoded(OTHER)}])

    def stored_late(tx, version, found):  # type: ignore[no-untyped-def]
        for name, look in next(changes, {}).items():
            tx.connection.execute(
                "UPDATE fingerprints SET fingerprint = ?, matched = 0 WHERE file_id = ?",
                (pack(look), library.ids[name]),
            )
        return store(tx, version, found)

    monkeypatch.setattr(matching, "store", stored_late)
    library.looks(a=FILM, b=reencoded(FILM), c=OTHER)
    with library.matcher():
        library.settle()
    assert library.pairs() == {"ab", "ac", "bc"}


def test_a_video_that_is_gone_is_nobodys_copy(library: Library) -> None:
    with library.matcher():
        library.looks(a=FILM, b=OTHER)
        library.settle()
        library.parts.call(
            lambda tx: tx.connection.execute("DELETE FROM media_files WHERE id = ?", (library.ids["a"],)).rowcount
        )
        library.looks(c=reencoded(FILM))
        library.settle()
    assert library.pairs() == set()


def test_a_missing_video_gets_its_pairs_for_when_it_comes_back(library: Library) -> None:
    library.looks(a=FILM)
    library.parts.gone(library.ids["a"])
    with library.matcher():
        library.looks(b=reencoded(FILM))
        library.settle()
    assert library.pairs() == {"ab"}


def test_a_pause_holds_matching_up(library: Library) -> None:
    library.paused = True
    with library.matcher() as matcher:
        library.looks(a=FILM, b=FILM)
        library.parts.flush()
        library.paused = False
        assert not library.is_matched()
        matcher.wake()
        library.settle()
    assert library.pairs() == {"ab"}


def test_what_is_no_fingerprint_is_in_nobodys_way(library: Library, caplog: pytest.LogCaptureFixture) -> None:
    library.looks(a=b"another version", b=FILM, c=FILM, d=fingerprint([], duration=3))
    with library.matcher():
        library.settle()
    assert library.pairs() == {"bc"}
    assert f"could not be compared file={library.ids['a']}" in caplog.text


def test_a_frame_that_very_many_share_does_not_make_them_all_scored(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matcher_module, "MOST_SCORED", 2)
    logo = FILM.plain[:32]
    library.looks(**{name: fingerprint([logo, *(taken(film(name), 160).plain[:32],) * 15]) for name in "abcd"})
    library.looks(e=FILM)
    with library.matcher():
        library.settle()
        library.looks(f=reencoded(FILM))
        library.settle()
    assert library.pairs() == {"ef"}


def test_a_stop_does_not_wait_for_what_is_being_compared(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    began, go_on = threading.Event(), threading.Event()
    rows = matching.blobs

    def slow(connection, ids):  # type: ignore[no-untyped-def]
        found = rows(connection, ids)
        if found:
            began.set()
            go_on.wait(WITHIN)
        return found

    monkeypatch.setattr(matching, "blobs", slow)
    library.looks(a=FILM, b=FILM)
    with library.matcher() as matcher:
        assert began.wait(WITHIN)
        threading.Timer(0.05, go_on.set).start()
        assert matcher.stop(WITHIN)
    assert library.pairs() == set()
    monkeypatch.setattr(matching, "blobs", rows)
    with library.matcher():
        library.settle()
    assert library.pairs() == {"ab"}
