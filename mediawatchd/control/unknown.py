"""Why a path below a root is not in the catalog, and what a person can do about it.

Runs on the thread of whoever asks. It looks at the disk, but never at that of a root which is not online: whoever
asks must not hang on a dead disk. No link is followed.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from mediawatchd.errors import Refused
from mediawatchd.paths import printable, shell_word

if TYPE_CHECKING:
    from mediawatchd.watching.rules import Ignored, Rules
    from mediawatchd.watching.status import RootStatus


def why_unknown(root: RootStatus, path: bytes, rules: Rules) -> Refused:
    """The refusal, 404, that says why; its `state` is one word for scripts."""
    relative = path[len(root.path) :]
    name = printable(path)
    if (found := rules.explain(relative, False)) is not None:
        return _ignored(name, found)
    if root.state != "online":
        return _refusal(
            "offline",
            f"{name} is not in the catalog, and its root is {root.state}: {root.message}",
            root.hint or "It is looked at again by itself.",
        )
    if (link := _link_above(root.path, relative)) is not None:
        return _refusal(
            "symlink",
            f"{name} lies behind the symbolic link {printable(link)}; those are not followed",
            f"What it points to is catalogued where it lies, if that is in a root: {_target(link)}",
        )
    try:
        status = os.lstat(path)
    except OSError as error:
        hint = "" if isinstance(error, FileNotFoundError) else "Give the daemon's user the right to see it."
        return _refusal("absent", f"{name} is not in the catalog, and not on disk: {error.strerror}", hint)
    if stat.S_ISLNK(status.st_mode):
        return _refusal(
            "symlink",
            f"{name} is a symbolic link; those are not followed, what it points to is catalogued where it lies",
            f"It points to {_target(path)}",
        )
    is_directory = stat.S_ISDIR(status.st_mode)
    if is_directory and (found := rules.explain(relative, True)) is not None:
        return _ignored(name, found)
    if not is_directory and rules.media_type(path.rpartition(b"/")[2]) is None:
        return _refusal(
            "not_media",
            f"{name} has none of the configured extensions",
            "`file_extensions` in the configuration lists them.",
        )
    if not is_directory and not stat.S_ISREG(status.st_mode):
        return _refusal("not_media", f"{name} is not a regular file", "")
    what = "a folder on disk" if is_directory else "on disk"
    folder = shell_word(path if is_directory else os.path.dirname(path))
    return _refusal(
        "unseen",
        f"{name} is {what} and not in the catalog yet; the next walk finds it",
        f"It is found at once by: mediawatchctl scan {folder}",
    )


def _ignored(name: str, found: Ignored) -> Refused:
    source = "built-in: names of unfinished downloads" if found.is_built_in else "`ignore` in the configuration"
    of = "" if found.above is None else f", which is about the folder {printable(found.above)}/"
    hint = f"`!{found.rule}` under `ignore` in the configuration brings it back."
    if not found.is_built_in:
        hint = "Take the rule out of the configuration and run `mediawatchctl reload`."
    return _refusal("ignored", f"{name} is ignored by the rule {found.rule} ({source}){of}", hint, rule=found.rule,
                    rule_from="built-in" if found.is_built_in else "configuration")  # fmt: skip


def _refusal(state: str, text: str, hint: str, **more: str) -> Refused:
    return Refused(404, "not_found", text, hint=hint, detail={"state": state, **more})


def _link_above(root: bytes, relative: bytes) -> bytes | None:
    """The first symbolic link on the way from a root to a path below it."""
    end = relative.find(b"/")
    while end > 0:
        folder = root + relative[:end]
        try:
            if stat.S_ISLNK(os.lstat(folder).st_mode):
                return folder
        except OSError:
            return None
        end = relative.find(b"/", end + 1)
    return None


def _target(link: bytes) -> str:
    try:
        return printable(os.readlink(link))
    except OSError as error:
        return error.strerror or str(error)
