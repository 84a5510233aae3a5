"""What a video looks like: both of its hashes, from one opening and, where exact frames serve both, one decoding.

Runs in decode processes only: it imports PyAV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.hashing.container import open_container
from mediawatchd.hashing.frames import Frames, best_picture
from mediawatchd.hashing.sampling import Sampler, exact_times, fingerprint_of
from mediawatchd.hashing.video import frame_hash, joined, phash_times

if TYPE_CHECKING:
    from mediawatchd.hashing.fingerprint import Fingerprint


def looks_of(
    descriptor: int, path: bytes, video_phash: bool, fingerprint: bool
) -> tuple[str | None, Fingerprint | None]:
    """The `video_phash` and the fingerprint of the file behind `descriptor`, each if it is asked for; None for what
    it does not have. `path` helps with names only.

    Raises `Unreadable`, OSError and MemoryError.
    """
    with open_container(descriptor, path) as container:
        stream = best_picture(container)
        if stream is None:
            return None, None
        frames, sampler = Frames(container, stream), Sampler()
        length = frames.length_seconds() if fingerprint else None
        samples = sampler.keyframes(frames, length) if length else []
        for_string = phash_times(frames.duration_seconds()) if video_phash else []
        for_samples = exact_times(length) if length and not samples else []
        if for_samples and for_string and frames.is_guessed:
            samples = [sampler.sample(*found) for found in frames.at(for_samples, forward=True)]
            for_samples = []
        hashes = []
        for time, frame in frames.at(sorted({*for_string, *for_samples}), forward=not for_string):
            if time in for_string:
                hashes.append(frame_hash(frame))
            if time in for_samples:
                samples.append(sampler.sample(time, frame))
        return joined(hashes), fingerprint_of(length, samples) if length else None
