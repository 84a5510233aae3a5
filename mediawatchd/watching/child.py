"""The watcher child: the process that watchdog runs in, so that the daemon can kill it and start it again.

Started by the observer as `python -m mediawatchd.watching.child`; standard input is a socket to the daemon on which
one line of JSON is one message, either way. It ends when the socket closes, when the daemon dies, and
when any of its threads ends with an error: a child that is half alive would be a silent loss.

The main thread obeys, one thread sends, and each root has two (see `watches`). Imports stay light: every megabyte
here counts once for each child.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress

from mediawatchd.watching.canary import Canary
from mediawatchd.watching.outbox import Outbox
from mediawatchd.watching.watches import RootWatch

_SOCKET = 0
_PR_SET_PDEATHSIG = 1
_LINGER_SECONDS = 0.01
"""How long hints are gathered before they are sent: a creation and its close become one."""

_STATUS_THREAD_DIED = 70


class Child:
    """Owned by the main thread: the roots that are watched, by the key that the daemon gave each."""

    def __init__(self, *, outbox: Outbox) -> None:
        self._outbox = outbox
        self._canary: Canary | None = None
        self._retry_seconds = 0.0
        self._roots: dict[int, RootWatch] = {}

    def obey(self, command: list[object]) -> None:
        """Carries out one command; returns at once."""
        match command:
            case ["begin", str(directory), str(name), float(retry_seconds)]:
                self._retry_seconds = retry_seconds
                self._canary = Canary(
                    directory=directory.encode("latin-1"), name=name.encode("latin-1"), answer=self._outbox.answer
                )
            case ["watch", int(key), str(path)] if self._canary is not None:
                self._roots[key] = RootWatch(
                    key=key,
                    path=path.encode("latin-1"),
                    canary=self._canary,
                    outbox=self._outbox,
                    retry_seconds=self._retry_seconds,
                )
                self._roots[key].start()
            case ["unwatch", int(key)] if key in self._roots:
                self._roots.pop(key).stop()
            case ["canary", int(ticket)] if self._canary is not None:
                self._canary.ask(ticket)
            case ["sync", int(ticket), list(keys)] if self._canary is not None:
                self._canary.ask(ticket, keys)
            case ["check"]:
                for root in self._roots.values():
                    root.check()
            case _:
                raise ValueError(f"unknown command: {command!r}")


def main() -> None:
    """Runs until the daemon closes the socket."""
    # Ctrl-C in a terminal reaches the whole process group; when to end is the daemon's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.excepthook = _end
    outbox = Outbox()
    threading.Thread(target=_send, args=(outbox,), name="sending", daemon=True).start()
    child = Child(outbox=outbox)
    # A daemon that goes without having read everything resets the connection: that is an end like any other.
    with os.fdopen(_SOCKET, "rb", closefd=False) as lines, suppress(ConnectionResetError):
        for line in lines:
            child.obey(json.loads(line))
    # Not sys.exit: threads may stand in calls that never return.
    os._exit(0)


def _send(outbox: Outbox) -> None:
    while True:
        outbox.wait_filled()
        time.sleep(_LINGER_SECONDS)
        for message in outbox.take():
            line = memoryview(json.dumps(message, separators=(",", ":")).encode() + b"\n")
            while line:
                line = line[os.write(_SOCKET, line) :]


def _end(failure: threading.ExceptHookArgs) -> None:
    if not isinstance(failure.exc_value, BrokenPipeError | ConnectionResetError):
        threading.__excepthook__(failure)
        sys.stderr.flush()
    os._exit(_STATUS_THREAD_DIED)


if __name__ == "__main__":
    main()
