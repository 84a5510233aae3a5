"""What a decode process tells of a file before it is done with it.

pebble hands over one result for a piece of work, at its end, and nothing of a process that is killed. A message of a
SOCK_SEQPACKET socket is there whole or not at all, also when its sender dies, so all processes share one socket.
"""

from __future__ import annotations

import pickle
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mediawatchd.model import Outcome

_LONGEST_BYTES = 65_536  # the texts of a probe are cut to far less

_socket: socket.socket | None = None


class Receiver:
    """The daemon's end, owned by one thread; `sender` is the end that processes are given."""

    def __init__(self) -> None:
        self._socket, self.sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def received(self) -> list[Outcome]:
        """What was told since the last call."""
        outcomes: list[Outcome] = []
        while True:
            try:
                message = self._socket.recv(_LONGEST_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return outcomes
            # From who may send the daemon pickles anyway: pebble takes the results in this form.
            outcomes.append(pickle.loads(message))  # noqa: S301

    def close(self) -> None:
        self._socket.close()
        self.sender.close()


def tell_through(sender: socket.socket) -> None:
    """What this process tells goes there from now on."""
    global _socket  # noqa: PLW0603 - a process tells one daemon
    _socket = sender


def tell(outcome: Outcome) -> None:
    """Tell the daemon at once; it learns of this before it learns how the work ended."""
    assert _socket is not None
    try:
        _socket.send(pickle.dumps(outcome))
    except OSError as error:  # else it would be taken for one of the file's disk
        raise RuntimeError("the daemon could not be told") from error
