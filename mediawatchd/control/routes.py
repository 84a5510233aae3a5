"""The calls of the HTTP API: what each takes, and which operation answers it.

Each handler runs on a worker thread of a listener. It takes its fields, has the rest refused, and only then acts.
Nothing is decided here: what a call means is the business of the operations, what a list holds that of the catalog.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast, get_args

from flask import Response

from mediawatchd.catalog import browse, events
from mediawatchd.control import answers
from mediawatchd.control.comparing import Comparing
from mediawatchd.control.fields import wrong
from mediawatchd.control.lists import DEFAULT_LIMIT, MOST_ITEMS, bad_cursor, listed, streamed
from mediawatchd.control.streams import LOOK_SECONDS, EventStream, stopping
from mediawatchd.errors import Refused
from mediawatchd.model import MAX_INTEGER, MediaType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mediawatchd.catalog.browse import Reader
    from mediawatchd.control.calls import Answer, Ask, Handler, Operations
    from mediawatchd.control.fields import Query
    from mediawatchd.control.peers import Caller

DEFAULT_WAIT_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 86_400.0


class Routes:
    """Remembers nothing; its handlers may run in any thread at once."""

    def __init__(self, *, operations: Operations, reader: Reader) -> None:
        self._operations = operations
        self._reader = reader
        self._comparing = Comparing(operations=operations, reader=reader)

    def reading(self) -> dict[str, Handler]:
        """The calls by GET, by their routes."""
        operations = self._operations
        return {
            "/api/version": _plain(operations.version),
            "/api/status": _plain(operations.status),
            "/api/doctor": self._doctor,
            "/api/config": _plain(operations.config),
            "/api/scan/status": _plain(operations.scan_status),
            "/api/hash/status": _plain(operations.hash_status),
            "/api/jobs": self._jobs,
            "/api/jobs/<job>": self._job,
            "/api/jobs/<job>/wait": self._wait,
            "/api/files": self._files,
            "/api/file": self._file,
            "/api/duplicates": self._comparing.duplicates,
            "/api/similar": self._comparing.similar,
            "/api/history": self._history,
            "/api/events": self._events,
            "/metrics": self._metrics,
            "/healthz": self._healthz,
        }

    def changing(self) -> dict[str, Handler]:
        """The calls by POST, by their routes."""
        operations = self._operations
        return {
            "/api/scan": _start(operations.start_scan),
            "/api/scan/stop": _stop(operations.stop_scan),
            "/api/hash": self._hash,
            "/api/hash/stop": _stop(operations.stop_hash),
            "/api/jobs/<job>/cancel": self._cancel,
            "/api/duplicates/verify": self._comparing.verify,
            "/api/similar/dismiss": self._comparing.dismiss,
            "/api/similar/undismiss": self._comparing.undismiss,
            "/api/sync": self._sync,
            "/api/pause": _plain(operations.pause),
            "/api/resume": _plain(operations.resume),
            "/api/reload": _plain(operations.reload),
            "/api/roots/accept": _of_root(operations.accept_root),
            "/api/roots/confirm-missing": _of_root(operations.confirm_missing),
            "/api/roots/forget": _of_root(operations.forget_root),
        }

    def _doctor(self, ask: Ask) -> Answer:
        ask.finish()
        if ask.only_head:
            return Response(mimetype=answers.JSON)
        with ask.caller.long_calls.enter():
            return self._operations.doctor()

    def _hash(self, ask: Ask) -> Answer:
        force = ask.body.boolean("force") or False
        return _start(lambda paths: self._operations.start_hash(paths, force))(ask)

    def _jobs(self, ask: Ask) -> Answer:
        limit = ask.query.whole_number("limit", least=1, most=MOST_ITEMS)
        after = _number_cursor(ask.query)
        ask.finish()
        jobs = [job for job in self._operations.jobs() if after is None or job["id"] < after]
        if ask.wants_ndjson:
            return Response(answers.lines(jobs[:limit]), mimetype=answers.NDJSON)
        shown = jobs[: limit or DEFAULT_LIMIT]
        return listed(shown, str(shown[-1]["id"]) if len(shown) < len(jobs) else None)

    def _job(self, ask: Ask, job: str) -> Answer:
        ask.finish()
        return self._operations.job(_job_id(job))

    def _cancel(self, ask: Ask, job: str) -> Answer:
        ask.finish()
        return self._operations.cancel_job(_job_id(job))

    def _wait(self, ask: Ask, job: str) -> Answer:
        timeout_seconds = ask.query.seconds("timeout", most=LONGEST_WAIT_SECONDS)
        ask.finish()
        number = _job_id(job)
        if ask.only_head:
            return self._operations.job(number)
        return self._wait_for_job(
            ask.caller, number, DEFAULT_WAIT_SECONDS if timeout_seconds is None else timeout_seconds
        )

    def _wait_for_job(self, caller: Caller, job: int, timeout_seconds: float) -> Answer:
        """Waits in short pieces, so that neither a client that left nor the end of the daemon is waited for."""
        deadline = time.monotonic() + timeout_seconds
        with caller.long_calls.enter() as call:
            while True:
                left = max(0.0, deadline - time.monotonic())
                try:
                    return self._operations.wait_job(job, min(left, LOOK_SECONDS))
                except Refused as refusal:
                    if refusal.status != 504:
                        raise
                    if left <= LOOK_SECONDS:
                        text = f"job {job} has not ended within {timeout_seconds:g} s"
                        raise Refused(504, refusal.code, text, hint=refusal.hint, detail=refusal.detail) from None
                if call.stopping:
                    raise stopping()
                if caller.is_gone():
                    raise Refused(408, "client_gone", "the client left before the job ended")

    def _files(self, ask: Ask) -> Answer:
        query = ask.query
        missing = query.choice("missing", ("true", "false", "any"))
        selection = browse.Selection(
            under=query.path("under"),
            root=query.path("root"),
            media_type=cast("MediaType | None", query.choice("media_type", get_args(MediaType))),
            missing=None if missing == "any" else missing == "true",
            problem=query.boolean("problem"),
            pending=query.boolean("pending"),
            q=query.text("q"),
        )
        sort = cast("browse.Sort", query.choice("sort", browse.SORTS) or "path")
        order = browse.Order(sort, query.choice("order", ("asc", "desc")) == "desc")
        limit = query.whole_number("limit", least=1, most=MOST_ITEMS)
        after = query.text("after")
        ask.finish()
        try:
            if ask.wants_ndjson:
                return streamed(ask, browse.stream(self._reader, selection, order, limit=limit, after=after))
            with self._reader() as connection:
                files, onward = browse.page(connection, selection, order, limit=limit or DEFAULT_LIMIT, after=after)
        except browse.BadCursor as error:
            raise bad_cursor(str(error)) from None
        return listed(files, onward)

    def _file(self, ask: Ask) -> Answer:
        path = ask.query.required_path("path")
        ask.finish()
        return self._operations.file(path)

    def _history(self, ask: Ask) -> Answer:
        since, since_time = _since(ask.query)
        period = events.Period(
            path=ask.query.path("path"),
            since=since,
            since_time=since_time,
            newest_first=ask.query.choice("order", ("asc", "desc")) == "desc",
        )
        limit = ask.query.whole_number("limit", least=1, most=MOST_ITEMS)
        after = _number_cursor(ask.query)
        ask.finish()
        if ask.wants_ndjson:
            return streamed(ask, events.stream(self._reader, period, limit=limit, after=after))
        with self._reader() as connection:
            found, onward = events.history(connection, period, limit=limit or DEFAULT_LIMIT, after=after)
        return listed(found, None if onward is None else str(onward))

    def _events(self, ask: Ask) -> Answer:
        since = ask.query.whole_number("since")
        ask.finish()
        if ask.only_head:
            return Response(mimetype=answers.NDJSON)
        call = ask.caller.long_calls.enter()
        try:
            subscription = self._operations.subscribe(since)
        except BaseException:
            call.leave()
            raise
        stream = EventStream(subscription=subscription, since=since, call=call, is_gone=ask.caller.is_gone)
        return Response(stream, mimetype=answers.NDJSON)

    def _sync(self, ask: Ask) -> Answer:
        timeout_seconds = ask.body.seconds("timeout", most=LONGEST_WAIT_SECONDS)
        walk = ask.body.boolean("walk") or False
        ask.finish()
        with ask.caller.long_calls.enter():
            return self._operations.sync(DEFAULT_WAIT_SECONDS if timeout_seconds is None else timeout_seconds, walk)

    def _metrics(self, ask: Ask) -> Answer:
        ask.finish()
        body, content_type = self._operations.metrics()
        return Response(body, content_type=content_type)

    def _healthz(self, ask: Ask) -> Answer:
        ask.finish()
        if not self._operations.healthy():
            raise Refused(503, "unhealthy", "the daemon does not work as it should", hint="Its status says more.")
        return {"healthy": True}


def _plain(operation: Callable[[], Mapping[str, Any]]) -> Handler:
    """A call without fields."""

    def handle(ask: Ask) -> Answer:
        ask.finish()
        return operation()

    return handle


def _start(operation: Callable[[list[bytes] | None], Mapping[str, Any]]) -> Handler:
    """Starts a job over the given paths, or over everything."""

    def handle(ask: Ask) -> Answer:
        paths = ask.body.paths("scan_dirs")
        ask.finish()
        return Response(answers.document(operation(paths)), status=202, mimetype=answers.JSON)

    return handle


def _stop(operation: Callable[[int | None], Mapping[str, Any]]) -> Handler:
    """Stops one job, or all of the kind."""

    def handle(ask: Ask) -> Answer:
        job = ask.body.whole_number("job", least=1)
        ask.finish()
        return operation(job)

    return handle


def _of_root(operation: Callable[[bytes], Mapping[str, Any]]) -> Handler:
    def handle(ask: Ask) -> Answer:
        path = ask.body.required_path("path")
        ask.finish()
        return operation(path)

    return handle


def _job_id(text: str) -> int:
    if not _is_number(text):
        raise Refused(404, "not_found", "there is no such job", hint="GET /api/jobs lists them.")
    return int(text)


def _since(query: Query) -> tuple[int, float | None]:
    """After which event, and from when on; a time that names no zone is UTC."""
    text = query.text("since") or "0"
    if _is_number(text):
        return int(text), None
    try:
        moment = datetime.fromisoformat(text)
        return 0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise wrong("since", "must be the number of an event, or a time such as 2031-05-04T12:00:00Z") from None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < len(str(MAX_INTEGER))


def _number_cursor(query: Query) -> int | None:
    text = query.text("after")
    if text is None:
        return None
    if not _is_number(text):
        raise bad_cursor("this is no cursor of a list")
    return int(text)
