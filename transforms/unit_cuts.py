"""Finds where new shots start in one unit, from the decoder's output: ffmpeg's scene scores, or small pictures. Pure."""

from __future__ import annotations

import numpy as np

from ..schemas.elements import Unit
from .decode_command import SHOT_HZ, DecodePlan, ShotSearch
from .frame_times import presentation_ms, printed_pts
from .shots import CONTEXT_MS, detector
from .small_pictures import PICTURE_BYTES

REPORT_BYTES = 64
"""Approximate largest number of bytes that the metadata filter prints per frame."""


def small_bytes(shots: ShotSearch, plan: DecodePlan) -> int:
    """Largest number of bytes of a unit's small pictures and their printed pts."""
    seconds = plan.video_end_s - plan.video_start_s + 2 * CONTEXT_MS // 1000
    return int(seconds * SHOT_HZ) * (PICTURE_BYTES + REPORT_BYTES) if shots.pictures else 0


def unit_cuts(shots: ShotSearch, small: bytes | bytearray, report: bytes, unit: Unit) -> np.ndarray:
    """int32 [c]: presentation times in ms of the first frames of the new shots that start in a unit."""
    times = np.array([presentation_ms(at, unit.probe) for at in printed_pts(report)], np.int64)
    if shots.pictures:
        count = min(len(times), len(small) // PICTURE_BYTES)
        pictures = np.frombuffer(small, np.uint8, count * PICTURE_BYTES).reshape(count, PICTURE_BYTES)
        times = cut_times(shots, pictures, times[:count])
    inside = (times >= unit.start_ms) & (unit.is_last | (times < unit.end_ms))
    return times[inside].astype(np.int32)


def cut_times(shots: ShotSearch, pictures: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
    """Times of new shots, in ms. If the clock goes back (files joined byte by byte), skips frames until it has caught up."""
    if not len(times_ms):
        return times_ms
    latest = np.maximum.accumulate(times_ms)
    rising = np.concatenate([[True], times_ms[1:] > latest[:-1]])
    if not rising.all():
        pictures, times_ms = pictures[rising], times_ms[rising]
    return times_ms[detector(shots.detector, shots.device)(pictures, times_ms)]
