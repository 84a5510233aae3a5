"""What the watcher child has still to tell the daemon: a capped set of hints, and the newest of each other message.

Every thread of the child puts, one sending thread takes. When the daemon does not read, nothing here grows
without bound: too many names in a directory become "walk this directory", too many directories become
"events of this root were lost", and of every other message only the newest is kept. Putting never blocks.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mediawatchd.watching.unwatched import WatchState

NAMES_PER_DIRECTORY = 1_000
NAMES = 20_000
DIRECTORIES = 5_000
"""Per root. At these bounds the hints take some 10 MB."""

Message = list[object]


def text(path: bytes) -> str:
    """Bytes as JSON can carry them: every byte is one character."""
    return path.decode("latin-1")


class Outbox:
    """Shared by all threads of the child; roots are named by their key, a number of the daemon's choice."""

    def __init__(
        self,
        *,
        names_per_directory: int = NAMES_PER_DIRECTORY,
        names: int = NAMES,
        directories: int = DIRECTORIES,
    ) -> None:
        self._names_per_directory = names_per_directory
        self._names_limit = names
        self._directories_limit = directories
        # Guards everything below.
        self._filled = threading.Condition()
        self._hints: dict[int, dict[bytes, dict[bytes, bool] | bool]] = {}
        self._names = 0
        self._flooded: set[int] = set()
        self._lost: dict[tuple[int, str], None] = {}
        self._states: dict[int, Message] = {}
        self._watches: dict[int, int] = {}
        self._events: dict[str, int] = {}
        self._counted = False
        self._answers: list[Message] = []

    def name(self, key: int, directory: bytes, name: bytes, *, event: str, closed: bool) -> None:
        """Something happened to this name; `closed` when it was closed after writing or moved in.

        After a directory that moved in, a walk of it follows when it is watched.
        """
        with self._filled:
            self._count_locked(event)
            names = self._directory_locked(key, directory)
            if names is None or isinstance(names, bool):
                return
            if name not in names:
                if len(names) >= self._names_per_directory or self._names >= self._names_limit:
                    self._names -= len(names)
                    self._hints[key][directory] = False
                    return
                self._names += 1
            names[name] = closed

    def walk(self, key: int, directory: bytes, *, event: str | None, closed: bool) -> None:
        """This directory is new: everything in it is to be looked at."""
        with self._filled:
            if event is not None:
                self._count_locked(event)
            names = self._directory_locked(key, directory)
            if names is None:
                return
            if not isinstance(names, bool):
                self._names -= len(names)
            self._hints[key][directory] = closed

    def lost(self, key: int, reason: str) -> None:
        """Events of this root may have been lost."""
        with self._filled:
            self._lost[key, reason] = None
            self._filled.notify()

    def state(self, key: int, state: WatchState) -> None:
        """What of this root is watched; the newest state replaces an older one that was not sent yet."""
        directories = [text(path) for path in state.unwatched]
        with self._filled:
            self._states[key] = [
                "state",
                key,
                state.kind,
                directories,
                state.unwatched_count,
                state.message,
                state.hint,
            ]
            self._filled.notify()

    def watches(self, key: int, count: int) -> None:
        """How many watches this root has; travels with the next message."""
        with self._filled:
            self._watches[key] = count
            self._counted = True

    def answer(self, ticket: int, problem: str | None) -> None:
        """The answer to a ticket; everything that was put before is sent before."""
        with self._filled:
            self._answers.append(["answer", ticket, problem])
            self._filled.notify()

    def forget(self, key: int) -> None:
        """Drops what is still to be said of a root that is no longer watched."""
        with self._filled:
            for names in self._hints.pop(key, {}).values():
                self._names -= 0 if isinstance(names, bool) else len(names)
            self._lost = {entry: None for entry in self._lost if entry[0] != key}
            self._flooded.discard(key)
            self._states.pop(key, None)
            self._watches.pop(key, None)

    def wait_filled(self) -> None:
        """Blocks until there is something to send."""
        with self._filled:
            while not (self._hints or self._lost or self._states or self._answers):
                self._filled.wait()

    def take(self) -> list[Message]:
        """Everything there is to send, in the order in which it must arrive: answers come last."""
        with self._filled:
            hints, self._hints, self._names = self._hints, {}, 0
            lost, self._lost = self._lost, {}
            self._flooded = set()
            states, self._states = self._states, {}
            answers, self._answers = self._answers, []
            counts: list[Message] = []
            if self._counted:
                counts.append(["counts", dict(self._events), sum(self._watches.values())])
                self._counted = False
        messages: list[Message] = []
        for key, directories in hints.items():
            for directory, names in directories.items():
                if isinstance(names, bool):
                    messages.append(["walk", key, text(directory), names])
                else:
                    pairs = [[text(name), closed] for name, closed in names.items()]
                    messages.append(["names", key, text(directory), pairs])
        messages += states.values()
        messages += (["lost", key, reason] for key, reason in lost)
        return messages + counts + answers

    def _count_locked(self, event: str) -> None:
        self._events[event] = self._events.get(event, 0) + 1
        self._counted = True

    def _directory_locked(self, key: int, directory: bytes) -> dict[bytes, bool] | bool | None:
        """The hints of a directory; True or False when all of it is to be walked; None when the root is lost anyway."""
        if key in self._flooded:
            return None
        directories = self._hints.setdefault(key, {})
        names = directories.get(directory)
        if names is None:
            if len(directories) >= self._directories_limit:
                self._names -= sum(len(names) for names in directories.values() if not isinstance(names, bool))
                del self._hints[key]
                # Until this is sent, the reconcile that it asks for covers every further hint of the root.
                self._flooded.add(key)
                self._lost[key, "too_many_hints"] = None
                return None
            names = directories[directory] = {}
            self._filled.notify()
        return names
