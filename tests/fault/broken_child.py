"""A watcher child that goes wrong in a chosen way as soon as a file named `poison` appears. Run as a program."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from mediawatchd.watching import child
from mediawatchd.watching.inotify import IGNORED, Reader

if TYPE_CHECKING:
    from watchdog.observers.inotify_c import InotifyEvent


class BrokenReader(Reader):
    """`raise`: its thread ends with an error; `exit`, `return`: without a word; `hang`: it stands still; `forget`:
    it is deaf to the end of watches; `stick`: setting a watch on a path with "stuck" in it never returns."""

    def add(self, path: bytes, mask: int) -> int:
        if sys.argv[1] == "stick" and b"stuck" in path:
            threading.Event().wait()
        return super().add(path, mask)

    def handle_event(self, event: InotifyEvent) -> None:
        if event.mask & IGNORED and sys.argv[1] == "forget":
            return
        if event.name == b"poison":
            if sys.argv[1] == "raise":
                raise KeyError(event.name)
            if sys.argv[1] == "exit":
                raise SystemExit
            if sys.argv[1] == "return":
                os.close(self._inotify_fd)
            if sys.argv[1] == "hang":
                threading.Event().wait()
        super().handle_event(event)


if __name__ == "__main__":
    from mediawatchd.watching import watches

    watches.Reader = BrokenReader
    child.main()
