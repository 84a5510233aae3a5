"""How a path is shown to a person: on one line, nothing hidden, nothing that a terminal would obey.

Imports next to nothing, so that logs, commands and error messages can all use it.
"""

from __future__ import annotations

import re
import shlex

# Control characters, line and paragraph separators, marks that turn the direction of writing and so show another
# name than it is, the byte order mark, and halves of surrogate pairs, which stand for bytes that are not UTF-8.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(path: bytes | str) -> str:
    """Valid UTF-8 as it is; control characters and bytes that are not UTF-8 escaped, as in `\\n` and `\\xff`.

    For reading only: a name that really holds a backslash looks the same as an escape.
    """
    text = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
    return text if text.isprintable() else _UNSAFE.sub(_escape, text)


def unslashed(path: bytes) -> bytes:
    """A directory as people write it: without the slash at its end, unless it is "/"."""
    return path.rstrip(b"/") or b"/"


def shell_word(path: bytes) -> str:
    """A path as a word of a command to be copied; one that is not UTF-8 has to be put in by hand."""
    return shlex.quote(printable(path))


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
