"""decode_unit: one decoder process decodes the frames of a unit's ticks and its sound, on the presentation clock.

In:  a planned unit, and the address of its file.
Out: `Decoded`: frames uint8 [n, H, W, 3], ticks and pts int32 [n], samples float32 [m]; and its failures.
Bad: a unit that ffmpeg cannot decode has `decoded` None and a Failure("decode"). A partly decoded unit keeps the part and gets
     a Failure of kind "truncated" or "damaged" with ffmpeg's message. Disk and memory errors are raised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from ..models.preprocessing import Preprocessing
from ..schemas.elements import SAMPLE_RATE_HZ, Decoded, Grid, Unit
from ..schemas.errors import Failure, InputError
from ..schemas.senses import FrameNeed
from .decode_command import DecodePlan, ShotSearch, decode_command, plan_decode, suits_nvdec, tick_of
from .downmix import heard_samples
from .ffmpeg import MEMORY_BYTES, Finished, Limits, run
from .frame_choice import EXACT, KEY
from .frame_times import presentation_ms, printed_pts
from .seek_complaints import UNINDEXED, is_whole, without_seek_complaints
from .sense_frames import OWN_PIPES, frame_bytes, parse_needs
from .unit_cuts import small_bytes, unit_cuts

OVERRUN_MARGIN_MS = 50
"""If media end within this time of the decoding limit of a last unit, they are taken to go on beyond it."""


def assemble(
    finished: Finished,
    unit: Unit,
    plan: DecodePlan,
    grid: Grid,
    wanted: Preprocessing,
    shots: ShotSearch,
    needs: Sequence[FrameNeed] = (),
) -> Decoded:
    """Converts the decoder's output to arrays. An incomplete last frame is dropped."""
    pixels, tick_report, shot_report, sound, small, *further = finished.outputs
    probe = unit.probe
    pts = printed_pts(bytes(tick_report))
    height, width = wanted.size
    frame_bytes = height * width * 3
    count = min(len(pts), len(pixels) // frame_bytes)
    frames = np.frombuffer(pixels, np.uint8, count * frame_bytes).reshape(count, height, width, 3)
    samples = np.frombuffer(sound, np.float32, len(sound) // 4)
    ticks = np.array([tick_of(at, probe, grid) for at in pts[:count]], np.int32)
    at_ms = np.array([presentation_ms(at, probe) for at in pts[:count]], np.int32)
    # when the frame size changes, ffmpeg restarts its filters, and a tick may get a second frame
    first = np.flatnonzero(np.diff(ticks, prepend=np.iinfo(np.int32).min) > 0)
    if len(first) < count:
        frames, ticks, at_ms = frames[first], ticks[first], at_ms[first]
    sound_start_ms = int(plan.sound_start_s * 1000)
    heard = _span_with_sound(unit, plan, len(samples), sound_start_ms)
    return Decoded(
        frames,
        ticks,
        at_ms,
        samples,
        sound_start_ms,
        *heard,
        unit_cuts(shots, small, bytes(shot_report), unit),
        parse_needs(further, needs, probe, lambda at: tick_of(at, probe, grid)),
    )


def _span_with_sound(unit: Unit, plan: DecodePlan, samples: int, sound_start_ms: int) -> tuple[int, int]:
    """The part of the unit between the sound stream's first and last sample."""
    ends = sound_start_ms + samples * 1000 // SAMPLE_RATE_HZ
    start = max(unit.start_ms, unit.probe.audio_start_ms)
    end = ends if unit.is_last else min(ends, unit.end_ms)
    return (start, end) if end > start else (unit.start_ms, unit.start_ms)


def covered_windows(unit: Unit, decoded: Decoded, grid: Grid) -> range:
    """The windows that a decoded unit covers: the planned ones; for a last unit, up to the end of the media."""
    last = unit.last_window
    if unit.is_last:
        by_frames = int(decoded.ticks[-1]) // grid.window_ticks + 1 if len(decoded.ticks) else 0
        last = max(last, by_frames, grid.windows(decoded.sound_end_ms))
    return range(unit.first_window, last)


def unit_samples(decoded: Decoded, start_s: Fraction) -> np.ndarray:
    """The samples from `start_s` on the presentation clock on."""
    offset = round((start_s - Fraction(decoded.samples_start_ms, 1000)) * SAMPLE_RATE_HZ)
    return decoded.samples[max(0, offset) :]


def decode_unit(
    unit: Unit,
    source: str,
    grid: Grid,
    wanted: Preprocessing,
    options: DecodeLimits,
    needs: Sequence[FrameNeed] = (),
) -> tuple[Decoded | None, tuple[Failure, ...]]:
    """Decodes one unit: its frames and samples, and its failures. Without frames and samples there is always a failure."""
    plan = plan_decode(unit, grid)
    pipes = OWN_PIPES + 2 * len(needs)
    limits = unit_limits(unit, grid, wanted, options, needs)

    def attempt(nvdec: bool) -> Finished:
        command = decode_command(
            source, unit, plan, grid, wanted, options.shots, needs, frames=options.frames, nvdec=nvdec
        )
        return run(command, pipes, limits, nice=options.nice, memory_bytes=None if nvdec else MEMORY_BYTES)

    try:
        finished = attempt(nvdec=True) if options.nvdec and suits_nvdec(unit.probe) else None
        if finished is None or finished.exit_code or not finished.outputs[0]:  # the CPU may decode what the GPU cannot
            finished = attempt(nvdec=False)
    except InputError as error:
        return None, (Failure.of("decode", error, unit.start_ms, unit.end_ms),)
    return finished_unit(finished, unit, source, grid, wanted, options, needs)


def unit_limits(
    unit: Unit, grid: Grid, wanted: Preprocessing, options: DecodeLimits, needs: Sequence[FrameNeed]
) -> Limits:
    """The limits of the process that decodes a unit: twice the bytes that its span can hold."""
    plan = plan_decode(unit, grid)
    seconds = plan.sound_end_s - plan.sound_start_s
    expected = int(seconds * grid.tick_hz + 2) * math.prod(wanted.size) * 3 + int(seconds + 2) * SAMPLE_RATE_HZ * 4
    expected += small_bytes(options.shots, plan)
    expected += sum(int(seconds * grid.tick_hz + 2) * frame_bytes(need, unit.probe) for need in needs)
    return Limits(options.wall_s(seconds), options.stall_s, 2 * expected + (1 << 20))


def finished_unit(
    finished: Finished,
    unit: Unit,
    source: str,
    grid: Grid,
    wanted: Preprocessing,
    options: DecodeLimits,
    needs: Sequence[FrameNeed],
) -> tuple[Decoded | None, tuple[Failure, ...]]:
    """A unit's frames, samples and failures, from what its decoder gave."""
    plan = plan_decode(unit, grid)
    decoded = assemble(finished, unit, plan, grid, wanted, options.shots, needs)
    wall_s = options.wall_s(plan.sound_end_s - plan.sound_start_s)
    samples = heard_samples(decoded.samples, source, unit, plan, wall_s, options.stall_s)
    if samples is not decoded.samples:
        decoded = replace(decoded, samples=samples)
    sought = plan.seek_s is not None and unit.probe.container in UNINDEXED
    if sought and (options.frames == KEY or is_whole(decoded, unit, grid)):
        finished = replace(finished, errors=without_seek_complaints(finished.errors))
    judged, failures = judge(decoded, finished, unit)
    return judged, failures + overrun(decoded, plan, unit)


def judge(decoded: Decoded, finished: Finished, unit: Unit) -> tuple[Decoded | None, tuple[Failure, ...]]:
    """Checks whether the decoder gave the whole unit, and records failures. Messages without a loss are recorded as damage."""
    empty = not len(decoded.ticks) and decoded.sound_end_ms <= decoded.sound_start_ms
    code = finished.exit_code
    ended = f"the decoder crashed (signal {-code})" if code < 0 else f"ffmpeg ended with {code}"
    complaint = finished.errors or ended
    troubled = bool(finished.errors or finished.exit_code)
    if empty and (troubled or unit.number == 0):
        words = complaint if troubled else "no frame and no sound came out of the decoder"
        return None, (Failure.of("decode", InputError("undecodable", words), unit.start_ms, unit.end_ms),)
    if not troubled:
        return decoded, ()
    reached_ms = max([decoded.sound_end_ms, *(decoded.pts_ms[-1:] + 1000)])
    promised_ms = min(unit.end_ms, unit.probe.duration_ms)
    if reached_ms + 1000 < promised_ms:
        error = InputError(
            "truncated", f"the file promises {promised_ms} ms, media ends near {reached_ms} ms: {complaint}"
        )
        return decoded, (Failure.of("decode", error, int(reached_ms), promised_ms),)
    return decoded, (Failure.of("decode", InputError("damaged", complaint), unit.start_ms, unit.end_ms),)


def overrun(decoded: Decoded, plan: DecodePlan, unit: Unit) -> tuple[Failure, ...]:
    """A failure when the media of a last unit go on beyond the decoding limit, so that the rest was not read."""
    if not unit.is_last:
        return ()
    reached_ms = max([decoded.sound_end_ms, *decoded.pts_ms[-1:]])
    ends_ms = int(plan.sound_end_s * 1000)
    if reached_ms < ends_ms - OVERRUN_MARGIN_MS:
        return ()
    words = (
        f"the header promises {unit.probe.duration_ms} ms; media go on beyond {ends_ms} ms, and were read up to there"
    )
    return (Failure.of("decode", InputError("longer", words), ends_ms, ends_ms),)


@dataclass(frozen=True)
class DecodeLimits:
    """Settings of the decoder processes."""

    shots: ShotSearch = ShotSearch()
    frames: str = EXACT
    """Which frames are decoded: one of `frame_choice.FRAMES`."""
    stall_s: float = 120.0
    timeout_s: float = 0.0
    """Wall limit of one unit; 0 allows 60 s and 20 times the unit's length."""
    nvdec: bool = False
    """Decode supported streams on the GPU. Other streams, and those that fail there, are decoded on the CPU."""
    nice: int = 5
    """Niceness of decoder processes: on a busy core, the models go first."""

    def wall_s(self, seconds: Fraction) -> float:
        return self.timeout_s or 60 + 20 * float(seconds)
