"""Copies found by the whole daemon: real videos, hashed by a phash job and matched as they arrive."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import av
import pytest

from mediawatchd.hashing.fingerprint import pack
from tests.asking import ctl
from tests.library import metric
from tests.media import make_video
from tests.running import Running, running
from tests.trees import size, tree
from tests.unit.similarity.videos import changed, edited, film, taken
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WITHIN = 60.0
FRAMES = {"seconds": 8.0, "size": (160, 90)}
SETTINGS = {"hashing": {"video_phash": False}}


class Films:
    """A daemon over one folder; `hash` has all its videos hashed and waits until they are matched."""

    def __init__(self, daemon: Running, root: Path) -> None:
        self.daemon = daemon
        self.root = root

    def hash(self) -> None:
        self.daemon.sync()
        job = self.daemon.post("/api/hash")["job"]
        self.daemon.get(f"/api/jobs/{job}/wait", {"timeout": WITHIN})
        self.settle()

    def settle(self) -> None:
        wait_until(lambda: not self.daemon.status()["catalog"]["pending_match"], within=WITHIN)

    def pairs(self, **fields: Any) -> dict[tuple[str, str], Any]:
        """By the names of a and b, in the order of the alphabet unless one is contained in the other."""
        found = {}
        for pair in self.daemon.get("/api/similar", {"limit": 1000, **fields})["items"]:
            names = tuple(os.path.basename(pair[side]) for side in "ab")
            found[names if pair["verdict"] == "contained" else tuple(sorted(names))] = pair
        return found


def remux(source: Path, target: Path) -> None:
    """The same packets in another container."""
    with av.open(source) as inside, av.open(target, "w") as outside:
        picture = inside.streams.video[0]
        stream = outside.add_stream_from_template(picture)
        for packet in inside.demux(picture):
            if packet.dts is not None:
                packet.stream = stream
                outside.mux(packet)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Films]:
    """One film in all its copies, and another film."""
    base = tmp_path_factory.mktemp("similar")
    root = base / "media"
    original = root / "original.mp4"
    make_video(original, **FRAMES)
    make_video(root / "unrelated.mp4", content=2, **FRAMES)
    with running(base / "daemon", root, settings=SETTINGS) as daemon:
        films = Films(daemon, root)
        films.hash()
        assert films.pairs() == {}
        (base / "new").mkdir()
        remux(original, base / "new" / "remux.mkv")
        make_video(base / "new" / "low.webm", **(FRAMES | {"size": (64, 36)}))
        make_video(base / "new" / "mirrored.avi", mirrored=True, **FRAMES)
        make_video(base / "new" / "middle.mp4", **(FRAMES | {"seconds": 4.0, "start_seconds": 2.0}))
        for new in (base / "new").iterdir():
            new.rename(root / new.name)
        films.hash()
        yield films


WHOLE = ("low.webm", "mirrored.avi", "original.mp4", "remux.mkv")


def test_every_copy_is_found_and_nothing_else(films: Films) -> None:
    pairs = films.pairs()
    copies = {(one, other) for number, one in enumerate(WHOLE) for other in WHOLE[number + 1 :]}
    assert set(pairs) == copies | {("middle.mp4", whole) for whole in WHOLE}
    assert {pairs[names]["verdict"] for names in copies} == {"duplicate"}
    assert {pair["mirrored"] for names, pair in pairs.items() if "mirrored.avi" in names} == {True}
    assert {pair["mirrored"] for names, pair in pairs.items() if "mirrored.avi" not in names} == {False}


def test_what_is_contained_says_where(films: Films) -> None:
    pair = films.pairs(verdict="contained")["middle.mp4", "original.mp4"]
    assert pair["offset_seconds"] == pytest.approx(2.0, abs=0.5)
    assert os.path.basename(pair["keep"]) == "original.mp4"


def test_copies_that_arrive_later_are_matched_without_building_anything_anew(films: Films) -> None:
    assert films.daemon.log.read_text().count("Fingerprints can be searched") == 1


def test_one_group_stands_around_the_best_copy(films: Films) -> None:
    (group,) = films.daemon.get("/api/similar", {"groups": "true"})["items"]
    assert {os.path.basename(path) for path in group["paths"]} == set(WHOLE)
    sizes = {name: (films.root / name).stat().st_size for name in WHOLE}
    assert group["reclaimable_bytes"] == sum(sizes.values()) - sizes[os.path.basename(group["keep"])]


def test_the_command_shows_what_scripts_and_people_need(films: Films) -> None:
    lines = ctl(films.daemon, "--json", "similar", str(films.root / "middle.mp4")).lines
    assert {os.path.basename(pair["a"]) for pair in lines} == {"middle.mp4"}
    (group,) = ctl(films.daemon, "--json", "similar", "--groups").lines
    assert group["kind"] == "similar"
    shown = ctl(films.daemon, "similar", "--threshold", "60")
    assert shown.status == 0
    assert str(films.root / "mirrored.avi") in shown.out
    assert ctl(films.daemon, "similar", str(films.root / "nothing")).status == 4


def test_a_verdict_survives_a_restart_and_a_new_hash(films: Films) -> None:
    daemon, names = films.daemon, ("mirrored.avi", "original.mp4")
    mirrored, original = (str(films.root / name) for name in names)
    assert ctl(daemon, "dismiss", mirrored, original).status == 0
    assert names not in films.pairs()
    daemon.stop()
    daemon.start()
    job = daemon.post("/api/hash", {"scan_dirs": [mirrored], "force": True})["job"]
    daemon.get(f"/api/jobs/{job}/wait", {"timeout": WITHIN})
    films.settle()
    assert names not in films.pairs()
    assert ("mirrored.avi", "remux.mkv") in films.pairs()
    assert list(films.pairs(dismissed="true")) == [names]
    assert ctl(daemon, "undismiss", original, mirrored).status == 0
    assert names in films.pairs()
    assert films.pairs(dismissed="true") == {}


def test_pairs_of_a_file_that_is_gone_come_back_with_it(films: Films) -> None:
    before = films.pairs()
    aside = films.root.parent / "aside.mkv"
    (films.root / "remux.mkv").rename(aside)
    films.daemon.sync()
    assert set(films.pairs()) == {names for names in before if "remux.mkv" not in names}
    aside.rename(films.root / "remux.mkv")
    films.daemon.sync()
    assert films.pairs().keys() == before.keys()


def test_exact_copies_are_compared_and_a_file_that_only_seems_the_same_is_told_apart(films: Films) -> None:
    """In a file of more than 128 KiB the quick hash does not see the middle."""
    folder = films.root / "exact"
    folder.mkdir()
    content = bytearray(os.urandom(300_000))
    for name in ("a.mkv", "b.mkv"):
        (folder / name).write_bytes(content)
    os.link(folder / "a.mkv", folder / "link of a.mkv")
    content[150_000] ^= 1
    (folder / "other.mkv").write_bytes(content)
    films.daemon.sync()
    (group,) = ctl(films.daemon, "--json", "duplicates", str(folder)).lines
    assert (len(group["paths"]), group["verified"], group["reclaimable_bytes"]) == (4, False, 600_000)
    done = ctl(films.daemon, "--json", "duplicates", "--verify", str(folder))
    (group,) = done.lines
    assert {os.path.basename(path) for path in group["paths"]} == {"a.mkv", "b.mkv", "link of a.mkv"}
    assert (group["verified"], group["reclaimable_bytes"]) == (True, 300_000)
    assert [[os.path.basename(path) for path in links] for links in group["hard_links"]] == [["a.mkv", "link of a.mkv"]]
    assert "differs from the others" in done.err
    assert "other.mkv" in done.err
    assert ctl(films.daemon, "duplicates", str(folder)).out.count("compared byte for byte") == 2
    assert (folder / "other.mkv").read_bytes() == content
    wait_until(lambda: metric(films.daemon, 'mediawatchd_duplicate_groups{kind="exact"}') == 1, within=WITHIN, poll=0.2)
    assert metric(films.daemon, 'mediawatchd_duplicate_bytes{kind="exact"}') == 300_000
    assert metric(films.daemon, 'mediawatchd_duplicate_groups{kind="similar"}') == 1
    shutil.rmtree(folder)


def test_a_kill_in_the_middle_of_matching_loses_no_pair_and_makes_none_twice(tmp_path: Path) -> None:
    titles, copies = 90, 3
    tree({f"{title}-{copy}.mkv": size(10 + title) for title in range(titles) for copy in range(copies)}).under(
        tmp_path / "media"
    )
    with running(tmp_path / "daemon", tmp_path / "media") as daemon:
        daemon.sync()
        daemon.stop()
        with closing(sqlite3.connect(daemon.database)) as connection, connection:
            for file_id, name in connection.execute("SELECT id, name FROM media_files").fetchall():
                title, copy = name.decode().removesuffix(".mkv").split("-")
                looks = edited(taken(film(title), 160), lambda hashed, copy=copy: changed(hashed, 10, hashed, copy))
                connection.execute(
                    "INSERT INTO fingerprints (file_id, hashed_at, fingerprint) VALUES (?, 0, ?)",
                    (file_id, pack(looks)),
                )
        with closing(sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)) as connection:

            def unmatched() -> int:
                return int(connection.execute("SELECT count(*) FROM fingerprints WHERE matched = 0").fetchone()[0])

            left = titles * copies
            for _ in range(2):
                daemon.start(wait=False)
                wait_until(lambda: unmatched() < left, within=WITHIN, poll=0.001)  # noqa: B023 - called at once
                daemon.kill()
                left = unmatched()
            assert 0 < left < titles * copies
            daemon.start()
            wait_until(lambda: unmatched() == 0, within=WITHIN)
            names = {file_id: name.decode() for file_id, name in connection.execute("SELECT id, name FROM media_files")}
            pairs = connection.execute("SELECT a_id, b_id FROM similar_pairs").fetchall()
        found = {tuple(sorted((names[a], names[b]))) for a, b in pairs}
        assert len(found) == len(pairs)
        assert found == {
            (f"{title}-{one}.mkv", f"{title}-{other}.mkv")
            for title in range(titles)
            for one, other in ((0, 1), (0, 2), (1, 2))
        }
