"""The HTTP API as a Flask application; it serves both listeners.

Its code runs on the listeners' worker threads, several at once. Around every call it checks who asks, turns what is
refused into JSON, adds the headers that keep a browser from misusing an answer, counts, and writes down who changed
what. It never touches a file, and it holds no state but its counters.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING, cast

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from mediawatchd.control import answers
from mediawatchd.control.calls import Ask
from mediawatchd.control.fields import Body, Query
from mediawatchd.control.peers import CALLER, Access, Caller, Claims
from mediawatchd.control.routes import Routes
from mediawatchd.errors import ConfigurationError, Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import WSGIApplication

    from mediawatchd.catalog.browse import Reader
    from mediawatchd.control.calls import Handler, Operations

log = logging.getLogger(__name__)

MOST_BODY_BYTES = 128 * 1024
_HEALTH = "/healthz"
_OTHER = "other"
"""The route of requests that no call matches: paths that clients make up must not become labels."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


class Application:
    """`wsgi` serves any number of threads. The lock guards the counters."""

    def __init__(self, *, operations: Operations, reader: Reader, secret_token: Callable[[], str | None]) -> None:
        self._access = Access(secret_token=secret_token)
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, int]] = Counter()
        self._flask = Flask("mediawatchd.control", static_folder=None, template_folder=None)
        self._flask.config["MAX_CONTENT_LENGTH"] = MOST_BODY_BYTES
        self._flask.url_map.merge_slashes = False
        routes = Routes(operations=operations, reader=reader)
        for method, handlers in (("GET", routes.reading()), ("POST", routes.changing())):
            for route, handler in handlers.items():
                self._flask.add_url_rule(route, f"{method} {route}", self._view(handler), methods=[method])
        self._flask.before_request(self._admit)
        self._flask.after_request(self._finish)
        self._flask.register_error_handler(Refused, _refused)
        self._flask.register_error_handler(ConfigurationError, _bad_configuration)
        self._flask.register_error_handler(HTTPException, _http_error)
        self._flask.register_error_handler(Exception, _internal_error)

    @property
    def wsgi(self) -> WSGIApplication:
        """For a server that puts a `Caller` into the environment under `CALLER`."""
        return self._flask.wsgi_app

    def requests(self) -> dict[tuple[str, int], int]:
        """How many requests were answered, by route (as a template, never a path) and HTTP status."""
        with self._lock:
            return dict(self._counts)

    def _view(self, handler: Handler) -> Callable[..., Response]:
        def view(**parts: str) -> Response:
            ask = Ask(
                query=Query(request.environ["QUERY_STRING"]),
                body=Body(request.get_data(cache=False) if request.method == "POST" else b""),
                caller=_caller(),
                wants_ndjson=request.accept_mimetypes.best_match([answers.JSON, answers.NDJSON]) == answers.NDJSON,
                only_head=request.method == "HEAD",
            )
            answer = handler(ask, **parts)
            if isinstance(answer, Response):
                return answer
            return Response(answers.document(answer), mimetype=answers.JSON)

        return view

    def _admit(self) -> None:
        """Raises Refused for a request that may not be made, before anything of its body is read."""
        # A probe of liveness knows no token, and learns nothing but that.
        if request.path != _HEALTH:
            headers = request.headers
            claims = Claims(headers.get("Host"), headers.get("Origin"), headers.get("Authorization"))
            self._access.check(_caller(), claims)
        if request.method == "POST" and request.mimetype != answers.JSON:
            # A page of another site can post forms, but not this type without asking first.
            raise Refused(
                415, "unsupported_media_type", "changing calls take JSON only",
                hint="Send the header `Content-Type: application/json`, also with an empty body.",
            )  # fmt: skip

    def _finish(self, response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        route = request.url_rule.rule if request.url_rule is not None else _OTHER
        with self._lock:
            self._counts[route, response.status_code] += 1
        if request.method not in {"GET", "HEAD", "OPTIONS"}:
            peer = _caller().peer
            log.info(
                "change asked for call=%s status=%d listener=%s uid=%s pid=%s address=%s",
                route, response.status_code, peer.kind, peer.uid, peer.pid, peer.address,
            )  # fmt: skip
        return response


def _caller() -> Caller:
    return cast("Caller", request.environ[CALLER])


def _refused(error: Refused) -> Response:
    response = Response(answers.refusal(error), status=error.status, mimetype=answers.JSON)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="mediawatchd"'
    return response


def _bad_configuration(error: ConfigurationError) -> Response:
    return _refused(Refused(400, "bad_configuration", str(error), hint=error.hint))


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    response = Response(answers.http_refusal(status, error.description or error.name), status=status)
    for name, value in error.get_headers():
        if name != "Content-Type":  # Allow, and where a redirection leads
            response.headers[name] = value
    response.mimetype = answers.JSON
    return response


def _internal_error(error: Exception) -> Response:
    log.error("call failed call=%s %s", request.method, request.path, exc_info=error)
    return Response(answers.http_refusal(500, "the daemon made a mistake"), status=500, mimetype=answers.JSON)
