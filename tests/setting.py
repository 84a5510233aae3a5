"""An application over made-up operations, asked without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.control import answers
from mediawatchd.control.application import Application
from tests.control import Catalog, Direct, FakeOperations
from tests.unit.catalog.test_browse import _add_directory, _add_file, _catalog

if TYPE_CHECKING:
    from collections.abc import Iterator


CHANGING = [
    "/api/scan",
    "/api/scan/stop",
    "/api/hash",
    "/api/hash/stop",
    "/api/jobs/3/cancel",
    "/api/duplicates/verify",
    "/api/similar/dismiss",
    "/api/similar/undismiss",
    "/api/sync",
    "/api/pause",
    "/api/resume",
    "/api/reload",
    "/api/roots/accept",
    "/api/roots/confirm-missing",
    "/api/roots/forget",
]

READING = [
    "/api/version",
    "/api/status",
    "/api/config",
    "/api/scan/status",
    "/api/hash/status",
    "/api/jobs",
    "/api/jobs/3",
    "/api/jobs/3/wait",
    "/api/files",
    "/api/file",
    "/api/duplicates",
    "/api/similar",
    "/api/history",
    "/api/events",
    "/metrics",
    "/healthz",
]


class Setting:
    """The application with everything around it that a test may look at or change."""

    def __init__(self) -> None:
        self.operations = FakeOperations()
        self.catalog = Catalog(_catalog(":memory:"))
        self.token: str | None = None
        self.application = Application(operations=self.operations, reader=self.catalog, secret_token=lambda: self.token)
        self.direct = Direct(self.application)
        self.ask = self.direct.ask

    def add_files(self, count: int) -> None:
        directory = _add_directory(self.catalog.connection, 1, b"/media/a/")
        for number in range(count):
            _add_file(self.catalog.connection, directory, b"%04d.mkv" % number, size=number)


@pytest.fixture
def setting() -> Iterator[Setting]:
    setting = Setting()
    yield setting
    setting.catalog.connection.close()


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    """Asserts that an answer is a proper refusal."""
    assert (answer.status, answer.json["code"]) == (status, code), answer.content
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json["error"]
    assert isinstance(answer.json["hint"], str)
    assert code in answers.CODES
    body: dict[str, Any] = answer.json
    return body
