"""A job as others see it: the shape of the API, the same for progress, lists and refusals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from mediawatchd.catalog.browse import path_fields
from mediawatchd.paths import unslashed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediawatchd.catalog.jobs import JobRow


class JobStatus(NamedTuple):
    """A job as it is now; `eta_seconds` is None until it can be told."""

    row: JobRow
    current_file: bytes | None
    eta_seconds: float | None


def iso_time(seconds: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC).isoformat()


def path_lists(name: str, paths: Sequence[bytes]) -> dict[str, list[str | None]]:
    """A list of paths and, beside it, the list of their twins."""
    twins = [path_fields("path", unslashed(path)) for path in paths]
    return {name: [twin["path"] for twin in twins], f"{name}_b64": [twin["path_b64"] for twin in twins]}


def job_fields(status: JobStatus) -> dict[str, Any]:
    """`percent` is null until the total is known, and 100 only when everything was processed, whatever came of it."""
    row = status.row
    percent = None
    if row.total is not None:
        percent = 100.0 if row.total == 0 else 1000 * row.processed // row.total / 10
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        **path_lists("scope", row.scope),
        "force": row.force,
        "total": row.total,
        "processed": row.processed,
        "written": row.written,
        "skipped": row.skipped,
        "failed": row.failed,
        "percent": percent,
        **path_fields("current_file", status.current_file),
        "bytes_done": row.bytes_done,
        "eta_seconds": None if status.eta_seconds is None else round(status.eta_seconds, 1),
        "started": iso_time(row.started),
        "finished": iso_time(row.finished),
        "error": row.error,
    }
