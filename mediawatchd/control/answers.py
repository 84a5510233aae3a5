"""What a request is answered with: JSON, and for a refusal always the same three fields.

`CODES` lists every code that a refusal may carry; scripts tell refusals apart by it, so a code is never renamed,
and the documentation is checked against this list.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mediawatchd.errors import Refused

JSON = "application/json"
NDJSON = "application/x-ndjson"

CODES: Mapping[str, str] = {
    "already_running": "a job of that kind, started by a person, runs over an overlapping scope; `job` is its id",
    "bad_configuration": "the new configuration has mistakes, or cannot be read; the old one stays in force",
    "bad_cursor": "`after` is not what an earlier page of the same list gave as `next`",
    "bad_value": "a field has the wrong type, or a value that makes no sense",
    "body_too_large": "the body of the request is larger than any call needs",
    "catalog_busy": "the catalog could not be written in time, and nothing was changed",
    "client_gone": "the client left before the answer was ready",
    "foreign_host": "the Host header names another machine",
    "foreign_origin": "a page of another site sent the request",
    "headers_too_large": "the request line and headers are larger than any call needs",
    "http_error": "an HTTP error that has no code of its own",
    "http_version_not_supported": "the request is not HTTP/1.0 or HTTP/1.1",
    "internal_error": "a mistake in the daemon; its log has the details",
    "length_required": "the request has a body of unknown length",
    "malformed_request": "the request is not proper HTTP, or its body is not proper JSON",
    "method_not_allowed": "the call exists, with another method",
    "missing_field": "a field that the call needs is not there",
    "not_found": "the catalog knows no such file, or there is no such job",
    "not_replaced": "the root is not in the state `replaced`",
    "not_running": "nothing of that kind runs that could be stopped",
    "outside_roots": "paths lie outside all configured roots; `invalid` names them",
    "paused": "hashing and walks are paused, so this would never end",
    "remote_without_token": "a request from another machine, while no secret_token is configured",
    "restart_required": "the new configuration changes what only a restart can; the message names the keys",
    "still_configured": "only a root that has left the configuration can be forgotten",
    "stopping": "the daemon is shutting down",
    "timeout": "what was waited for has not happened in time; the body says what is still open",
    "too_many_connections": "the listener has as many connections as it takes",
    "too_many_streams": "as many streams and waits are open as the listener takes",
    "unauthorized": "the bearer token is missing or wrong",
    "unhealthy": "the daemon does not work as it should; its status says more",
    "unknown_call": "there is no such call",
    "unknown_field": "the call has no field of that name",
    "unknown_path": "the catalog knows no such files or folders; `invalid` names them",
    "unknown_root": "no root has that path",
    "unsupported_media_type": "a changing call without Content-Type: application/json",
}

_BY_STATUS = {
    400: "malformed_request",
    404: "unknown_call",
    405: "method_not_allowed",
    411: "length_required",
    413: "body_too_large",
    414: "headers_too_large",
    415: "unsupported_media_type",
    431: "headers_too_large",
    500: "internal_error",
    503: "too_many_connections",
    505: "http_version_not_supported",
}

_HINTS = {
    "internal_error": "The daemon's log has the details.",
    "malformed_request": "Send HTTP/1.1 with a Host header, and a JSON object as body.",
    "method_not_allowed": "Reading calls take GET, changing calls take POST; the Allow header names them.",
    "too_many_connections": "Close connections that are no longer needed, and try again.",
    "unknown_call": "The calls are listed in the documentation of the HTTP API.",
}


def document(value: Mapping[str, Any]) -> bytes:
    """A JSON document, ended by a newline for whoever reads it on a terminal."""
    # A lone surrogate, which no path field holds, must not cost the whole answer.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def lines(values: Iterable[Mapping[str, Any]]) -> bytes:
    """The values as NDJSON."""
    return b"".join(map(document, values))


def refusal(error: Refused) -> bytes:
    """The body that says why a request was refused."""
    return document({"error": str(error), "code": error.code, "hint": error.hint, **error.detail})


def http_refusal(status: int, text: str) -> bytes:
    """The body for an error that HTTP itself knows by its status; `text` says it in words."""
    code = _BY_STATUS.get(status, "http_error")
    return document({"error": text, "code": code, "hint": _HINTS.get(code, "")})
