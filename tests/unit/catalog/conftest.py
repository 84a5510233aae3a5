"""The catalog of a test, which must hold together whatever the test did to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.catalogs import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    """In memory, with the root /media/ on one file system; checked after the test."""
    catalog = Catalog()
    try:
        yield catalog
        catalog.check()
    finally:
        catalog.connection.close()
