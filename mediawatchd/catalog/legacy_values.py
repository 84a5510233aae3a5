"""Values of a `media_analyzer` database, made into the catalog's own.

Pure functions. Text arrives as bytes, because what is stored as text need not be valid UTF-8; a value that cannot
be understood becomes None, never an exception.
"""

from __future__ import annotations

import math
import os
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from mediawatchd.model import MAX_INTEGER, SECOND

Value = bytes | int | float | None

UNKNOWN_TIME = -MAX_INTEGER - 1
"""The mtime_ns of a row whose time is not known: no stamp of a file that is there can have it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_QUICK_HASH = re.compile(rb"[0-9a-fA-F]{64}")
_PERCEPTUAL_HASH = re.compile(rb"[0-9a-fA-F]{16}(\|[0-9a-fA-F]{16})*")


def path_bytes(value: Value, base: bytes) -> bytes | None:
    """An absolute, normal path; a relative one is taken from `base`, the folder that the daemon was started in.

    A name that Python had decoded with surrogate escapes and that was stored so gets its own bytes back.
    """
    if not isinstance(value, bytes) or not value or b"\0" in value:
        return None
    if b"\xed" in value:  # every surrogate begins with it
        with suppress(UnicodeError):
            value = value.decode("utf-8", "surrogatepass").encode("utf-8", "surrogateescape")
    if value.startswith(b"/") and not (b"//" in value or b"/." in value or value.endswith(b"/")):
        return value
    path = os.path.normpath(os.path.join(base, value))
    if path.startswith(b"//"):  # POSIX lets two slashes mean something else; no file system here does
        path = path[1:]
    return path if path != b"/" else None


def mtime_ns(value: Value) -> int:
    """ISO 8601, without a zone taken as UTC, or Unix seconds; else UNKNOWN_TIME. Whole microseconds."""
    microseconds = _microseconds(value)
    if microseconds is None:
        return UNKNOWN_TIME
    return max(-MAX_INTEGER, min(MAX_INTEGER, microseconds * 1000))


def unix_seconds(value: Value, *, now: int) -> int | None:
    """A time after 1970 that has passed."""
    microseconds = _microseconds(value)
    if microseconds is None or not 0 < microseconds <= now * 1_000_000:
        return None
    return microseconds // 1_000_000


def quick_hash(value: Value) -> bytes | None:
    """32 bytes from 64 hexadecimal digits of either case."""
    if isinstance(value, bytes) and _QUICK_HASH.fullmatch(value):
        return bytes.fromhex(value.decode("ascii"))
    return None


def perceptual_hash(value: Value) -> str | None:
    """Frame hashes of 16 digits, joined by `|`, in lower case."""
    if isinstance(value, bytes) and _PERCEPTUAL_HASH.fullmatch(value):
        return value.decode("ascii").lower()
    return None


def text(value: Value) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace") or None
    return None if value is None else str(value)


def real(value: Value) -> float | None:
    """Also from text, and from a fraction such as `24000/1001`."""
    if value is None:
        return None
    dividend, _, divisor = value.partition(b"/") if isinstance(value, bytes) else (value, None, None)
    try:
        number = float(dividend) / float(divisor or 1)
    except (ValueError, ArithmeticError):
        return None
    return number if math.isfinite(number) else None


def integer(value: Value) -> int | None:
    """Rounded; None where 64 bits are not enough."""
    if not isinstance(value, int):
        number = real(value)
        if number is None:
            return None
        value = round(number)
    return value if -MAX_INTEGER <= value <= MAX_INTEGER else None


def dynamic_range(value: Value) -> str | None:
    """The name of an HDR format; older versions kept only whether there was one."""
    if value in (None, 0, b"", b"0", b"none", b"None", b"SDR", b"sdr", b"false", b"False"):
        return None
    return "hdr" if value in (1, b"1", b"true", b"True") else text(value)


def rounded_ns(disk_ns: int) -> int:
    """The time that `datetime.fromtimestamp(os.stat(...).st_mtime, UTC)` gives for a file's mtime_ns.

    Two roundings: stat adds the seconds and the nanoseconds as floats, which near the present keeps steps of
    238 ns, and `fromtimestamp` rounds the fraction of that to microseconds, half to even.
    """
    seconds, nanoseconds = divmod(disk_ns, SECOND)
    fraction, whole = math.modf(seconds + 1e-9 * nanoseconds)
    return (int(whole) * 1_000_000 + round(fraction * 1e6)) * 1000


def _microseconds(value: Value) -> int | None:
    if isinstance(value, bytes):
        try:
            moment = datetime.fromisoformat(value.decode("ascii").strip())
        except ValueError:
            seconds = real(value)
        else:
            return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
    else:
        seconds = real(value)
    return None if seconds is None else round(seconds * 1e6)
