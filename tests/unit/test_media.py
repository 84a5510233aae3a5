from __future__ import annotations

from typing import TYPE_CHECKING

import av
import pytest

from tests.media import make_audio, make_video

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".flv"])
def test_videos_by_suffix(tmp_path: Path, suffix: str) -> None:
    path = make_video(tmp_path / ("a" + suffix), seconds=0.5, size=(32, 16))
    with av.open(path.decode()) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 6
    assert (frames[0].width, frames[0].height) == (32, 16)


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".opus", ".ogg", ".m4a", ".wav"])
def test_audio_by_suffix_with_tags(tmp_path: Path, suffix: str) -> None:
    path = make_audio(tmp_path / "new folder" / ("a" + suffix), tags={"title": "Prime"})
    with av.open(path.decode()) as container:
        assert {**container.metadata, **container.streams.audio[0].metadata}["title"] == "Prime"
        assert sum(frame.samples for frame in container.decode(audio=0)) == pytest.approx(24_000, rel=0.1)
