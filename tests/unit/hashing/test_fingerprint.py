from __future__ import annotations

import math
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediawatchd.hashing.fingerprint import HASH_BYTES, Fingerprint, pack, unpack

SECONDS = st.floats(0, 1e6, width=32)


@st.composite
def fingerprints(draw: st.DrawFn) -> Fingerprint:
    times = draw(st.lists(SECONDS, max_size=40))
    hashes = st.binary(min_size=len(times) * HASH_BYTES, max_size=len(times) * HASH_BYTES)
    return Fingerprint(draw(st.floats(0, 1e6)), tuple(times), draw(hashes), draw(hashes))


@given(fingerprints())
def test_packed_and_unpacked(fingerprint: Fingerprint) -> None:
    assert unpack(pack(fingerprint)) == fingerprint


def test_the_layout() -> None:
    plain, cropped = bytes(range(64)), bytes(range(64, 128))
    blob = pack(Fingerprint(12.5, (1.5, 3.0), plain, cropped))
    expected = struct.pack("<4Bdf", 1, 2, 0, 0, 12.5, 1.5) + plain[:32] + cropped[:32]
    expected += struct.pack("<f", 3.0) + plain[32:] + cropped[32:]
    assert blob == expected


GOOD = pack(Fingerprint(12.5, (1.5,), bytes(32), bytes(32)))


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        GOOD[:11],
        GOOD[:-1],
        GOOD + b"\0",
        b"\2" + GOOD[1:],
        GOOD[:1] + b"\2" + GOOD[2:],
        GOOD[:2] + b"\1" + GOOD[3:],
        GOOD[:4] + struct.pack("<d", math.nan) + GOOD[12:],
        GOOD[:4] + struct.pack("<d", -1) + GOOD[12:],
        GOOD[:12] + struct.pack("<f", math.inf) + GOOD[16:],
    ],
)
def test_anything_else_is_refused(blob: bytes) -> None:
    with pytest.raises(ValueError, match="fingerprint"):
        unpack(blob)


@pytest.mark.parametrize(
    "fingerprint",
    [
        Fingerprint(1.0, (0.5,), bytes(32), bytes(31)),
        Fingerprint(1.0, (0.5, 0.6), bytes(32), bytes(32)),
        Fingerprint(300.0, tuple(range(256)), bytes(256 * 32), bytes(256 * 32)),
    ],
)
def test_what_could_not_be_unpacked_is_not_packed(fingerprint: Fingerprint) -> None:
    with pytest.raises(ValueError, match="hashes"):
        pack(fingerprint)


def test_the_daemon_imports_neither_pyav_nor_numpy() -> None:
    program = (
        "import sys, mediawatchd.hashing.fingerprint, mediawatchd.hashing.attempt;"
        "sys.exit(', '.join({'av', 'numpy', 'PIL', 'imagehash'} & set(sys.modules)) or None)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
