"""Replaces a mono mix in which the channels cancel each other by the first channel.

In:  a unit's mono samples float32 [m], mixed by ffmpeg.
Out: the same, or the samples of the first channel if the mix is silent and that channel is not.
Bad: if the second decode fails, the mix is kept: the first decode has already recorded what is wrong with the file.
"""

from __future__ import annotations

import math
from fractions import Fraction

import ffmpeg
import numpy as np

from ..schemas.elements import SAMPLE_RATE_HZ, Unit
from ..schemas.errors import InputError
from .decode_command import DecodePlan, sound_filter
from .ffmpeg import MEMORY_BYTES, Limits, guarded_input, run

SILENT_DBFS = -60.0
"""A mix below this level may be the rest of channels that cancel each other; lossy codecs leave about -70 to -80 dBFS."""

LOUDER_DB = 20.0
"""Least level of the channel above the mix. Mixing two different channels costs at most 6 dB."""


def level_dbfs(samples: np.ndarray) -> float:
    """Root mean square of samples float32 [m], in dB below a full-scale square wave; -inf for none.

    >>> level_dbfs(np.full(4, 0.1, np.float32)), level_dbfs(np.zeros(4, np.float32))
    (-20.0, -inf)
    """
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return round(10 * math.log10(power), 6) if power else -math.inf


def may_have_cancelled(mix: np.ndarray, unit: Unit) -> bool:
    """Whether a mix is so quiet that its channels may have cancelled each other."""
    return unit.probe.audio_channels > 1 and len(mix) > 0 and level_dbfs(mix) < SILENT_DBFS


def louder(mix: np.ndarray, channel: np.ndarray) -> np.ndarray:
    """The channel if it is at least LOUDER_DB louder than the mix, otherwise the mix."""
    return channel if level_dbfs(channel) > max(level_dbfs(mix), -120.0) + LOUDER_DB else mix


def channel_command(source: str, unit: Unit, plan: DecodePlan) -> list[str]:
    """The ffmpeg command for the samples of only the first channel: f32le on one pipe, on the same clock as the mix."""
    reading: dict[str, object] = {**guarded_input(source), "threads": 1}
    if plan.seek_s is not None:
        reading["ss"] = f"{float(plan.seek_s):.6f}"
    sound = ffmpeg.input(source, copyts=None, **reading)[str(unit.probe.audio_stream)]
    heard = f"pan=mono|c0=c0,{sound_filter(plan, unit.probe)}"
    arguments = ffmpeg.output(sound, "pipe:{pipe0}", format="f32le", af=heard).get_args()
    return ["ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-filter_threads", "1", *arguments]


def heard_samples(
    mix: np.ndarray, source: str, unit: Unit, plan: DecodePlan, wall_s: float, stall_s: float
) -> np.ndarray:
    """The samples of a unit: the mix, or the first channel if the channels cancel each other in the mix."""
    if not may_have_cancelled(mix, unit):
        return mix
    seconds: Fraction = plan.sound_end_s - plan.sound_start_s
    limits = Limits(wall_s, stall_s, 2 * int(seconds + 2) * SAMPLE_RATE_HZ * 4 + (1 << 20))
    try:
        finished = run(channel_command(source, unit, plan), 1, limits, memory_bytes=MEMORY_BYTES)
    except InputError:
        return mix
    found = finished.outputs[0]
    return louder(mix, np.frombuffer(found, np.float32, len(found) // 4))
