"""Numbers as a person reads them: sizes, lengths, ages, dates, shares. A value that is not known is a dash.

Pure functions; nothing here asks a clock, except for the zone that a date is shown in.
"""

from __future__ import annotations

import datetime as dt
import math
import time

UNKNOWN = "-"


def size(number_of_bytes: float | None) -> str:
    """Binary units, as file managers of Linux show them: `14.2 GiB`."""
    if number_of_bytes is None:
        return UNKNOWN
    if number_of_bytes < 1024:
        return f"{number_of_bytes:.0f} B"
    value, units = number_of_bytes / 1024, ["PiB", "TiB", "GiB", "MiB", "KiB"]
    while value >= 1023.95 and len(units) > 1:  # what rounds to 1024.0 is shown in the next unit
        value /= 1024
        units.pop()
    return f"{value:.1f} {units[-1]}"


def length(seconds: float | None) -> str:
    """A playing or waiting time: `h:mm:ss`, rounded to whole seconds; more than two days as `3 d 4:05:06`."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return UNKNOWN
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}:{minutes:02}:{whole:02}"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours}:{minutes:02}:{whole:02}"


def age(seconds: float | None) -> str:
    """How long ago; a time in the future (the clock was set) counts as now."""
    if seconds is None:
        return UNKNOWN
    if seconds < 1:
        return "just now"
    for unit, unit_seconds, until in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds // unit_seconds:.0f} {unit} ago"
    return f"{seconds // 86_400:.0f} d ago"


def rate(per_second: float) -> str:
    """How many a second, or where that says too little, a minute."""
    if per_second >= 9.95 or not per_second:
        return f"{per_second:,.0f}/s"
    return f"{per_second:.1f}/s" if per_second >= 0.95 else f"{60 * per_second:.0f}/min"


def soon(seconds: float) -> str:
    """How far ahead: `in 5 min`; what should have been already is now."""
    return "now" if seconds < 1 else f"in {age(seconds).removesuffix(' ago')}"


def moment(when: float | str | None, now: float) -> str | None:
    """A point in time, and how far it is from `now` (Unix seconds): `2031-05-04 12:00:00 (in 5 min)`."""
    seconds = unix_seconds(when)
    if seconds is None:
        return None
    return f"{date(seconds)} ({age(now - seconds) if seconds <= now else soon(seconds - now)})"


def count(number: int | None) -> str:
    """With commas at the thousands."""
    return UNKNOWN if number is None else f"{number:,}"


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 file`, `2 files`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def percent(value: float | None) -> str:
    """One decimal, rounded down: 100 % is said only of what is complete."""
    return UNKNOWN if value is None else f"{math.floor(value * 10) / 10:.1f} %"


def bitrate(bits_per_second: float | None) -> str:
    """Decimal units, as everywhere for bitrates."""
    if not bits_per_second:
        return UNKNOWN
    if bits_per_second < 1_000_000:
        return f"{bits_per_second / 1000:.0f} kbit/s"
    return f"{bits_per_second / 1_000_000:.1f} Mbit/s"


def unix_seconds(moment: float | str | None) -> float | None:
    """A time of an answer, in either of its forms (Unix seconds, or ISO 8601), as Unix seconds."""
    if not isinstance(moment, str):
        return moment
    try:
        parsed = dt.datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC)).timestamp()


def date(moment: float | str | None) -> str:
    """Date and time in the zone of the reader."""
    seconds = unix_seconds(moment)
    try:
        return UNKNOWN if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return str(moment)
