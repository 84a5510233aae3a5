"""A library of videos that are alike, in a catalog without its daemon, and the API to ask it by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mediawatchd.control.application import Application
from mediawatchd.model import VideoStream
from tests.catalogs import MEDIA, PROBE, Catalog, file, inode_of
from tests.control import Catalog as Reader
from tests.control import Direct, FakeOperations

if TYPE_CHECKING:
    from tests.control import Answered


class Alike:
    """`video` adds one, `pair` says that two are alike, `get` asks; paths are those below the root."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.operations = FakeOperations()
        self.direct = Direct(
            Application(operations=self.operations, reader=Reader(self.catalog.connection), secret_token=lambda: None)
        )

    def video(
        self, path: bytes, size: int = 1_000, *, width: int = 1920, bitrate: int = 8_000_000, content: object = None,
        inode: int | None = None, links: int = 1,
    ) -> int:  # fmt: skip
        directory, slash, name = path.rpartition(b"/")
        self.catalog.look(directory + slash, file(name, size, inode=inode or inode_of(path), links=links))
        self.catalog.hash(path, content)
        picture = VideoStream("h264", width, width * 9 // 16, 24.0, 0, 8, None)
        self.catalog.probe(path, replace(PROBE, bitrate=bitrate, video=picture))
        return self.id(path)

    def id(self, path: bytes) -> int:
        return self.catalog.row(path).id

    def filesystem_id(self, folder: bytes) -> int:
        query = "SELECT filesystem_id FROM directories WHERE path = ?"
        return int(self.catalog.connection.execute(query, (MEDIA + folder,)).fetchone()[0])

    def pair(
        self, one: bytes, other: bytes, *, verdict: str = "duplicate", distance: float = 10, offset: float = 0,
        part: bytes | None = None,
    ) -> None:  # fmt: skip
        """`offset`: where the first moment of `one` lies on the clock of `other`; `part`: which is contained."""
        a, b = (self.catalog.row(path) for path in (one, other))
        if a.id > b.id:
            a, b, offset = b, a, -offset
        self.catalog.connection.execute(
            "INSERT INTO similar_pairs VALUES (?, ?, ?, ?, 16, ?, 0, 1, ?, ?)",
            (a.id, b.id, verdict, distance, offset, part is not None and self.id(part) == b.id, min(a.size, b.size)),
        )

    def ask(self, target: str, **options: Any) -> Answered:
        return self.direct.ask("GET", target, **options)

    def items(self, target: str) -> list[dict[str, Any]]:
        answer = self.ask(target)
        assert answer.status == 200, answer.content
        items: list[dict[str, Any]] = answer.json["items"]
        return items

    def pairs(self, query: str = "") -> list[tuple[str, str]]:
        return [(short(pair["a"]), short(pair["b"])) for pair in self.items(f"/api/similar?{query}")]


def short(path: str) -> str:
    return path.removeprefix(MEDIA.decode())
