"""How the daemon logs: a fixed sentence, then `key=value`, one line a record.

Modules write `log.warning("root went offline root=%s reason=%s", root, reason)` and pass values as they are: paths
as bytes, exceptions as exceptions. Whatever a file name holds, it cannot break a line, forge one, or lose one.
"""

from __future__ import annotations

import logging
import os
import re
import time
from typing import TYPE_CHECKING, TextIO

from mediawatchd.paths import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

LEVELS = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""The levels, each with its priority for the journal, see sd-daemon(3)."""


def set_up(*, environment: Mapping[str, str], stream: TextIO, verbose: bool = False) -> Counter:
    """Send all records of this process to `stream`, instead of where they went before; `verbose` shows debugging.

    Returns the counter of all messages that were let through.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JournalFormatter() if is_journal(environment, stream) else PlainFormatter())
    counter = Counter()
    root = logging.getLogger()
    root.handlers[:] = [handler, counter]
    # Libraries are quieter than we are: watchdog has a debug line for each event.
    root.setLevel(logging.WARNING)
    logging.getLogger("mediawatchd").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.captureWarnings(True)
    return counter


def is_journal(environment: Mapping[str, str], stream: TextIO) -> bool:
    """Whether `stream` itself goes to the journal; a child whose output was redirected inherits the variable too."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # not a file, or closed
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


class Counter(logging.Handler):
    """Counts messages by level, for `log_messages_total`. The lock of every handler guards the counts."""

    def __init__(self) -> None:
        super().__init__()
        self._counts = dict.fromkeys(LEVELS, 0)

    def emit(self, record: logging.LogRecord) -> None:
        self._counts[_level(record)] += 1

    def counts(self) -> dict[str, int]:
        """How many messages there were, by lower-case level; every level is there from the start."""
        self.acquire()
        try:
            return dict(self._counts)
        finally:
            self.release()


class PlainFormatter(logging.Formatter):
    """For a person at a terminal: `2026-01-31 18:05:09 WARNING watching.roots: sentence key=value`, local time."""

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        return "\n".join([f"{when} {record.levelname:<7} {_line(record)}", *_traceback(record)])


class JournalFormatter(logging.Formatter):
    """For the journal, which has its own times: each line with its priority, as it takes lines for messages."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{LEVELS[_level(record)]}>"
        return "\n".join(prefix + line for line in (_line(record), *_traceback(record)))


def _level(record: logging.LogRecord) -> str:
    """The level at or below the record's; libraries may have levels of their own."""
    for name in ("critical", "error", "warning", "info"):
        if record.levelno >= getattr(logging, name.upper()):
            return name
    return "debug"


def _line(record: logging.LogRecord) -> str:
    ours = record.name.startswith("mediawatchd.")
    if ours and isinstance(record.args, tuple):
        message = record.msg % tuple(_shown(value) for value in record.args) if record.args else str(record.msg)
    else:
        message = record.getMessage()
    return f"{record.name.removeprefix('mediawatchd.')}: {printable(message)}"


def _shown(value: object) -> object:
    """A value behind `key=`: in quotes where it would otherwise run into the next one."""
    if isinstance(value, BaseException):
        value = f"{type(value).__name__}: {value}"
    if not isinstance(value, bytes | str):
        return value
    text = printable(value)
    if text and not re.search(r'[\s"=]', text):
        return text
    return '"' + text.replace('"', '\\"') + '"'


def _traceback(record: logging.LogRecord) -> list[str]:
    """The lines of a traceback, each made safe by itself."""
    if not record.exc_info:
        return []
    lines = logging.Formatter().formatException(record.exc_info).split("\n")
    return [printable(line) for line in lines]
