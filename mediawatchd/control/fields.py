"""The fields of one request, taken one by one with their types, and what is left over refused by name.

Everything here comes from outside. Wrong types, unknown and repeated fields are refused with 400 and named, so
that a slip of the pen in a script never means "all". Paths arrive as text or, under the twin ending in `_b64`,
as raw bytes; a query may also hold raw bytes as `%FF`.
"""

from __future__ import annotations

import base64
import json
import math
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote_to_bytes

from mediawatchd.errors import Refused
from mediawatchd.model import MAX_INTEGER

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_PATH_BYTES = 4096


class Fields(ABC):
    """Belongs to the request that it came with. Each getter takes its field; None when it is absent or null."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = {name: value for name, value in values.items() if value is not None}

    def finish(self) -> None:
        """Call after the last getter and before anything is done: refuses fields that nobody took."""
        if self._values:
            names = ", ".join(sorted(self._values))
            raise Refused(400, "unknown_field", f"this call has no such field: {names}", hint="Check the spelling.")

    def boolean(self, name: str) -> bool | None:
        value = self._values.pop(name, None)
        return None if value is None else self._boolean(name, value)

    def whole_number(self, name: str, *, least: int = 0, most: int = MAX_INTEGER) -> int | None:
        value = self._values.pop(name, None)
        if value is None:
            return None
        number = self._whole_number(name, value)
        if not least <= number <= most:
            raise wrong(name, f"must be from {least} to {most}")
        return number

    def seconds(self, name: str, *, most: float) -> float | None:
        """A time from 0 up to `most`; fractions are allowed."""
        value = self._values.pop(name, None)
        if value is None:
            return None
        number = self._number(name, value)
        if not (math.isfinite(number) and 0 <= number <= most):
            raise wrong(name, f"must be a number of seconds from 0 to {most:g}")
        return number

    def text(self, name: str) -> str | None:
        value = self._values.pop(name, None)
        if value is None:
            return None
        try:
            return self._bytes(name, value).decode()
        except UnicodeDecodeError:
            raise wrong(name, "must be valid UTF-8") from None

    def choice(self, name: str, allowed: Sequence[str]) -> str | None:
        value = self.text(name)
        if value is not None and value not in allowed:
            raise wrong(name, f"must be one of {', '.join(allowed)}")
        return value

    def path(self, name: str) -> bytes | None:
        """An absolute path without a slash at its end, from the field or from its twin."""
        plain = self._values.pop(name, None)
        twin = self._values.pop(f"{name}_b64", None)
        if plain is not None and twin is not None:
            raise wrong(name, f"must not be given together with {name}_b64")
        if plain is not None:
            return _path(name, self._bytes(name, plain))
        return None if twin is None else _path(name, _unpacked(f"{name}_b64", self._bytes(f"{name}_b64", twin)))

    def required_path(self, name: str) -> bytes:
        path = self.path(name)
        if path is None:
            raise Refused(400, "missing_field", f"{name} is missing", hint=f"Give {name}, or {name}_b64.")
        return path

    @abstractmethod
    def _boolean(self, name: str, value: Any) -> bool: ...

    @abstractmethod
    def _whole_number(self, name: str, value: Any) -> int: ...

    @abstractmethod
    def _number(self, name: str, value: Any) -> float: ...

    @abstractmethod
    def _bytes(self, name: str, value: Any) -> bytes: ...


class Query(Fields):
    """The fields behind the question mark; `query` as WSGI hands it over, each byte a character."""

    def __init__(self, query: str) -> None:
        values: dict[str, Any] = {}
        for pair in filter(None, query.encode("latin-1").split(b"&")):
            raw_name, _, raw = pair.replace(b"+", b" ").partition(b"=")
            name = unquote_to_bytes(raw_name).decode(errors="replace")
            if name in values:
                raise wrong(name, "must be given only once")
            values[name] = unquote_to_bytes(raw)
        super().__init__(values)

    def _boolean(self, name: str, value: bytes) -> bool:
        known = {b"true": True, b"1": True, b"false": False, b"0": False}
        if value not in known:
            raise wrong(name, "must be true or false")
        return known[value]

    def _whole_number(self, name: str, value: bytes) -> int:
        if not value.isdigit() or len(value) > len(str(MAX_INTEGER)):
            raise wrong(name, "must be a whole number")
        return int(value)

    def _number(self, name: str, value: bytes) -> float:
        try:
            return float(value)
        except ValueError:
            raise wrong(name, "must be a number") from None

    def _bytes(self, name: str, value: bytes) -> bytes:  # noqa: ARG002 - every value is bytes
        return value


class Body(Fields):
    """The fields of a JSON object; an empty body has none."""

    def __init__(self, content: bytes) -> None:
        try:
            values = json.loads(content, parse_constant=_no_constant) if content.strip() else {}
        except (ValueError, RecursionError) as error:
            raise Refused(400, "malformed_request", f"the body is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise Refused(400, "malformed_request", "the body is not a JSON object")
        super().__init__(values)

    def paths(self, name: str) -> list[bytes] | None:
        """Absolute paths, from the field and its twin together; never an empty list."""
        given: list[bytes] = []
        for field, is_twin in ((name, False), (f"{name}_b64", True)):
            items = self._values.pop(field, None)
            if items is None:
                continue
            if not isinstance(items, list) or not items:
                raise wrong(field, "must be a list of paths, or left out")
            for item in items:
                raw = self._bytes(field, item)
                given.append(_path(field, _unpacked(field, raw) if is_twin else raw))
        return given or None

    def _boolean(self, name: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise wrong(name, "must be true or false")
        return value

    def _whole_number(self, name: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong(name, "must be a whole number")
        return value

    def _number(self, name: str, value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise wrong(name, "must be a number")
        try:
            return float(value)
        except OverflowError:
            raise wrong(name, "is too large") from None

    def _bytes(self, name: str, value: Any) -> bytes:
        if not isinstance(value, str):
            raise wrong(name, "must be text")
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise wrong(name, "is not valid text; send raw bytes under the twin ending in _b64") from None


def wrong(name: str, what: str) -> Refused:
    """The refusal of a field's value."""
    return Refused(400, "bad_value", f"{name} {what}")


def _path(name: str, raw: bytes) -> bytes:
    if not raw.startswith(b"/"):
        raise wrong(name, "must be an absolute path")
    if b"\0" in raw or len(raw) > _LONGEST_PATH_BYTES:
        raise wrong(name, "is not a possible path")
    # Two slashes in front are one: POSIX lets them mean something else, Linux does not.
    return os.path.normpath(b"/" + raw.lstrip(b"/"))


def _unpacked(name: str, value: bytes) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise wrong(name, "must be base64") from None


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")
