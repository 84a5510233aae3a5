"""The kernel's inotify limits, as they hold for this user, and the line that raises them.

Read by the watcher child when a limit is hit and by the daemon for its statistics; never by polling.
A user namespace has limits of its own, so the smaller of the two counts.
"""

from __future__ import annotations

_WATCHES = (("fs.inotify.max_user_watches", 524_288), ("user.max_inotify_watches", 524_288))
_INSTANCES = (("fs.inotify.max_user_instances", 256), ("user.max_inotify_instances", 256))


def watches_limit() -> int | None:
    """How many directories this user may watch; None when the kernel does not say."""
    return _smallest(_WATCHES)[0]


def watches_hint(wanted: int) -> str:
    """The command that allows at least `wanted` watches."""
    return _hint(_WATCHES, wanted)


def instances_limit() -> int | None:
    """How many inotify instances this user may have; None when the kernel does not say."""
    return _smallest(_INSTANCES)[0]


def instances_hint() -> str:
    """The command that allows more inotify instances."""
    return _hint(_INSTANCES, 0)


def _hint(limits: tuple[tuple[str, int], ...], wanted: int) -> str:
    limit, name, advised = _smallest(limits)
    while advised <= max(limit or 0, wanted):
        advised *= 2
    return f"sysctl {name}={advised}"


def _smallest(limits: tuple[tuple[str, int], ...]) -> tuple[int | None, str, int]:
    known = []
    for name, advised in limits:
        try:
            with open("/proc/sys/" + name.replace(".", "/"), "rb") as file:
                known.append((int(file.read()), name, advised))
        except (OSError, ValueError):
            continue
    return min(known) if known else (None, *limits[0])
