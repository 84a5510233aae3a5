"""What a person sees who runs the daemon by hand."""

from __future__ import annotations

import io
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from mediawatchd.cli import foreground
from mediawatchd.cli.foreground import Foreground
from mediawatchd.cli.screen import columns
from tests.wait import wait_until

WITHIN = 20.0
CLEAR = "\r\x1b[K"
IDLE = {
    "state": "idle", "settling": 0,
    "catalog": {
        "files": 3, "bytes": 4 << 20, "problems": 0, "missing": 0, "pending_quick_hash": 0, "pending_probe": 0,
    },
}  # fmt: skip


class Terminal(io.StringIO):
    """A stream that says it is a terminal, and may be closed by its other end."""

    encoding = "utf-8"
    is_gone = False

    def __init__(self, *, terminal: bool = True) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        if self.is_gone:
            raise OSError(5, "Input/output error")
        return super().write(text)


class MadeUpDaemon:
    def __init__(self) -> None:
        self.config = SimpleNamespace(
            scan_dirs=(b"/srv/films/", "/srv/音楽/".encode(), b"/srv/\xff/"),
            db_path=b"/var/lib/catalog.db",
            control=SimpleNamespace(socket=b"/tmp/my socket"),
        )
        self.front = SimpleNamespace(
            server=SimpleNamespace(addresses=[b"/tmp/my socket", ("127.0.0.1", 8080), ("::1", 9090)]), operations=self
        )
        self.answer: dict[str, Any] | Exception = IDLE
        self.asked = 0

    def status(self) -> dict[str, Any]:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def current_file(self) -> bytes | None:
        return b"/srv/films/a film.mkv"


@pytest.fixture
def daemon() -> MadeUpDaemon:
    return MadeUpDaemon()


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreground, "BUSY_SECONDS", 0.001)
    monkeypatch.setattr(foreground, "IDLE_SECONDS", 0.001)


def shown(stream: Terminal, daemon: MadeUpDaemon, **environment: str) -> Foreground:
    made = Foreground(stream=stream, environment={"TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"} | environment)
    made.start(daemon)  # type: ignore[arg-type] - made up
    return made


def busy(**catalog: int) -> dict[str, Any]:
    return IDLE | {"state": "hashing", "catalog": IDLE["catalog"] | catalog}  # type: ignore[operator] - it is a dict


def test_the_introduction_says_what_is_watched_and_how_to_ask(daemon: MadeUpDaemon) -> None:
    stream = Terminal(terminal=False)
    shown(stream, daemon).stop()
    said = stream.getvalue()
    assert "  /srv/films\n  /srv/音楽\n  /srv/\\xff\n" in said
    assert "/var/lib/catalog.db" in said
    assert "--socket '/tmp/my socket' status" in said
    assert "http://127.0.0.1:8080/metrics" in said
    assert "http://[::1]:9090/metrics" in said
    assert "only ever reads" in said
    assert "\x1b" not in said


def test_without_a_terminal_there_is_no_line_of_progress(daemon: MadeUpDaemon) -> None:
    made = shown(Terminal(terminal=False), daemon)
    assert daemon.asked == 0
    assert isinstance(made.log_stream, Terminal)
    made.stop()


def test_under_systemd_it_says_nothing_unless_somebody_looks(daemon: MadeUpDaemon) -> None:
    journal, terminal = Terminal(terminal=False), Terminal()
    shown(journal, daemon, JOURNAL_STREAM="8:12345").stop()
    assert journal.getvalue() == ""
    shown(terminal, daemon, JOURNAL_STREAM="8:12345").stop()
    assert "/srv/films" in terminal.getvalue()


def test_a_dumb_terminal_is_not_redrawn(daemon: MadeUpDaemon) -> None:
    stream = Terminal()
    shown(stream, daemon, TERM="dumb").stop()
    assert daemon.asked == 0
    assert "\x1b" not in stream.getvalue()


def test_progress_is_one_line_and_gives_way_to_a_summary(daemon: MadeUpDaemon) -> None:
    stream = Terminal()
    daemon.answer = busy(pending_quick_hash=1200, pending_probe=7)
    made = shown(stream, daemon)
    line = "hashing · 3 files · 4.0 MiB · 1,200 to hash · 7 to probe · a film.mkv"
    wait_until(lambda: CLEAR + line in stream.getvalue(), within=WITHIN, shows=stream.getvalue)
    daemon.answer = IDLE
    summary = "Up to date: 3 files, 4.0 MiB. Waiting for changes.\n"
    wait_until(lambda: summary in stream.getvalue(), within=WITHIN, shows=stream.getvalue)
    asked = daemon.asked
    wait_until(lambda: daemon.asked > asked + 5, within=WITHIN)
    made.stop()
    assert stream.getvalue().count(line) == 1
    assert stream.getvalue().count(summary) == 1


def test_the_summary_names_what_is_not_well(daemon: MadeUpDaemon) -> None:
    stream = Terminal()
    daemon.answer = IDLE | {"catalog": IDLE["catalog"] | {"problems": 2, "missing": 5}}  # type: ignore[operator]
    made = shown(stream, daemon)
    wait_until(lambda: "2 problems (mediawatchctl files --problem), 5 missing" in stream.getvalue(), within=WITHIN)
    made.stop()


def test_log_lines_stand_above_the_line_of_progress(daemon: MadeUpDaemon) -> None:
    stream = Terminal()
    daemon.answer = busy()
    made = shown(stream, daemon)
    wait_until(lambda: "hashing" in stream.getvalue(), within=WITHIN)
    made.log_stream.write("WARNING something\n")
    written = stream.getvalue()
    assert f"{CLEAR}WARNING something\nhashing" in written
    made.stop()
    assert stream.getvalue().endswith(CLEAR)


def test_a_line_that_would_wrap_is_cut(daemon: MadeUpDaemon) -> None:
    # A line that wraps cannot be taken back: each look left one more on the screen.
    stream = Terminal()
    million = {"files": 1_234_567, "pending_quick_hash": 1_000_000, "pending_probe": 1_000_000, "problems": 12_345}
    daemon.answer = busy(**million) | {"settling": 12_345}
    made = shown(stream, daemon, COLUMNS="60")
    wait_until(lambda: "hashing" in stream.getvalue(), within=WITHIN)
    made.stop()
    line = stream.getvalue().rpartition("hashing")[2].partition("\r")[0]
    assert columns("hashing" + line) < 60


def test_a_status_that_cannot_be_had_ends_nothing(daemon: MadeUpDaemon) -> None:
    stream = Terminal()
    daemon.answer = RuntimeError("the catalog is closed")
    made = shown(stream, daemon)
    wait_until(lambda: daemon.asked > 3, within=WITHIN)
    daemon.answer = IDLE
    wait_until(lambda: "Up to date" in stream.getvalue(), within=WITHIN)
    made.stop()


def test_a_terminal_that_was_closed_ends_nothing(daemon: MadeUpDaemon) -> None:
    stream = Terminal()
    daemon.answer = busy()
    made = shown(stream, daemon)
    wait_until(lambda: "hashing" in stream.getvalue(), within=WITHIN)
    stream.is_gone = True
    logging.StreamHandler(made.log_stream).emit(logging.makeLogRecord({"msg": "nobody reads this"}))
    asked = daemon.asked
    daemon.answer = busy(files=4)
    wait_until(lambda: daemon.asked > asked + 3, within=WITHIN)
    made.stop()
