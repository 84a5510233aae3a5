"""The daemon's exceptions, each with an exit status and a hint that says what to do.

A problem of one file is never one of these: it is a `Problem` in the catalog. A problem of one root is a
state of that root. What stands here ends the daemon, or refuses a request.
"""

from __future__ import annotations


class MediawatchdError(Exception):
    """Something that a person must be told; `hint` says what to do about it."""

    exit_status = 1
    hint = "The log above says more; `mediawatchctl doctor` looks for causes."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class ConfigurationError(MediawatchdError):
    """The configuration has mistakes; the message lists all of them."""

    exit_status = 78
    hint = "Correct the configuration; `mediawatchd --check-config` checks it without starting."


class CatalogTooNew(MediawatchdError):
    """The catalog was written by a newer version."""

    exit_status = 78
    hint = "Install that version or a later one, or name another db_path. The file was not touched."


class CatalogLocked(MediawatchdError):
    """Another daemon has the catalog."""

    exit_status = 1
    hint = "Stop the other daemon, or give this one a db_path of its own."


class CatalogUnreadable(MediawatchdError):
    """The catalog cannot be opened or created where the configuration says."""

    exit_status = 1
    hint = "Check that the folder of db_path exists, is writable for this user, and is on a local disk."


class SocketUnavailable(MediawatchdError):
    """A listener cannot be bound."""

    exit_status = 1
    hint = "Another program has that address; choose another one under `server` or `control`."


class Refused(MediawatchdError):
    """A request that cannot be granted; becomes an HTTP answer with `status` and `code`."""

    def __init__(
        self, status: int, code: str, message: str, *, hint: str = "", detail: dict[str, object] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.detail = detail or {}
