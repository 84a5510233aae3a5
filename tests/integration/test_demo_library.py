"""The whole demo library, as `make run` builds it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import av
import pytest

from mediawatchd.cli.demo import LIBRARY, build
from mediawatchd.cli.footage import Audio, Video

if TYPE_CHECKING:
    from pathlib import Path


def test_every_file_is_what_the_table_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVT_LOG", "1")
    directory = os.fsencode(tmp_path)
    assert build(directory) == list(LIBRARY)
    for entry in LIBRARY:
        media = entry.content
        if isinstance(media, Video | Audio):
            with open(os.path.join(directory, entry.path), "rb") as file, av.open(file) as container:
                assert container.duration is not None
                assert container.duration / av.time_base == pytest.approx(media.seconds, abs=0.2), entry.path
                assert len(container.streams.video) == isinstance(media, Video)
                assert len(container.streams.audio) == (isinstance(media, Audio) or media.audio is not None)
    assert sum(os.path.getsize(os.path.join(directory, entry.path)) for entry in LIBRARY) < 30_000_000
