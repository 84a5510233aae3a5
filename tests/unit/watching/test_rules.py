from __future__ import annotations

import os
import pickle
import random
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from mediawatchd.watching.rules import Rules

if TYPE_CHECKING:
    from pathlib import Path


class Extensions(NamedTuple):
    video: tuple[str, ...] = (".mp4", ".MKV", "m2ts")
    audio: tuple[str, ...] = (".mp3", ".flac")


def rules(*ignore: str) -> Rules:
    return Rules(extensions=Extensions(), ignore=ignore)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"film.mp4", "video"),
        (b"FILM.MP4", "video"),
        (b"film.mkv", "video"),
        (b"film.m2ts", "video"),
        (b"song.Flac", "audio"),
        (b"a.b.c.mp3", "audio"),
        (b"\xff\xfe\n.mp3", "audio"),
        (b"film.mp4.part", None),
        (b"film", None),
        (b"mp4", None),
        (b".mp4", None),
        (b"film.", None),
        (b"filmmp4", None),
        (b"film.mp", None),
        (b"", None),
    ],
)
def test_the_extension_says_what_a_file_is(name: bytes, expected: str | None) -> None:
    assert rules().media_type(name) == expected


@pytest.mark.parametrize(
    ("relative", "is_directory", "rule"),
    [
        (b"film.mkv.part", False, "*.part"),
        (b"a/b/film.mkv.partial", False, "*.partial"),
        (b"film.mkv.!qB", False, "*.!qB"),
        (b"film.mkv.!ut", False, "*.!ut"),
        (b"film.crdownload", False, "*.crdownload"),
        (b"film.mkv.aria2", False, "*.aria2"),
        (b"film.tmp", False, "*.tmp"),
        (b".tmp", False, "*.tmp"),
        (b"show.part/", True, "*.part"),
        (b"a/.film.mkv.Xa3bQ9", False, ".?*.[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]"),
        (b".a\nb.mkv.Xa3bQ9", False, ".?*.[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]"),
        (b".syncthing.film.mkv", False, ".syncthing.*"),
        (b"a/_UNPACK_film/", True, "_UNPACK_*/"),
        (b"a/_UNPACK_film", True, "_UNPACK_*/"),
        (b"\xff.part", False, "*.part"),
    ],
)
def test_names_of_unfinished_downloads_are_ignored(relative: bytes, is_directory: bool, rule: str) -> None:
    assert rules().which(relative, is_directory) == rule
    assert rules().ignored(relative, is_directory)
    # A user's own pattern that says nothing about it changes nothing.
    assert rules("/extras/").which(relative, is_directory) == rule


@pytest.mark.parametrize(
    ("relative", "is_directory"),
    [
        (b"", True),
        (b"part", False),
        (b"film.parts", False),
        (b"film.part.mkv", False),
        (b"a.part/film.mkv", False),
        (b"_UNPACK_film", False),
        (b"x_UNPACK_film/", True),
        (b".hidden.mkv", False),
        (b"film.mkv.Xa3bQ9", False),
        (b".film.mkv.Xa3bQ", False),
        (b".film.mkv.Xa3bQ9z", False),
        (b"..Xa3bQ9", False),
        (b".config.backup/", True),
        (b"syncthing.film.mkv", False),
    ],
)
def test_other_names_are_not_ignored(relative: bytes, is_directory: bool) -> None:
    assert not rules().ignored(relative, is_directory)
    assert not rules("/extras/").ignored(relative, is_directory)


def test_what_lies_below_an_ignored_directory_is_ignored_too() -> None:
    plain = rules("/extras/")
    assert not plain.ignored(b"_UNPACK_x/a/film.mkv", False)
    assert plain.ignored_below(b"_UNPACK_x/a/film.mkv")
    assert plain.which(b"_UNPACK_x/a/film.mkv", False) == "_UNPACK_*/"
    assert plain.which(b"extras/a/film.mkv", False) == "/extras/"
    assert not plain.ignored_below(b"films/extras/film.mkv")
    assert not plain.ignored_below(b"films/a/")
    assert plain.ignored_below(b"films/b.tmp/c/", is_directory=True)


def test_a_user_can_bring_back_what_is_ignored_by_default() -> None:
    mine = rules("!*.part", "!_UNPACK_*/", "old.*")
    assert not mine.ignored(b"film.part", False)
    assert not mine.ignored(b"_UNPACK_x/", True)
    assert mine.ignored(b"film.tmp", False)
    assert mine.ignored(b"old.part", False)


def test_a_directory_that_is_brought_back_does_not_bring_back_unfinished_files_in_it() -> None:
    only_films = rules("/*", "!/films/")
    assert only_films.which(b"shows/a.mkv", False) == "/*"
    assert not only_films.ignored_below(b"films/a.mkv")
    assert only_films.which(b"films/a.mkv.part", False) == "*.part"


def test_a_file_is_brought_back_from_a_directory_whose_content_is_ignored() -> None:
    mine = rules("extras/**", "!extras/keep.mkv")
    assert not mine.ignored(b"extras/", True)
    assert mine.ignored(b"extras/a.mkv", False)
    assert not mine.ignored_below(b"extras/keep.mkv")


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"\xed\xb2\x80", "音楽".encode(), b"\n"])
def test_patterns_match_names_that_are_no_text(name: bytes) -> None:
    mine = rules("*.nfo", "/skip/**/deep", "?.sub")
    assert mine.ignored(name + b".nfo", False)
    assert mine.ignored(b"x/" + name + b".nfo", False)
    assert mine.ignored(name + b"/x.nfo", False)
    assert mine.ignored(b"skip/" + name + b"/deep", False)
    assert not mine.ignored(name + b".nfo/x.mkv", False)


@pytest.mark.parametrize("pattern", ["!", "extras\\", "[z-a]"])
def test_a_pattern_that_makes_no_sense_is_named(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a pattern") as caught:
        rules("*.nfo", pattern)
    assert repr(pattern) in str(caught.value)


def test_comments_and_blank_patterns_do_nothing() -> None:
    assert rules("# *.mkv", "", "  ", "*.nfo  ").which(b"a.nfo", False) == "*.nfo  "
    assert not rules("# *.mkv", "", "  ").ignored(b"a.mkv", False)


def test_the_fingerprint_follows_the_rules() -> None:
    assert rules("a", "!b").fingerprint() == rules("a", "!b").fingerprint()
    others = [rules(), rules("a"), rules("!b", "a"), Rules(extensions=Extensions(video=(".mp4",)), ignore=("a", "!b"))]
    swapped = Rules(extensions=Extensions(*reversed(Extensions())), ignore=("a", "!b"))
    fingerprints = {one.fingerprint() for one in [*others, swapped, rules("a", "!b")]}
    assert len(fingerprints) == 6
    same = Extensions(video=("M2TS", ".mkv", ".Mp4"))
    assert Rules(extensions=same).fingerprint() == rules().fingerprint()


def test_rules_can_be_sent_to_another_process() -> None:
    mine = rules("/extras/", "!*.part")
    sent = pickle.loads(pickle.dumps(mine))
    assert sent.fingerprint() == mine.fingerprint()
    assert sent.which(b"extras/a.mkv", False) == "/extras/"
    assert sent.media_file(b"", b"a.mkv") == "video"


@pytest.mark.parametrize(
    ("directory", "name", "ignore", "expected"),
    [
        (b"", b"film.mkv", (), "video"),
        (b"a/", b"song.MP3", ("/b/", "*.nfo"), "audio"),
        (b"a/", b"poster.jpg", (), None),
        (b"", b".mkv", (), None),
        (b"a/", b".film.mkv", (), "video"),
        (b"a/", b".syncthing.film.mkv", (), None),
        (b"a/", b".syncthing.film.mkv", ("!.syncthing.*",), "video"),
        (b"a/", b"sample.mkv", ("sample.*",), None),
        (b"a/", b"sample.mkv", ("/a/*.mkv",), None),
        (b"b/", b"sample.mkv", ("/a/*.mkv",), "video"),
    ],
)
def test_a_walk_asks_once_for_each_file(
    directory: bytes, name: bytes, ignore: tuple[str, ...], expected: str | None
) -> None:
    assert rules(*ignore).media_file(directory, name) == expected


@pytest.mark.parametrize("extension", [".part", ".TMP", ".Xa3bQ9"])
def test_an_extension_like_that_of_unfinished_downloads_is_ignored_all_the_same(extension: str) -> None:
    extensions = Extensions(video=(extension,))
    name = b".film" + extension.lower().encode() if extension != ".Xa3bQ9" else b".film.Xa3bQ9"
    assert Rules(extensions=extensions).media_type(name) == "video"
    assert Rules(extensions=extensions).media_file(b"", name) is None
    assert Rules(extensions=extensions, ignore=("!.film.*",)).media_file(b"", name) == "video"


def test_a_pattern_for_directories_says_nothing_about_files() -> None:
    mine = rules("/extras/", "films/*/")
    assert mine.ignored(b"extras/", True)
    assert mine.ignored(b"extras", True)
    assert not mine.ignored(b"extras", False)
    assert mine.ignored(b"films/a", True)
    assert not mine.ignored(b"films/a.mkv", False)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_patterns_mean_what_they_mean_to_git(tmp_path: Path) -> None:
    pieces = ["a", "b", "films", "*.part", "*.mkv", "film*", "?", "**", "extras", "x.part", "_UNPACK_*", "[ab]", "*"]
    built_in = ["*.part", "*.partial", "*.tmp", ".syncthing.*", "_UNPACK_*/"]
    names = ["a", "b", "films", "extras", "x.part", "k.mkv", "film.mkv", "_UNPACK_q", ".syncthing.k.mkv", "z.tmp"]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    chance = random.Random(20)
    subprocess.run(["git", "init", "-q", "--template=", tmp_path / "git"], check=True, env=environment)
    (tmp_path / "git/.git/info").mkdir()
    for number in range(25):
        patterns = [
            chance.choice(["", "", "!"])
            + chance.choice(["", "", "/"])
            + "/".join(chance.choices(pieces, k=chance.randint(1, 3)))
            + chance.choice(["", "", "/"])
            for _ in range(chance.randint(1, 4))
        ]
        mine = rules(*patterns)
        top = tmp_path / "git" / f"{number}"
        files = {"/".join(chance.choices(names, k=chance.randint(1, 3))) for _ in range(25)}
        directories = {file[:end] for file in files for end, letter in enumerate(file) if letter == "/"}
        paths = sorted(files | directories)
        for directory in directories:
            (top / directory).mkdir(parents=True, exist_ok=True)
        for file in files - directories:
            (top / file).touch()
        (top / ".gitignore").write_text("\n".join([*built_in, *patterns]))
        said = subprocess.run(
            ["git", "-C", top, "check-ignore", "--no-index", "--stdin", "-z"],
            input="\0".join(paths).encode(),
            stdout=subprocess.PIPE,
            check=False,
            env=environment,
        )
        assert said.returncode in (0, 1)
        ignored = {path for path in paths if mine.ignored_below(path.encode(), path in directories)}
        assert ignored == set(said.stdout.decode().split("\0")[:-1]), patterns
