"""A short run of `make fuzz`, the same files each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz.__main__ import Fuzz

if TYPE_CHECKING:
    from pathlib import Path


def test_damaged_files_leave_the_daemon_unharmed_and_each_has_a_result_or_a_reason(tmp_path: Path) -> None:
    fuzz = Fuzz(tmp_path, seed=1)
    fuzz.run(121)  # eleven of each kind
    print("\n".join(fuzz.told()))
    assert fuzz.kinds.total() == 121
    assert len({kind for kind, _ in fuzz.kinds}) == 11
    assert {"decode", "hashed", "not_media", "probed"} <= {reason for _, reason in fuzz.kinds}
    assert fuzz.decoders, "decode processes were seen"
