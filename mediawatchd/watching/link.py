"""The daemon's end of the socket to one watcher child: starts it, sends it commands, reads its messages, ends it.

The observer's thread starts, reads and ends it; any thread may send. A message is one line of JSON in which paths
are text of one character for each byte.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import mediawatchd

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND = (sys.executable, "-P", "-m", "mediawatchd.watching.child")
SEND_TIMEOUT_SECONDS = 5.0
END_TIMEOUT_SECONDS = 0.5
REAP_TIMEOUT_SECONDS = 5.0

Message = list[object]


class Link:
    """One child from start to end. The thread that opens it must live as long as the child: see `open`."""

    def __init__(self, *, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._rest = b""
        # Guards sending, so that two lines never mix.
        self._sending = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The child's process id once it was started."""
        return None if self._process is None else self._process.pid

    def open(self) -> None:
        """Starts the child; raises OSError. The kernel ends the child when the thread that called this ends."""
        ours, theirs = socket.socketpair()
        # A send that does not finish means that the child no longer obeys.
        ours.settimeout(SEND_TIMEOUT_SECONDS)
        package = os.path.dirname(os.path.dirname(os.path.abspath(mediawatchd.__file__)))
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        with theirs:
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    # The child must be of the same code as the daemon, wherever that was imported from.
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
                )
            except OSError:
                ours.close()
                raise
        self._socket = ours

    def send(self, *message: object) -> None:
        """Blocks for at most `SEND_TIMEOUT_SECONDS`; raises OSError when the child is gone or does not read."""
        if self._socket is None:
            raise BrokenPipeError("the watcher child was not started")
        with self._sending:
            self._socket.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def receive(self, timeout_seconds: float) -> list[Message] | None:
        """Blocks until a message is there or nothing came for that long (then none); None when the child has ended."""
        if self._socket is None:
            return None
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        lines: list[bytes] = []
        while not lines:
            if not poll.poll(max(0.0, timeout_seconds) * 1000):
                return []
            try:
                data = self._socket.recv(1 << 18)
            except OSError:
                return None
            if not data:
                return None
            *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def hang_up(self) -> None:
        """Asks the child to end, and wakes the thread that receives. Any thread may call it."""
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def close(self) -> str:
        """Ends the child whatever state it is in, and says how it ended; blocks for a few seconds at most."""
        if self._process is None:
            return "was not started"
        if self._socket is not None:
            self._socket.close()
        # By itself it ends at once, and then its status says why; SIGKILL also ends one that is stopped. One that
        # hangs in a dead disk ends when that answers.
        for timeout_seconds in (END_TIMEOUT_SECONDS, REAP_TIMEOUT_SECONDS):
            try:
                status = self._process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
            else:
                return f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"does not end: process {self._process.pid}"
