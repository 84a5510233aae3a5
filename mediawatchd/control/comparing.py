"""The calls of the HTTP API about copies: similar videos, exact duplicates, and what a person says of them.

As all handlers these run on a worker thread of a listener, take their fields, have the rest refused, and then act.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from mediawatchd.catalog import browse
from mediawatchd.catalog.copies import is_known
from mediawatchd.catalog.similar import PairSelection
from mediawatchd.control import duplicates, similar
from mediawatchd.control.fields import wrong
from mediawatchd.control.lists import DEFAULT_LIMIT, MOST_ITEMS, bad_cursor, listed, numbers_cursor, streamed
from mediawatchd.errors import Refused
from mediawatchd.model import SimilarVerdict
from mediawatchd.paths import printable

if TYPE_CHECKING:
    from mediawatchd.catalog.browse import Reader
    from mediawatchd.catalog.duplicates import Key
    from mediawatchd.control.calls import Answer, Ask, Operations

MOST_BITS = 256
_DIGEST_BYTES = 32


class Comparing:
    """Remembers nothing; its handlers may run in any thread at once."""

    def __init__(self, *, operations: Operations, reader: Reader) -> None:
        self._operations = operations
        self._reader = reader

    def similar(self, ask: Ask) -> Answer:
        query = ask.query
        path = query.path("path")
        threshold = query.whole_number("threshold", most=MOST_BITS)
        verdict = query.choice("verdict", get_args(SimilarVerdict))
        dismissed = query.boolean("dismissed") or False
        grouped = query.boolean("groups") or False
        limit = query.whole_number("limit", least=1, most=MOST_ITEMS)
        after = query.text("after")
        ask.finish()
        if grouped and (dismissed or verdict == "contained"):
            raise wrong("groups", "are of duplicates that nobody dismissed; dismissed and contained pairs are in none")
        selection = PairSelection(
            path=path, file_id=self._file_id(path), threshold=threshold, verdict=verdict, dismissed=dismissed
        )
        if grouped:
            return self._groups(ask, selection, limit, after)
        return self._pairs(ask, selection, limit, after)

    def duplicates(self, ask: Ask) -> Answer:
        under = ask.query.path("under")
        limit = ask.query.whole_number("limit", least=1, most=MOST_ITEMS)
        after = ask.query.text("after")
        ask.finish()
        self._file_id(under)
        key = None if after is None else _key_of_cursor(after)
        reach = self._operations.reach()
        if ask.wants_ndjson:
            found = duplicates.stream(self._reader, reach, under=under, limit=limit, after=key)
            return streamed(ask, found)
        shown, onward = duplicates.page(self._reader, reach, under=under, limit=limit or DEFAULT_LIMIT, after=key)
        return listed(shown, onward and f"{onward[0]}-{onward[1].hex()}")

    def verify(self, ask: Ask) -> Answer:
        size = ask.body.whole_number("file_size")
        quick_hash = ask.body.text("quick_hash")
        ask.finish()
        if size is None or quick_hash is None:
            raise Refused(400, "missing_field", "file_size or quick_hash is missing", hint="Give both, as in a group.")
        digest = _digest(quick_hash)
        if digest is None:
            raise wrong("quick_hash", "must be 64 hexadecimal digits")
        with ask.caller.long_calls.enter() as call:
            return self._operations.verify((size, digest), lambda: call.stopping or ask.caller.is_gone())

    def dismiss(self, ask: Ask) -> Answer:
        a, b = ask.body.required_path("a"), ask.body.required_path("b")
        ask.finish()
        return self._operations.dismiss(a, b)

    def undismiss(self, ask: Ask) -> Answer:
        a, b = ask.body.required_path("a"), ask.body.required_path("b")
        ask.finish()
        return self._operations.undismiss(a, b)

    def _pairs(self, ask: Ask, selection: PairSelection, limit: int | None, after: str | None) -> Answer:
        place, a_id, b_id = (None,) * 3 if after is None else numbers_cursor(after, 3)
        key = None if place is None or a_id is None or b_id is None else (place, a_id, b_id)
        reach = self._operations.reach()
        if ask.wants_ndjson:
            return streamed(ask, similar.stream_pairs(self._reader, selection, reach, limit=limit, after=key))
        shown, onward = similar.pairs(self._reader, selection, reach, limit=limit or DEFAULT_LIMIT, after=key)
        return listed(shown, onward and "-".join(map(str, onward)))

    def _groups(self, ask: Ask, selection: PairSelection, limit: int | None, after: str | None) -> Answer:
        place = None if after is None else similar.Place._make(numbers_cursor(after, 2))
        reach = self._operations.reach()
        if ask.wants_ndjson:
            return streamed(ask, similar.stream_groups(self._reader, selection, reach, limit=limit, after=place))
        # Grouping very many pairs takes seconds, one at a time: who waits for it must not take all threads.
        with ask.caller.long_calls.enter():
            most = limit or DEFAULT_LIMIT
            shown, onward = similar.group_page(self._reader, selection, reach, limit=most, after=place)
        return listed(shown, onward and "-".join(map(str, onward)))

    def _file_id(self, path: bytes | None) -> int | None:
        """The file of a path, None for a folder. Raises Refused, 404, for what the catalog does not know."""
        if path is None:
            return None
        with self._reader() as connection:
            file_id = browse.id_at(connection, path)
            if file_id is None and not is_known(connection, path):
                raise unknown(path)
        return file_id


def _key_of_cursor(text: str) -> Key:
    size, _, quick_hash = text.partition("-")
    digest = _digest(quick_hash)
    if digest is None:
        raise bad_cursor("this is no cursor of this list")
    return numbers_cursor(size, 1)[0], digest


def _digest(text: str) -> bytes | None:
    """The bytes of a quick hash in hex; None for what is none."""
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        return None
    return digest if len(text) == 2 * len(digest) == 2 * _DIGEST_BYTES else None


def unknown(path: bytes) -> Refused:
    return Refused(
        404, "not_found", f"the catalog knows no file and no folder {printable(path)}",
        hint="`mediawatchctl show PATH` says why.",
    )  # fmt: skip
