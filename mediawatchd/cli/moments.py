"""A point of the history, as a person writes it on a command line."""

from __future__ import annotations

import datetime as dt
import re

_UNITS = {"s": "seconds", "min": "minutes", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since(text: str, *, now: dt.datetime) -> str:
    """What the API takes for it: the number of an event as it is, else a time in UTC.

    `text` is such a number, a span before `now` (an aware time) as `90min`, `2h` or `3d`, or a date or time in
    ISO 8601, in the zone of the reader unless it names one. Raises ValueError when it is none of them.
    """
    if re.fullmatch(r"[0-9]{1,18}", text):
        return text
    if span := re.fullmatch(r"([0-9]{1,6}) ?(s|min|m|h|d|w)", text):
        moment = now - dt.timedelta(**{_UNITS[span[2]]: int(span[1])})
    else:
        moment = dt.datetime.fromisoformat(text).astimezone()
    return moment.astimezone(dt.UTC).isoformat()
