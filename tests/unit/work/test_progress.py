from __future__ import annotations

import pytest

from mediawatchd.catalog.jobs import JobRow
from mediawatchd.work.progress import JobStatus, iso_time, job_fields, path_lists

ROW = JobRow(7, "scan", "running", (b"/media/",), False, 200, 50, 20, 25, 5, 12345, 1_700_000_000.9, None, None)


def test_the_shape_of_a_job_that_scripts_use() -> None:
    fields = job_fields(JobStatus(ROW, b"/media/a.mkv", 12.34))
    assert fields == {
        "id": 7,
        "kind": "scan",
        "state": "running",
        "scope": ["/media"],
        "scope_b64": [None],
        "force": False,
        "total": 200,
        "processed": 50,
        "written": 20,
        "skipped": 25,
        "failed": 5,
        "percent": 25.0,
        "current_file": "/media/a.mkv",
        "current_file_b64": None,
        "bytes_done": 12345,
        "eta_seconds": 12.3,
        "started": "2023-11-14T22:13:20+00:00",
        "finished": None,
        "error": None,
    }


@pytest.mark.parametrize(
    ("total", "processed", "percent"), [(None, 0, None), (0, 0, 100.0), (3, 1, 33.3), (3, 3, 100.0)]
)
def test_percent(total: int | None, processed: int, percent: float | None) -> None:
    row = ROW._replace(total=total, processed=processed)
    assert job_fields(JobStatus(row, None, None))["percent"] == percent


def test_a_job_is_at_100_percent_only_when_all_is_processed() -> None:
    row = ROW._replace(total=100_000, processed=99_999)
    assert job_fields(JobStatus(row, None, None))["percent"] < 100


def test_names_that_are_no_text_have_their_bytes_beside_them() -> None:
    row = ROW._replace(scope=(b"/media/\xff/", b"/"))
    fields = job_fields(JobStatus(row, b"/media/\xff.mkv", None))
    assert fields["scope"] == ["/media/\ufffd", "/"]
    assert fields["scope_b64"] == ["L21lZGlhL/8=", None]
    assert (fields["current_file"], fields["current_file_b64"]) == ("/media/\ufffd.mkv", "L21lZGlhL/8ubWt2")
    assert path_lists("x", []) == {"x": [], "x_b64": []}


def test_no_time_is_null() -> None:
    assert iso_time(None) is None
