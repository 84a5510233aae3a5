"""Listeners with real sockets over made-up operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.control.application import Application
from tests.control import Catalog, FakeOperations, serving
from tests.unit.catalog.test_browse import _catalog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mediawatchd.control.server import Server


@pytest.fixture
def operations() -> FakeOperations:
    return FakeOperations()


@pytest.fixture
def application(operations: FakeOperations) -> Iterator[Application]:
    connection = _catalog(":memory:")
    yield Application(operations=operations, reader=Catalog(connection), secret_token=lambda: None)
    connection.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "control.sock")


@pytest.fixture
def server(application: Application, path: str) -> Iterator[Server]:
    with serving(application, socket_path=path.encode()) as server:
        yield server


@pytest.fixture(params=["unix", "tcp"])
def address(request: pytest.FixtureRequest, server: Server) -> Any:
    """Each listener in turn."""
    return server.addresses[request.param == "tcp"]
