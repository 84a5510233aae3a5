"""What a video looks like: both of its hashes, from one opening and, where exact frames serve both, one decoding.

Runs in decode processes only: it imports PyAV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.hashing.frames import Frames, best_picture
from mediawatchd.hashing.sampling import Sampler, exact_times, fingerprint_of
from mediawatchd.hashing.video import frame_hash, joined, phash_times
from mediawatchd.model import FINGERPRINT, PERCEPTUAL_HASH

if TYPE_CHECKING:
    from av.container import InputContainer

    from mediawatchd.hashing.fingerprint import Fingerprint


def looks_of(container: InputContainer, lacks: int, *, exact: bool) -> tuple[str | None, Fingerprint | None]:
    """The `video_phash` and the fingerprint of an open file, each if `lacks` has it; None for what the file does not
    have. With `exact` the fingerprint of a long video has a few exact frames beside its keyframes.

    Raises av.FFmpegError and MemoryError.
    """
    stream = best_picture(container)
    if stream is None:
        return None, None
    frames, sampler = Frames(container, stream), Sampler()
    length = frames.length_seconds() if lacks & FINGERPRINT else None
    samples = sampler.keyframes(frames, length) if length else []
    for_string = phash_times(frames.duration_seconds()) if lacks & PERCEPTUAL_HASH else []
    for_samples = exact_times(length, few=bool(samples)) if length and (exact or not samples) else []
    if frames.is_guessed:  # the string has what the ffmpeg command meets there, samples what is shown at that moment
        found = frames.at(for_samples, forward=not samples, sure=True)
        samples += [sampler.sample(frames.seconds_of(frame), frame) for _, frame in found]
        for_samples = []
    hashes = []
    for time, frame in frames.at(sorted({*for_string, *for_samples}), forward=not (for_string or samples)):
        if time in for_string:
            hashes.append(frame_hash(frame))
        if time in for_samples:
            samples.append(sampler.sample(time, frame))
    return joined(hashes), fingerprint_of(length, samples) if length else None
