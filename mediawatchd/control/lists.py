"""Lists as answers: a page with the cursor of the next one, or all of it as NDJSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Response

from mediawatchd.control import answers
from mediawatchd.control.streams import ListStream
from mediawatchd.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from mediawatchd.control.calls import Answer, Ask

DEFAULT_LIMIT = 100
MOST_ITEMS = 10_000


def listed(items: Sequence[Mapping[str, Any]], onward: str | None) -> Answer:
    return {"items": items, "next": onward}


def streamed(ask: Ask, pages: Generator[Sequence[Mapping[str, Any]]]) -> Answer:
    """A list as NDJSON. Its first page is read here, so that what is wrong with the request is still refused."""
    if ask.only_head:
        return Response(mimetype=answers.NDJSON)
    call = ask.caller.long_calls.enter()
    try:
        first = next(pages, [])
    except BaseException:
        call.leave()
        raise
    return Response(ListStream(first=first, pages=pages, call=call), mimetype=answers.NDJSON)


def numbers_cursor(text: str, count: int) -> tuple[int, ...]:
    """The whole numbers of a cursor, joined by dashes. Raises Refused, 400, for anything else."""
    parts = text.split("-")
    if len(parts) != count or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise bad_cursor("this is no cursor of this list")
    return tuple(map(int, parts))


def bad_cursor(text: str) -> Refused:
    return Refused(400, "bad_cursor", text, hint="Pass `next` of the page before unchanged, in the same order.")
