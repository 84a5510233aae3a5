"""What every command of mediawatchctl is handed: the daemon to ask, and where data and messages go.

Data goes to standard output, as JSON or for people; messages, hints and progress go to standard error, so that
a pipe carries only data.
"""

from __future__ import annotations

import os

from mediawatchd.cli.screen import json_text

TYPE_CHECKING = False  # as typing has it; importing that costs 5 ms of the 80
if TYPE_CHECKING:
    from typing import Any

    from mediawatchd.cli.screen import Screen
    from mediawatchd.control.client import Client

    Json = dict[str, Any]


class Console:
    """One run of mediawatchctl."""

    def __init__(self, *, client: Client, out: Screen, err: Screen, as_json: bool, socket: str | None) -> None:
        self.client = client
        self.out = out
        self.err = err
        self.as_json = as_json
        self._socket = socket

    def document(self, value: Json) -> None:
        """Writes the one JSON document of a command; indented for a terminal, else on one line."""
        self.out.line(json_text(value, self.out, indented=self.out.is_terminal))

    def item(self, value: Json) -> None:
        """Writes one line of a list as NDJSON."""
        self.out.line(json_text(value, self.out, indented=False))

    def say(self, message: str) -> None:
        """A message for the person, beside the data."""
        self.out.flush()
        self.err.line(message)
        self.err.flush()

    def command(self, *words: str) -> str:
        """A command line that asks the same daemon, for hints; a socket of the environment needs no mention."""
        import shlex  # noqa: PLC0415 - only hints need it

        socket = ["--socket", self._socket] if self._socket else []
        return self.err.shown(shlex.join(["mediawatchctl", *socket, *words]))


def absolute(path: str) -> bytes:
    """A path of the command line, absolute, as the shell sees it.

    Symbolic links stay: a root may be one, and its files are known below its name. So the shell's own idea of
    where it stands ($PWD) goes before the kernel's, as long as both are the same folder.
    """
    raw = os.fsencode(path)
    if not raw.startswith(b"/"):
        raw = os.path.join(_working_directory(), raw)
    return os.path.normpath(b"/" + raw.lstrip(b"/"))  # POSIX lets two leading slashes stand


def _working_directory() -> bytes:
    here = os.environb.get(b"PWD", b"")
    try:
        if here.startswith(b"/") and os.path.samefile(here, b"."):
            return here
    except OSError:
        pass
    return os.getcwdb()
