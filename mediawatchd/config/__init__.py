"""The configuration: what may be set, what is set, and every mistake in it at once.

Importing this costs PyYAML and little else; nothing is read from the environment or the disk until `load`.
"""

from .loading import DEFAULT_FILE, CommandLine, check, load, restart_required
from .public import public
from .schema import (
    Config,
    Control,
    FileExtensions,
    Hashing,
    History,
    Missing,
    Reconcile,
    Server,
    Watch,
)
from .values import ignore_problem, is_loopback

__all__ = [
    "DEFAULT_FILE",
    "CommandLine",
    "Config",
    "Control",
    "FileExtensions",
    "Hashing",
    "History",
    "Missing",
    "Reconcile",
    "Server",
    "Watch",
    "check",
    "ignore_problem",
    "is_loopback",
    "load",
    "public",
    "restart_required",
]
