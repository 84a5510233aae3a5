"""What reaches a terminal is safe for it, and aligned as it shows it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from mediawatchd.cli import joblines
from mediawatchd.cli.screen import Screen, columns, json_text
from mediawatchd.cli.tables import Cell, Column, Table


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def screen(encoding: str = "utf-8", *, terminal: bool = False, **environment: str) -> Screen:
    kind = Terminal if terminal else io.TextIOWrapper
    return Screen(kind(io.BytesIO(), encoding=encoding), environment=environment)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"plain.mkv", "plain.mkv"),
        ("音楽\u3000été.mkv".encode(), "音楽\u3000été.mkv"),
        (b"\x1b[31mred", r"\x1b[31mred"),
        (b"a\nb\tc\rd\x00\x7f", r"a\nb\tc\rd\x00\x7f"),
        ("\u009b31m".encode(), r"\x9b31m"),
        (b"bad \xff\xfe", r"bad \xff\xfe"),
        ("\u202egnp.exe".encode(), r"\u202egnp.exe"),
        ("zero\ufeff\u2028".encode(), r"zero\ufeff\u2028"),
        ("👩‍👩‍👧".encode(), "👩‍👩‍👧"),
        (None, "-"),
    ],
)
def test_unsafe_letters_are_escaped(text: bytes | None, shown: str) -> None:
    assert screen().shown(text) == shown


def test_letters_that_a_stream_lacks_are_escaped_before_they_are_measured() -> None:
    assert screen("ascii").shown("音") == r"\u97f3"
    assert screen("latin-1").shown("é音") == "é\\u97f3"


@pytest.mark.parametrize(
    ("text", "width"),
    [("abc", 3), ("音楽", 4), ("e\u0301te\u0301", 3), ("ﾊﾝｶｸ", 4), ("한국", 4), ("가", 2), ("\u200d", 0)],
)
def test_columns(text: str, width: int) -> None:
    assert columns(text) == width


@pytest.mark.parametrize(
    ("text", "width", "end"),
    [
        ("/srv/a.mkv", 10, "/srv/a.mkv"),
        ("/srv/films/a.mkv", 10, "…lms/a.mkv"),
        ("/音楽音楽", 6, "…楽音楽"[:1] + "音楽"),
        ("xxxxe\u0301", 2, "…e\u0301"),
        ("xxxxye\u0301", 1, "…"),
    ],
)
def test_the_end_of_a_path_is_kept(text: str, width: int, end: str) -> None:
    assert screen().end_of(text, width) == end
    assert columns(end) <= width


def test_progress_takes_one_line_of_a_terminal() -> None:
    job: dict[str, Any] = {
        "id": 1,
        "kind": "scan",
        "state": "running",
        "processed": 1,
        "current_file": "/srv/" + "音" * 100 + ".mkv",
    }
    line = joblines.progress(job, screen(terminal=True, COLUMNS="60"))
    assert columns(line) in {59, 60}
    assert line.endswith("音.mkv")
    assert joblines.progress(job, screen()).endswith(job["current_file"])


def test_colours_only_on_a_terminal_that_has_them() -> None:
    assert screen(terminal=True, TERM="xterm").painted("x", "red") == "\x1b[31mx\x1b[0m"
    assert screen(terminal=True, TERM="xterm", NO_COLOR="1").painted("x", "red") == "x"
    assert screen(terminal=True, TERM="dumb").painted("x", "red") == "x"
    assert screen(TERM="xterm").painted("x", "red") == "x"


def test_width_is_that_of_the_terminal_or_none() -> None:
    assert screen(COLUMNS="90").width is None
    assert screen(terminal=True, COLUMNS="90").width == 90
    assert screen(terminal=True, COLUMNS="3").width == 40
    assert screen(terminal=True).width == 80


def test_json_is_safe_for_a_terminal_and_still_the_same() -> None:
    value = {"path": "\x1b\x9b\u202e\ud800é\n", "list": ["音"]}
    for wanted in (screen(), screen("ascii")):
        for indented in (False, True):
            text = json_text(value, wanted, indented=indented)
            assert json.loads(text) == value
            assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert "é" in json_text(value, screen(), indented=False)
    assert "\n" not in json_text(value, screen(), indented=False)


def test_table_is_aligned_as_it_is_shown() -> None:
    table = Table(Column("NAME"), Column("SIZE", right=True), Column("PATH", cut=True), screen=screen())
    rows = table.lines([[Cell("音楽"), Cell("1"), Cell("/a")], [Cell("abc"), Cell("1,000"), Cell("/b")]])
    assert [table.heading(), *rows] == [
        "NAME   SIZE  PATH",
        "音楽      1  /a",
        "abc   1,000  /b",
    ]


def test_table_fits_the_terminal() -> None:
    table = Table(Column("PATH", cut=True), Column("SIZE", right=True), screen=screen(terminal=True, COLUMNS="40"))
    lines = table.lines([[Cell("/x" * 40), Cell("12 KiB")], [Cell("/音" * 40), Cell("1 B")]])
    assert [columns(line) for line in lines] == [40, 40]
    assert lines[0].startswith("…")


def test_table_of_a_pipe_is_never_cut() -> None:
    table = Table(Column("PATH", cut=True), screen=screen())
    assert table.lines([[Cell("/x" * 400)]]) == ["/x" * 400]


def test_later_pages_stay_below_the_same_heading() -> None:
    table = Table(Column("SIZE", right=True), Column("PATH", cut=True), screen=screen())
    table.lines([[Cell("1,000 B"), Cell("/a")]])
    assert table.lines([[Cell("1 B"), Cell("/b")]]) == ["    1 B  /b"]
