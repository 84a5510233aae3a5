"""What a person sees who runs the daemon by hand: what it watches, where to ask, and a line of progress.

On a terminal a thread of its own rewrites one line while something goes on, and sleeps between two looks while nothing
does. Otherwise there is only the log.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shlex
import shutil
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

from mediawatchd import __version__
from mediawatchd.cli import quantities
from mediawatchd.cli.screen import Screen, columns
from mediawatchd.control.client import default_sockets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mediawatchd.daemon.parts import Daemon

log = logging.getLogger(__name__)

BUSY_SECONDS = 0.5
IDLE_SECONDS = 1.0
_CLEAR = "\r\x1b[K"


class Foreground:
    """The lock guards the terminal: log lines and the line of progress take turns."""

    def __init__(self, *, stream: TextIO, environment: Mapping[str, str]) -> None:
        self._stream = stream
        self._environment = environment
        self._screen = Screen(stream, environment=environment)
        self._lock = threading.Lock()
        # Guarded by _lock:
        self._line = ""
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.log_stream: TextIO = _Above(self) if self._screen.can_redraw else stream

    def start(self, daemon: Daemon) -> None:
        """Say what the daemon does, and begin to show how far it is."""
        # Terminals of a desktop that systemd started have that variable too.
        if "JOURNAL_STREAM" in self._environment and not self._screen.is_terminal:
            return
        for line in _introduction(daemon, self._screen):
            self.write(line + "\n")
        if self._screen.can_redraw:
            self._thread = threading.Thread(target=self._run, args=(daemon,), name="progress", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(1)
        self._draw("")

    def write(self, text: str) -> None:
        """Write whole lines above the line of progress."""
        with self._lock:
            self._put_locked((_CLEAR if self._line else "") + text + self._line)

    def _draw(self, line: str) -> None:
        with self._lock:
            if line != self._line:
                self._put_locked(_CLEAR + line)
                self._line = line

    def _put_locked(self, text: str) -> None:
        # A terminal that was closed, a pipe whose reader left: nobody looks any more, and the daemon goes on.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()

    def _run(self, daemon: Daemon) -> None:
        told = ""
        pause = 0.0
        while not self._stopping.wait(pause):
            pause = IDLE_SECONDS
            try:
                status = daemon.front.operations.status()
            except Exception as error:  # noqa: BLE001 - a line of progress is no reason to end the daemon
                log.debug("There is no progress to show error=%s", error)
                continue
            busy = status["state"] != "idle" or status["settling"] > 0
            summary = "" if busy else _summary(status)
            self._draw(_progress(status, daemon.current_file(), self._screen) if busy else "")
            if not busy and summary != told:
                self.write(summary + "\n")
                told = summary
            pause = BUSY_SECONDS if busy else IDLE_SECONDS


class _Above(io.StringIO):
    """A stream for the log that keeps the line of progress below it."""

    def __init__(self, foreground: Foreground) -> None:
        super().__init__()
        self._foreground = foreground

    def write(self, text: str) -> int:
        self._foreground.write(text)
        return len(text)


def _introduction(daemon: Daemon, screen: Screen) -> list[str]:
    config = daemon.config

    def bold(text: str) -> str:
        return screen.painted(text, "bold")

    lines = [f"{bold('mediawatchd ' + __version__)} keeps a catalog of"]
    lines += [f"  {screen.shown(path.rstrip(b'/') or b'/')}" for path in config.scan_dirs]
    lines.append(f"{bold('Catalog')}  {screen.shown(config.db_path)}")
    lines.append(f"{bold('Ask')}      {_asking(config.control.socket, screen)} status")
    for address in daemon.front.server.addresses:
        if isinstance(address, tuple):
            host = f"[{address[0]}]" if ":" in address[0] else address[0]
            lines.append(f"{bold('Metrics')}  http://{host}:{address[1]}/metrics")
    lines.append("It only ever reads your media. Ctrl-C ends it; it goes on where it was at the next start.")
    return lines


def _asking(socket: bytes, screen: Screen) -> str:
    """The command that asks this daemon, as it can be typed here."""
    command = "mediawatchctl"
    if shutil.which(command) is None:
        command = os.path.join(os.path.dirname(sys.executable), command)
    if os.fsdecode(socket) in default_sockets(os.environ):
        return command
    return f"{command} --socket {shlex.quote(screen.shown(socket))}"


def _progress(status: Mapping[str, Any], current: bytes | None, screen: Screen) -> str:
    catalog = status["catalog"]
    state = "settling" if status["state"] == "idle" else status["state"]
    parts = [state, quantities.counted(catalog["files"], "file"), quantities.size(catalog["bytes"])]
    if catalog["pending_quick_hash"]:
        parts.append(f"{quantities.count(catalog['pending_quick_hash'])} to hash")
    if catalog["pending_probe"]:
        parts.append(f"{quantities.count(catalog['pending_probe'])} to probe")
    if status["settling"]:
        parts.append(f"{quantities.count(status['settling'])} settling")
    if catalog["problems"]:
        parts.append(quantities.counted(catalog["problems"], "problem"))
    separator = " \u00b7 " if screen.is_utf8 else " - "
    width = (screen.width or 80) - 1
    line = separator.join(parts)
    while columns(line) > width and len(parts) > 1:  # a line that wraps cannot be rewritten
        parts.pop()
        line = separator.join(parts)
    room = width - columns(line) - len(separator)
    name = screen.shown(os.path.basename(current)) if current else ""
    return f"{line}{separator}{name}" if name and columns(name) <= room else line


def _summary(status: Mapping[str, Any]) -> str:
    catalog = status["catalog"]
    text = f"Up to date: {quantities.counted(catalog['files'], 'file')}, {quantities.size(catalog['bytes'])}"
    if catalog["problems"]:
        text += f", {quantities.counted(catalog['problems'], 'problem')} (mediawatchctl files --problem)"
    if catalog["missing"]:
        text += f", {quantities.count(catalog['missing'])} missing"
    return text + ". Waiting for changes."
