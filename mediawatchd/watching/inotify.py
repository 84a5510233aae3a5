"""One inotify instance and the thread that reads it: watchdog's reader, with guards where it fails.

Only this module imports watchdog, and only the watcher child imports this module. Of watchdog 7.1.0 the reader
itself is used. Its bookkeeping above that is not, because it tears all watches down at an overflow and may loop
in that for ever, ends its thread with a KeyError when a directory's name is taken again, records a directory
that may not be read under the descriptor -1, holds moves back for half a second to pair them, and queues without bound.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from watchdog.observers.inotify_c import (
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    WatchDescriptor,
    inotify_add_watch,
    inotify_rm_watch,
)

if TYPE_CHECKING:
    from collections.abc import Callable

CREATE = int(InotifyConstants.IN_CREATE)
CLOSE_WRITE = int(InotifyConstants.IN_CLOSE_WRITE)
MOVED_FROM = int(InotifyConstants.IN_MOVED_FROM)
MOVED_TO = int(InotifyConstants.IN_MOVED_TO)
DELETE = int(InotifyConstants.IN_DELETE)
MOVE_SELF = int(InotifyConstants.IN_MOVE_SELF)
DONT_FOLLOW = int(InotifyConstants.IN_DONT_FOLLOW)
UNMOUNT = int(InotifyConstants.IN_UNMOUNT)
OVERFLOW = int(InotifyConstants.IN_Q_OVERFLOW)
IGNORED = int(InotifyConstants.IN_IGNORED)
ISDIR = int(InotifyConstants.IN_ISDIR)

CANARY_MASK = CLOSE_WRITE | int(InotifyConstants.IN_ONLYDIR)
# No event that reading causes, so that neither we nor a media player fill the queue. IN_EXCL_UNLINK: what is
# written to a deleted file concerns nobody.
ROOT_MASK = (
    (CREATE | CLOSE_WRITE | MOVED_FROM | MOVED_TO | DELETE | MOVE_SELF)
    | int(InotifyConstants.IN_ONLYDIR)
    | int(InotifyConstants.IN_EXCL_UNLINK)
)
DIRECTORY_MASK = (ROOT_MASK & ~MOVE_SELF) | DONT_FOLLOW


class Reader(InotifyFD):
    """Its own thread; it calls `on_event(wd, mask, name)` there, which must not block.

    Opening raises OSError: EMFILE when the user has no inotify instance left. An error in `on_event`
    ends the thread and so reaches `threading.excepthook`.
    """

    def __init__(self, *, on_event: Callable[[int, int, bytes], None]) -> None:
        super().__init__()
        self.name = "inotify-reader"
        self._on_event = on_event

    def handle_event(self, event: InotifyEvent) -> None:
        self._on_event(event.wd, event.mask, event.name)

    def add(self, path: bytes, mask: int) -> int:
        """Watches a directory and returns the descriptor, the same one when it was watched already; raises OSError.

        Blocks as long as the disk does. It takes no lock, so a disk that hangs never stops the reader.
        """
        wd = inotify_add_watch(self._inotify_fd, path, mask)
        if wd == -1:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        return wd

    def remove(self, wd: int) -> None:
        """Ends a watch; one that the kernel has ended already is no error."""
        inotify_rm_watch(self._inotify_fd, WatchDescriptor(wd))

    def end(self) -> None:
        """Closes the instance and waits for the thread, which never waits for a disk of a root."""
        self.stop()
        self.join()

    def kernel_watches(self) -> int:
        """How many watches the kernel has for this instance; costs 80 ms at 20,000."""
        with open(f"/proc/self/fdinfo/{self._inotify_fd}", "rb") as lines:
            return sum(line.startswith(b"inotify wd:") for line in lines)
