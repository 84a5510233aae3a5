"""How a path is shown to a person: on one line, nothing hidden, nothing a terminal would obey.

Imports nothing, so that logs, commands and error messages can all use it.
"""

from __future__ import annotations

_ESCAPES = {
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))},
    **{0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)},
    # Line separators would break a line in two; bidirectional controls show a name other than it is.
    **{code: f"\\u{code:04x}" for code in (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))},
    ord("\t"): "\\t",
    ord("\n"): "\\n",
    ord("\r"): "\\r",
}


def printable(path: bytes | str) -> str:
    """Valid UTF-8 as it is; control characters and bytes that are not UTF-8 escaped, as in `\\n` and `\\xff`.

    For reading only: a name that really holds a backslash looks the same as an escape.
    """
    text = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
    return text.translate(_ESCAPES)
