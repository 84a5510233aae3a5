"""Names that are no text, that mean something to a shell, to SQL or to a terminal, and paths that begin alike."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.library import Library, library

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_TEXT = b"caf\xe9 \xff.mkv"
TWO_LINES = b"two\nlines \x1b[31mred.mkv"
LONG = b"\xe6\x98\xa0" * 83 + b"12.mkv"
assert len(LONG) == 255


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with library(tmp_path_factory.mktemp("names")) as made:
        yield made


def test_names_that_are_no_text_are_stored_as_they_are_and_shown_escaped(lib: Library) -> None:
    folder = os.fsencode(lib.folder("strange"))
    for name in (NO_TEXT, TWO_LINES, LONG):
        os.makedirs(folder + b"/" + name)
        with open(folder + b"/" + name + b"/" + name, "wb") as file:
            file.write(name)
    lib.sync()
    for name in (NO_TEXT, TWO_LINES, LONG):
        path = folder + b"/" + name + b"/" + name
        encoded = base64.b64encode(path).decode()
        told = lib.daemon.get("/api/file", {"path_b64": encoded})
        assert told["path"] == path.decode(errors="replace")
        assert told["path_b64"] == (encoded if name == NO_TEXT else None)
        if name != NO_TEXT:
            assert lib.daemon.get("/api/file", {"path": path.decode()})["id"] == told["id"]
    answer = lib.daemon.get("/api/files", {"under": os.fsdecode(folder)})
    assert len(answer["items"]) == 3
    shown = ctl(lib, "files", "--under", os.fsdecode(folder)) + ctl(lib, "show", os.fsdecode(path))
    assert b"red.mkv" in shown
    assert b"\x1b[31m" not in shown
    assert b"two\nlines" not in shown
    # They move, change and go like others.
    os.rename(folder + b"/" + NO_TEXT, folder + b"/" + NO_TEXT + b"\xfe")
    os.unlink(folder + b"/" + TWO_LINES + b"/" + TWO_LINES)
    lib.sync()
    assert len(lib.daemon.get("/api/files", {"under": os.fsdecode(folder)})["items"]) == 2


def ctl(lib: Library, *arguments: str) -> bytes:
    command = [sys.executable, "-m", "mediawatchd.cli.ctl", "--socket", str(lib.daemon.socket), *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=30).stdout


def test_wildcards_in_the_names_of_folders_match_only_themselves(lib: Library) -> None:
    folder = lib.folder("wild")
    names = ["a_b", "aXb", "a%b", "aab", "a*b", "a?b", "a[a]b", "A_B"]
    for name in names:
        (folder / name).mkdir()
        (folder / name / f"{name}.mkv").write_bytes(name.encode())
    lib.sync()
    ids = lib.ids(folder)
    for name in names:
        items = lib.daemon.get("/api/files", {"under": str(folder / name)})["items"]
        assert [item["id"] for item in items] == [ids[f"{name}/{name}.mkv"]]
    job = lib.daemon.post("/api/scan", {"scan_dirs": [str(folder / "a_b"), str(folder / "a%b")]})["job"]
    ended = lib.daemon.get(f"/api/jobs/{job}/wait", {"timeout": 30})
    assert (ended["state"], ended["total"], ended["percent"]) == ("done", 2, 100.0)
    (folder / "a_b").rename(folder / "moved")
    (folder / "a%b" / "a%b.mkv").unlink()
    (folder / "a%b").rmdir()
    lib.sync()
    kept = {name: file_id for name, file_id in ids.items() if not name.startswith(("a_b/", "a%b/"))}
    assert lib.ids(folder) == {**kept, "moved/a_b.mkv": ids["a_b/a_b.mkv"]}


def test_a_folder_is_no_prefix_of_one_whose_name_begins_alike(lib: Library) -> None:
    """The roots themselves are `media` and `media2`."""
    here, there = lib.folder("tv"), lib.folder("tv2")
    other = lib.folder("tv", root=1)
    for folder in (here, there, other):
        (folder / "1.mkv").write_bytes(os.fsencode(folder))
    lib.sync()
    ids = lib.ids(there), lib.ids(other)
    assert len(lib.daemon.get("/api/files", {"under": str(here)})["items"]) == 1
    job = lib.daemon.post("/api/scan", {"scan_dirs": [str(lib.roots[1])]})["job"]
    ended = lib.daemon.get(f"/api/jobs/{job}/wait", {"timeout": 30})
    assert ended["total"] == len(lib.ids(lib.roots[1]))
    away = lib.outside("tv") / "tv"
    here.rename(away)
    lib.sync()
    assert lib.ids(here) == {}
    assert (lib.ids(there), lib.ids(other)) == ids
    away.rename(lib.roots[0] / "tv3")
    lib.sync()
    assert (lib.ids(there), lib.ids(other)) == ids


def test_names_of_unfinished_downloads_leave_no_rows(lib: Library) -> None:
    folder = lib.folder("unfinished")
    names = ["a.mkv.part", ".a.mkv.Xa3bQ9", ".syncthing.a.mkv", "_UNPACK_a/a.mkv", "a.mkv.!qB"]
    for name in names:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    lib.sync(walk=True)
    assert lib.ids(folder) == {}
    for number, name in enumerate(names):
        (folder / name).rename(folder / f"{number}.mkv")
    lib.sync()
    assert lib.ids(folder).keys() == {f"{number}.mkv" for number in range(len(names))}


def test_what_is_no_regular_file_is_never_opened(lib: Library) -> None:
    folder = lib.folder("special")
    os.mkfifo(folder / "fifo.mkv")
    (folder / "directory.mkv").mkdir()
    (folder / "link.mkv").symlink_to("/etc/passwd")
    (folder / "film.mkv").write_bytes(b"film")
    lib.sync(walk=True)
    (folder / "film.mkv").unlink()
    os.mkfifo(folder / "film.mkv")
    lib.sync()
    assert lib.ids(folder) == {}
