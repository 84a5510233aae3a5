"""What a stream can show: its width, colours and letters, and text made safe for it.

A file name may hold anything but a slash and a zero byte. Nothing that moves the cursor, changes colours or
turns the direction of writing goes out as it is; `shown` is the gate, for file names and for what the daemon says.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata

TYPE_CHECKING = False  # as typing has it; importing that costs 5 ms of the 80
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

# Controls (C0, DEL, C1), line and paragraph separators, marks that turn the direction of writing, the byte order
# mark, and halves of surrogate pairs, which stand for bytes that are no UTF-8.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_LEAST_WIDTH = 40


class Screen:
    """One output stream and what it can show."""

    def __init__(self, stream: TextIO, *, environment: Mapping[str, str]) -> None:
        self._stream = stream
        self._encoding = stream.encoding or "ascii"
        self.is_terminal = stream.isatty()
        self.is_utf8 = self._encoding.lower().replace("-", "") == "utf8"
        self.width = _width(stream, environment) if self.is_terminal else None
        """Columns; None when lines may be of any length."""
        self.can_redraw = self.is_terminal and environment.get("TERM", "dumb") != "dumb"
        self.has_colour = self.can_redraw and not environment.get("NO_COLOR")
        self.ellipsis = "\u2026" if self.is_utf8 else "..."

    def line(self, text: str = "") -> None:
        """Writes a line as it is; what comes from outside has been through `shown`."""
        self._stream.write(text + "\n")

    def flush(self) -> None:
        """Hands over what was written; raises what the stream raises."""
        self._stream.flush()

    def shown(self, text: bytes | str | None) -> str:
        """Text from outside, in letters that this stream has: what is unsafe or unknown to it becomes an escape."""
        if text is None:
            return "-"
        known = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
        if not known.isprintable():
            known = _UNSAFE.sub(_escape, known)
        if not self.is_utf8:
            known = known.encode(self._encoding, "backslashreplace").decode(self._encoding, "replace")
        return known

    def painted(self, text: str, style: str) -> str:
        """`text` in a style (bold, dim, red, green, yellow; empty for none), where there are colours."""
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style and self.has_colour and text else text

    def end_of(self, text: str, width: int) -> str:
        """`text`, or as much of its end as fits `width` columns: of a path, the end says most."""
        if columns(text) <= width:
            return text
        room = max(0, width - len(self.ellipsis))
        start = len(text)
        while start and (room := room - columns(text[start - 1])) >= 0:
            start -= 1
        while start < len(text) and columns(text[start]) == 0:
            start += 1  # an accent does not stand without its letter
        return self.ellipsis + text[start:]


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes: two for wide East Asian characters, none for combining ones."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.category(character) in {"Mn", "Me", "Cf"} or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(match[0], f"\\x{code:02x}")
    return f"\\u{code:04x}"


def json_text(value: object, screen: Screen, *, indented: bool) -> str:
    """A JSON text that is safe for a terminal too: what JSON leaves as it is, but is unsafe, becomes `\\uXXXX`."""
    text = json.dumps(value, ensure_ascii=not screen.is_utf8, indent=2 if indented else None)
    lines = text.split("\n")  # between values only: inside strings JSON escapes line breaks
    return "\n".join(_UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", line) for line in lines)


def _width(stream: TextIO, environment: Mapping[str, str]) -> int:
    asked = environment.get("COLUMNS", "")
    if asked.isdigit() and int(asked):
        return max(_LEAST_WIDTH, int(asked))
    try:
        found = os.get_terminal_size(stream.fileno()).columns
    except OSError:
        found = 0
    return max(_LEAST_WIDTH, found or 80)
