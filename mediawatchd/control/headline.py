"""What the daemon does, in one line: the status that systemd shows.

Called by the main thread, at most once a second. It is put together from snapshots that the caller took.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.paths import printable, unslashed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mediawatchd.watching.status import RootStatus


def headline(
    state: str, statuses: Sequence[RootStatus], totals: Mapping[int, Mapping[str, int]], troubles: Sequence[str]
) -> str:
    """`state` as in the status of the API; `troubles` are sentences, the first of which is shown."""
    shown = [status for status in statuses if status.walking] if state == "scanning" else statuses
    shown = shown or statuses
    of_shown = [totals[status.id] for status in shown if status.id in totals]
    files = _files(sum(each["files"] for each in of_shown))
    pending = sum(each["pending_quick_hash"] + each["pending_probe"] + each["pending_phash"] for each in of_shown)
    if state == "scanning":
        line = f"scanning {_folders(shown)}: {files}"
    elif state == "hashing":
        line = f"{files} in {_folders(shown)}, hashing, {pending:,} to do"
    else:
        line = f"{files} in {_folders(shown)}, {state}"
    away = [_shown(status) for status in statuses if status.state == "offline"]
    parts = [line]
    if away:
        parts.append(f"offline: {', '.join(away)}")
    if troubles:
        parts.append(f"degraded: {troubles[0]}" + (f" (and {len(troubles) - 1} more)" if troubles[1:] else ""))
    return "; ".join(parts)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _folders(statuses: Sequence[RootStatus]) -> str:
    return _shown(statuses[0]) if len(statuses) == 1 else f"{len(statuses)} folders"


def _shown(status: RootStatus) -> str:
    return printable(unslashed(status.path))
