"""One line a record, whatever is in it."""

from __future__ import annotations

import io
import logging
import os
import re
import threading
from typing import TYPE_CHECKING

import pytest

from mediawatchd.telemetry import logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

ours = logging.getLogger("mediawatchd.watching.roots")
theirs = logging.getLogger("somelibrary")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root, product = logging.getLogger(), logging.getLogger("mediawatchd")
    before = root.handlers[:], root.level, product.level
    yield
    root.handlers[:], root.level, product.level = before
    logging.captureWarnings(False)
    for name in ("", "mediawatchd"):  # drops the cached decisions of all loggers
        logging.getLogger(name).setLevel(logging.getLogger(name).level)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[TextIO]:
    """A stream that goes to the journal, as far as $JOURNAL_STREAM can tell."""
    with (tmp_path / "journal").open("w+") as stream:
        yield stream


def journal_of(stream: TextIO) -> dict[str, str]:
    status = os.fstat(stream.fileno())
    return {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}


def written(stream: TextIO) -> list[str]:
    stream.seek(0)
    return stream.read().splitlines()


def test_a_terminal_gets_time_level_part_and_values() -> None:
    stream = io.StringIO()
    logs.set_up(environment={}, stream=stream)
    ours.warning("root went offline root=%s reason=%s files=%d", b"/srv/films/", "not mounted", 12)
    (line,) = written(stream)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d WARNING watching\.roots: "
        r'root went offline root=/srv/films/ reason="not mounted" files=12',
        line,
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"/a\n<0>forged root=/b", r'"/a\n<0>forged root=/b"'),
        (b"/caf\xe9.mkv", r"/caf\xe9.mkv"),
        ("/音楽.mkv".encode(), "/音楽.mkv"),
        ("a\x1b[31mb\u2028c", r"a\x1b[31mb\u2028c"),
        ("caf\udce9", r"caf\xe9"),
        (b'say "hi"', r'"say \"hi\""'),
        (b"", '""'),
        (7, "7"),
        (None, "None"),
        (OSError(5, "Input/output error"), '"OSError: [Errno 5] Input/output error"'),
    ],
)
def test_a_value_can_neither_break_nor_forge_a_line(value: object, shown: str, journal: TextIO) -> None:
    logs.set_up(environment=journal_of(journal), stream=journal)
    ours.info("file seen path=%s", value)
    journal.flush()
    journal.seek(0)
    assert journal.read() == f"<6>watching.roots: file seen path={shown}\n"


def test_the_journal_gets_the_priority_of_each_level(journal: TextIO) -> None:
    logs.set_up(environment=journal_of(journal), stream=journal, verbose=True)
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, 35, logging.ERROR, logging.CRITICAL):
        ours.log(level, "said")
    assert [line[:3] for line in written(journal)] == ["<7>", "<6>", "<4>", "<4>", "<3>", "<2>"]


def test_every_line_of_a_traceback_has_the_priority(journal: TextIO) -> None:
    logs.set_up(environment=journal_of(journal), stream=journal)
    ours.error("writer failed", exc_info=ValueError("first\n<0>second\x1b[2J"))
    lines = written(journal)
    assert lines[0] == "<3>watching.roots: writer failed"
    assert lines[1:] == ["<3>ValueError: first", r"<3><0>second\x1b[2J"]


def test_what_a_library_says_stays_on_its_line_and_unquoted() -> None:
    stream = io.StringIO()
    logs.set_up(environment={}, stream=stream)
    theirs.warning("%s said\n%s", "the library", {"a": 1})
    theirs.info("chatter")
    theirs.warning("%(a)s", {"a": "by name"})
    assert [line.split(" ", 2)[2] for line in written(stream)] == [
        r"WARNING somelibrary: the library said\n{'a': 1}",
        "WARNING somelibrary: by name",
    ]


def test_debugging_is_ours_alone_and_only_when_asked_for() -> None:
    stream = io.StringIO()
    logs.set_up(environment={}, stream=stream)
    ours.debug("quiet")
    logs.set_up(environment={}, stream=stream, verbose=True)
    ours.debug("loud")
    theirs.debug("quiet")
    (line,) = written(stream)
    assert line.endswith("DEBUG   watching.roots: loud")


def test_only_the_very_stream_of_the_journal_counts(journal: TextIO, tmp_path: Path) -> None:
    environment = journal_of(journal)
    assert logs.is_journal(environment, journal)
    with (tmp_path / "other").open("w") as other:
        assert not logs.is_journal(environment, other)
    assert not logs.is_journal({}, journal)
    assert not logs.is_journal({"JOURNAL_STREAM": "nonsense"}, journal)
    assert not logs.is_journal(environment, io.StringIO())
    assert not logs.is_journal(environment, other)  # closed


def test_messages_are_counted_by_level_also_from_several_threads() -> None:
    counter = logs.set_up(environment={}, stream=io.StringIO())
    assert counter.counts() == dict.fromkeys(("debug", "info", "warning", "error", "critical"), 0)
    ours.debug("not let through")
    ours.error("said")
    threads = [threading.Thread(target=lambda: [ours.info("said") for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert counter.counts() == {"debug": 0, "info": 2000, "warning": 0, "error": 1, "critical": 0}
    counter.counts()["info"] = 7
    assert counter.counts()["info"] == 2000
