"""DecodeUnits: one decoder process a unit gives the frames of its ticks and its sound, on the presentation clock.

In:  groups of `UnitFeatures` that hold only their plan (Unit).
Out: the same groups with `decoded` set: frames uint8 [n, S, S, 3], ticks and pts int32 [n], samples float32 [m].
Bad: what ffmpeg cannot decode leaves `decoded` None and a Failure("decode"); what it decodes in part keeps the part
     and adds a Failure ("truncated" or "damaged") with ffmpeg's own words. Disk and memory errors are raised.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction

import apache_beam as beam
import ffmpeg
import numpy as np
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from ..schemas.elements import SAMPLE_RATE_HZ, Decoded, Grid, Group, Probe, Unit, UnitFeatures
from ..schemas.errors import Failure, InputError
from .ffmpeg import Finished, Limits, file_url, guarded_input, run
from .metrics import StageMetrics
from .stage import Stage

SHOT_PIXELS = (64, 36)
"""Shots are found on small pictures of every frame: 3% of the decode time, and noise is averaged out. In colour: grey
misses cuts between scenes of like brightness (20 of 73 in the sample bucket at a threshold of 0.3)."""

SCALER = "bicubic+full_chroma_inp+full_chroma_int+accurate_rnd"
"""With full-size RGB going in: the same pixels as PIL's antialiased bicubic, which open_clip uses, to 0.12 of 255 in
the mean, and embeddings to a cosine of 0.9997 and better. Scaling YUV is 0.998. Only ticks are scaled: it costs little."""

GAP_S = 0.02
"""A jump of the sound's timestamps above this is filled with silence or cut, so that sample n stays at time n."""

CONTEXT_MS = 10_000
"""Sound decoded beyond a unit's ends, so that a sentence that crosses the cut is heard whole on both sides."""

OVERRUN = 2
"""A last unit may run this many times longer than the header said before the rest is called endless."""


@dataclass(frozen=True)
class DecodePlan:
    """The instants of one unit, exactly. `*_s` are on the presentation clock, the filters' numbers on ffmpeg's."""

    video_start_s: Fraction
    video_end_s: Fraction
    sound_start_s: Fraction
    sound_end_s: Fraction
    seek_s: Fraction | None
    """What `-ss` is given; None reads from the start of the file."""


def plan_decode(unit: Unit, grid: Grid) -> DecodePlan:
    """What to decode for a unit. A last unit is given room beyond the header's word."""
    seconds = Fraction(grid.window_ticks) / grid.tick_hz
    start, end = unit.first_window * seconds, unit.last_window * seconds
    context = Fraction(CONTEXT_MS, 1000)
    sound_start = max(Fraction(0), start - context)
    if unit.is_last:
        end = start + (end - start) * OVERRUN
    seek = sound_start + unit.probe.zero_s - unit.probe.seek_base_s - Fraction(1, 10)
    return DecodePlan(
        start, end, sound_start, end if unit.is_last else end + context, seek if start > 0 and seek > 0 else None
    )


def tick_expression(probe: Probe, grid: Grid, pts: str) -> str:
    """The tick that a pts falls into, as an ffmpeg expression over whole numbers: exact where a double would round.

    tick = floor((pts * time_base - zero) * tick_hz), with all fractions cleared.
    """
    scale = probe.time_base * grid.tick_hz
    shift = probe.zero_s * grid.tick_hz
    common = math.lcm(scale.denominator, shift.denominator)
    return f"floor(({pts}*{int(scale * common)}-({int(shift * common)}))/{common})"


def tick_of(pts: int, probe: Probe, grid: Grid) -> int:
    """The tick whose interval [tick, tick + 1) / tick_hz holds a pts: the oracle of `tick_expression`."""
    return math.floor((pts * probe.time_base - probe.zero_s) * grid.tick_hz)


def decode_command(
    source: str, unit: Unit, plan: DecodePlan, grid: Grid, size: int, shot_threshold: float
) -> list[str]:
    """The ffmpeg command of a unit. Pipes, in order: frames (rgb24), their pts, shot cuts, samples (f32le).

    Ticks are selected before scaling: frames that nobody uses are never scaled. The first frame at or after a tick's
    instant serves it, if there is one before the next tick.
    """
    probe = unit.probe
    reading: dict[str, object] = {**guarded_input(), "threads": 1}
    if plan.seek_s is not None:
        reading["ss"] = f"{float(plan.seek_s):.6f}"
    # -copyts is an option of the whole run, but ffmpeg reads it anywhere: beside -ss it shows that both speak one clock
    media = ffmpeg.input(source, copyts=None, **reading)
    outputs = []
    if probe.video_stream is not None:
        first_pts = math.ceil((plan.video_start_s + probe.zero_s) / probe.time_base)
        last_pts = math.ceil((plan.video_end_s + probe.zero_s) / probe.time_base)
        context_pts = math.ceil((plan.video_start_s - 2 + probe.zero_s) / probe.time_base)
        pictures = media[str(probe.video_stream)].filter("trim", start_pts=context_pts, end_pts=last_pts)
        pictures = pictures.filter_multi_output("split")
        this, previous = (tick_expression(probe, grid, name) for name in ("pts", "prev_selected_pts"))
        frames = (
            pictures.stream(0)
            .filter("select", f"gte(pts,{first_pts})*if(isnan(prev_selected_pts),1,gt({this},{previous}))")
            .filter("format", "rgb24")
            .filter(
                "scale",
                w=f"if(gte(dar,1),trunc({size}*dar),{size})",
                h=f"if(gte(dar,1),{size},trunc({size}/dar))",
                flags=SCALER,
            )
            .filter("format", "rgb24")
            .filter("crop", size, size)
            .filter("metadata", mode="add", key="tick", value="1")
            .filter("metadata", mode="print", key="tick", file="pipe:{pipe1}", direct=1)
        )
        width, height = SHOT_PIXELS
        cuts = (
            pictures.stream(1)
            .filter("scale", width, height, flags="fast_bilinear")
            .filter("format", "rgb24")
            .filter("select", f"gt(scene,{shot_threshold})")
            .filter("metadata", mode="print", key="lavfi.scene_score", file="pipe:{pipe2}", direct=1)
        )
        outputs += [
            ffmpeg.output(frames, "pipe:{pipe0}", format="rawvideo", fps_mode="passthrough"),
            ffmpeg.output(cuts, "-", format="null", fps_mode="passthrough"),
        ]
    if probe.audio_stream is not None:
        start, end = (float(at + probe.zero_s) for at in (plan.sound_start_s, plan.sound_end_s))
        sound = (
            media[str(probe.audio_stream)]
            .filter("atrim", start=f"{start:.6f}", end=f"{end:.6f}")
            .filter("asetpts", f"PTS-{start:.6f}/TB")
            .filter("aresample", SAMPLE_RATE_HZ, **{"async": 1, "first_pts": 0, "min_hard_comp": GAP_S})
            .filter("aformat", sample_fmts="flt", channel_layouts="mono")
        )
        outputs.append(ffmpeg.output(sound, "pipe:{pipe3}", format="f32le"))
    arguments = ffmpeg.merge_outputs(*outputs).get_args()
    return ["ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-filter_threads", "1", *arguments]


def printed_pts(report: bytes) -> list[int]:
    """The pts of each frame that ffmpeg's metadata filter printed, in the stream's time base.

    >>> printed_pts(b"frame:0    pts:512     pts_time:0.0333333\\ntick=1\\n")
    [512]
    """
    return [int(line.split(b"pts:")[1].split()[0]) for line in report.splitlines() if line.startswith(b"frame:")]


def assemble(finished: Finished, unit: Unit, plan: DecodePlan, grid: Grid, size: int) -> Decoded:
    """Arrays from what the decoder wrote. A frame cut off in the middle of its bytes is dropped."""
    pixels, tick_report, cut_report, sound = finished.outputs
    probe = unit.probe
    pts = printed_pts(bytes(tick_report))
    frame_bytes = size * size * 3
    count = min(len(pts), len(pixels) // frame_bytes)
    frames = np.frombuffer(pixels, np.uint8, count * frame_bytes).reshape(count, size, size, 3)
    samples = np.frombuffer(sound, np.float32, len(sound) // 4)
    ticks = np.array([tick_of(at, probe, grid) for at in pts[:count]], np.int32)
    at_ms = [presentation_ms(at, probe) for at in pts[:count]]
    cuts_ms = [presentation_ms(at, probe) for at in printed_pts(bytes(cut_report))]
    sound_start_ms = int(plan.sound_start_s * 1000)
    heard = _span_with_sound(unit, plan, len(samples), sound_start_ms)
    return Decoded(
        frames,
        ticks,
        np.array(at_ms, np.int32),
        samples,
        sound_start_ms,
        *heard,
        np.array([at for at in cuts_ms if unit.start_ms <= at and (unit.is_last or at < unit.end_ms)], np.int32),
    )


def presentation_ms(pts: int, probe: Probe) -> int:
    """A pts on the presentation clock, rounded down to whole milliseconds."""
    return math.floor((pts * probe.time_base - probe.zero_s) * 1000)


def _span_with_sound(unit: Unit, plan: DecodePlan, samples: int, sound_start_ms: int) -> tuple[int, int]:
    """The part of the unit between the sound stream's first and last sample."""
    ends = sound_start_ms + samples * 1000 // SAMPLE_RATE_HZ
    start = max(unit.start_ms, unit.probe.audio_start_ms)
    end = ends if unit.is_last else min(ends, unit.end_ms)
    return (start, end) if end > start else (unit.start_ms, unit.start_ms)


def covered_windows(unit: Unit, decoded: Decoded, grid: Grid) -> range:
    """The windows that a decoded unit answers for: its planned ones, and for a last unit all that media reached."""
    last = unit.last_window
    if unit.is_last:
        by_frames = int(decoded.ticks[-1]) // grid.window_ticks + 1 if len(decoded.ticks) else 0
        last = max(last, by_frames, grid.windows(decoded.sound_end_ms))
    return range(unit.first_window, last)


def unit_samples(decoded: Decoded, start_s: Fraction) -> np.ndarray:
    """The samples from an instant of the presentation on."""
    offset = round((start_s - Fraction(decoded.samples_start_ms, 1000)) * SAMPLE_RATE_HZ)
    return decoded.samples[max(0, offset) :]


def decode_unit(
    unit: Unit, source: str, grid: Grid, size: int, options: DecodeLimits
) -> tuple[Decoded | None, tuple[Failure, ...]]:
    """Frames and samples of one unit, and what went wrong: never both empty."""
    plan = plan_decode(unit, grid)
    seconds = plan.sound_end_s - plan.sound_start_s
    expected = int(seconds * grid.tick_hz + 2) * size * size * 3 + int(seconds + 2) * SAMPLE_RATE_HZ * 4
    limits = Limits(options.wall_s(seconds), options.stall_s, 2 * expected + (1 << 20))
    command = decode_command(source, unit, plan, grid, size, options.shot_threshold)
    try:
        finished = run(command, 4, limits, nice=options.nice)
    except InputError as error:
        return None, (Failure.of("decode", error, unit.start_ms, unit.end_ms),)
    decoded = assemble(finished, unit, plan, grid, size)
    return judge(decoded, finished, unit)


def judge(decoded: Decoded, finished: Finished, unit: Unit) -> tuple[Decoded | None, tuple[Failure, ...]]:
    """Whether a decoder that ended gave the whole unit. Complaints without a loss are recorded as damage."""
    empty = not len(decoded.ticks) and decoded.sound_end_ms <= decoded.sound_start_ms
    complaint = finished.errors or f"ffmpeg ended with {finished.exit_code}"
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


@dataclass(frozen=True)
class DecodeLimits:
    """How decoders run."""

    shot_threshold: float = 0.2
    stall_s: float = 120.0
    timeout_s: float = 0.0
    """Wall limit of one unit; 0 allows 60 s and 20 times the unit's length."""
    nice: int = 5
    """Decoders yield to the models, so that a busy core goes to whoever is next in the line."""

    def wall_s(self, seconds: Fraction) -> float:
        return self.timeout_s or 60 + 20 * float(seconds)


class _DecodeUnits(beam.DoFn):
    """Decodes ahead: while a group is being embedded downstream, the decoders already work on the next ones."""

    def __init__(self, grid: Grid, size: int, limits: DecodeLimits, decoders: int, ahead: int):
        self.grid, self.size, self.limits = grid, size, limits
        self.decoders, self.ahead = decoders, ahead

    def setup(self) -> None:
        self.pool = ThreadPoolExecutor(self.decoders, thread_name_prefix="decoder")
        self.metrics = StageMetrics("decode")
        self.stage = Stage()

    def start_bundle(self) -> None:
        self.waiting: deque[list[Future]] = deque()

    def process(self, group: Group) -> Iterator[Group]:
        self.waiting.append([self.pool.submit(self._decode, features) for features in group])
        if len(self.waiting) > self.ahead:
            yield self._next()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        while self.waiting:
            yield WindowedValue(self._next(), GlobalWindow().max_timestamp(), (GlobalWindow(),))

    def teardown(self) -> None:
        self.pool.shutdown(cancel_futures=True)
        self.stage.close()

    def _next(self) -> Group:
        with self.metrics.waiting():
            return tuple(future.result() for future in self.waiting.popleft())

    def _decode(self, features: UnitFeatures) -> UnitFeatures:
        unit = features.unit
        started = time.monotonic()
        try:
            with self.stage.local(unit.video) as path:
                decoded, failures = decode_unit(unit, file_url(path), self.grid, self.size, self.limits)
        except InputError as error:  # the object changed or vanished since it was listed
            decoded, failures = None, (Failure.of("stage", error, unit.start_ms, unit.end_ms),)
        self.metrics.add(
            failed=len(failures),
            frames=len(decoded.ticks) if decoded else 0,
            media_ms=max(0, min(unit.end_ms, unit.probe.duration_ms) - unit.start_ms),
            busy_ms=int(1000 * (time.monotonic() - started)),
        )
        return replace(features, decoded=decoded, failures=features.failures + failures)


class DecodeUnits(beam.PTransform):
    """Groups of planned units -> the same groups with frames and samples, `ahead` groups decoded in advance."""

    def __init__(self, grid: Grid, size: int, limits: DecodeLimits = DecodeLimits(), decoders: int = 1, ahead: int = 2):
        super().__init__()
        self.do = _DecodeUnits(grid, size, limits, decoders, ahead)

    def expand(self, groups: beam.PCollection) -> beam.PCollection:
        return groups | beam.ParDo(self.do)
