"""Builds the ffmpeg command of a unit: the time range to read, the frames to select, and how to scale them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import ffmpeg

from ..models.preprocessing import Preprocessing
from ..schemas.elements import SAMPLE_RATE_HZ, Grid, Probe, Unit
from ..schemas.senses import FrameNeed
from .ffmpeg import guarded_input
from .frame_choice import EXACT, KEY, decoder_options
from .sense_frames import sense_output
from .shots import CONTEXT_MS
from .small_pictures import HEIGHT, WIDTH

NO_CUTS = 1.0
"""A shot threshold that no scene score exceeds: turns the search for cuts off, which saves a pass over every frame."""

SCENE, NO_SHOTS = "scene", "none"
"""Values of `ShotSearch.detector` that need no small pictures: ffmpeg's scene score, and no shot detection."""

SCENE_CONTEXT_S = 2
"""Seconds of video decoded before a unit's start for ffmpeg's scene score."""

SHOT_HZ = 120
"""Largest number of small pictures per second: more would only cost memory."""


@dataclass(frozen=True)
class ShotSearch:
    """Settings of shot detection."""

    detector: str = "adaptive"
    """A name of `shots.DETECTORS`, SCENE or NO_SHOTS."""
    threshold: float = 0.2
    """For SCENE: the score above which a new shot starts."""
    device: str = "cpu"
    """Device of a detector that is a neural network."""

    @property
    def scores(self) -> bool:
        """Whether ffmpeg's scene score is used."""
        return self.detector == SCENE and self.threshold < NO_CUTS

    @property
    def pictures(self) -> bool:
        """Whether small pictures are used."""
        return self.detector not in (SCENE, NO_SHOTS)


SCALER = "bicubic+full_chroma_inp+full_chroma_int+accurate_rnd"
"""Scaler flags for full-size RGB input. Pixels match PIL's antialiased bicubic, which open_clip uses, to 0.12 of 255 on average,
and embeddings to a cosine of at least 0.9997 (0.998 when YUV is scaled). Only ticks are scaled, so it costs little."""

GAP_S = 0.02
"""A jump of the audio timestamps above this (seconds) is filled with silence or cut, so that sample n stays at its time."""

NVDEC_CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg2video", "mpeg4", "vc1")
NVDEC_PIXEL_FORMATS = ("yuv420p", "yuvj420p", "yuv420p10le")
NVDEC_PIXELS = 640 * 360
"""For smaller frames, starting CUDA takes longer than the GPU saves."""

SOUND_CONTEXT_MS = 10_000
"""Sound decoded beyond both ends of a unit, so that both units transcribe a sentence across their boundary whole."""

OVERRUN = 2
"""A last unit is decoded up to this many times its length in the header. The rest is reported as a failure."""


@dataclass(frozen=True)
class DecodePlan:
    """The exact time ranges of one unit, in seconds on the presentation clock. `seek_s` is on ffmpeg's clock."""

    video_start_s: Fraction
    video_end_s: Fraction
    sound_start_s: Fraction
    sound_end_s: Fraction
    seek_s: Fraction | None
    """Value of `-ss`; None reads from the start of the file."""


def plan_decode(unit: Unit, grid: Grid) -> DecodePlan:
    """Plans the decoding of a unit. A last unit may go on beyond the duration in the header."""
    seconds = Fraction(grid.window_ticks) / grid.tick_hz
    start, end = unit.first_window * seconds, unit.last_window * seconds
    context = Fraction(SOUND_CONTEXT_MS, 1000)
    sound_start = max(Fraction(0), start - context)
    if unit.is_last:
        end = start + (end - start) * OVERRUN
    seek = sound_start + unit.probe.zero_s - unit.probe.seek_base_s - Fraction(1, 10)
    return DecodePlan(
        start, end, sound_start, end if unit.is_last else end + context, seek if start > 0 and seek > 0 else None
    )


def tick_expression(probe: Probe, grid: Grid, pts: str) -> str:
    """The tick of a pts, as an ffmpeg expression over integers: exact, where a quotient of doubles would be rounded.

    tick = floor((pts * time_base - zero) * tick_hz), with all fractions cleared.
    """
    scale = probe.time_base * grid.tick_hz
    shift = probe.zero_s * grid.tick_hz
    common = math.lcm(scale.denominator, shift.denominator)
    return f"floor(({pts}*{int(scale * common)}-({int(shift * common)}))/{common})"


def tick_of(pts: int, probe: Probe, grid: Grid) -> int:
    """The tick whose interval [tick, tick + 1) / tick_hz contains a pts: the reference for `tick_expression` in tests."""
    return math.floor((pts * probe.time_base - probe.zero_s) * grid.tick_hz)


def decode_command(
    source: str,
    unit: Unit,
    plan: DecodePlan,
    grid: Grid,
    wanted: Preprocessing,
    shots: ShotSearch,
    needs: Sequence[FrameNeed] = (),
    *,
    frames: str = EXACT,
    nvdec: bool = False,
) -> list[str]:
    """The ffmpeg command of a unit. Pipes, in order: frames (rgb24), their pts, the pts of cuts or of small pictures, samples
    (f32le), small pictures (yuv420p); then two for each need of a sense.

    Frames are selected before scaling, so unused frames are never scaled. A tick gets the first frame at or after its time, if
    that frame comes before the next tick. `frames` says which frames there are, see frame_choice.py.
    """
    probe = unit.probe
    reading: dict[str, object] = {**guarded_input(source), "threads": 1, **decoder_options(frames, probe)}
    if nvdec:  # decoded frames are copied to main memory, so everything after the decoder stays the same
        reading["hwaccel"] = "cuda"
    if plan.seek_s is not None:
        reading["ss"] = f"{float(plan.seek_s):.6f}"
    # -copyts is a global option that ffmpeg accepts anywhere; it stands beside -ss because both refer to the same clock
    media = ffmpeg.input(source, copyts=None, **reading)
    outputs = []
    if probe.video_stream is not None:
        first_pts = math.ceil((plan.video_start_s + probe.zero_s) / probe.time_base)
        last_pts = math.ceil((plan.video_end_s + probe.zero_s) / probe.time_base)
        early, late = shot_context(shots, unit)
        context_pts = math.ceil((plan.video_start_s - early + probe.zero_s) / probe.time_base)
        seen_pts = math.ceil((plan.video_end_s + late + probe.zero_s) / probe.time_base)
        pictures = media[str(probe.video_stream)].filter("trim", start_pts=context_pts, end_pts=seen_pts)
        if frames == KEY:  # for decoders that cannot skip
            pictures = pictures.filter("select", "key")
        both = pictures.filter_multi_output("split") if shots.scores or shots.pictures else None
        this, previous = (tick_expression(probe, grid, name) for name in ("pts", "prev_selected_pts"))
        chosen = both.stream(0) if both else pictures
        if late:
            chosen = chosen.filter("trim", end_pts=last_pts)
        chosen = chosen.filter("select", f"gte(pts,{first_pts})*if(isnan(prev_selected_pts),1,gt({this},{previous}))")
        if needs:
            copies = chosen.filter_multi_output("split", 1 + len(needs))
            chosen = copies.stream(0)
            for number, need in enumerate(needs):
                sized = Preprocessing(need.size(probe.width, probe.height), resize_mode="squash")
                outputs.append(sense_output(to_model_size(copies.stream(1 + number), probe, sized), need, number))
        chosen = (
            to_model_size(chosen, probe, wanted)
            .filter("metadata", mode="add", key="tick", value="1")
            .filter("metadata", mode="print", key="tick", file="pipe:{pipe1}", direct=1)
        )
        outputs.append(ffmpeg.output(chosen, "pipe:{pipe0}", format="rawvideo", fps_mode="passthrough"))
        if both:
            outputs.append(shot_output(both.stream(1), shots, probe))
    if probe.audio_stream is not None:
        # a separate filter graph: when the frame size changes, ffmpeg restarts only the video's graph
        sound = media[str(probe.audio_stream)]
        outputs.append(ffmpeg.output(sound, "pipe:{pipe3}", format="f32le", af=sound_filter(plan, probe)))
    arguments = ffmpeg.merge_outputs(*outputs).get_args()
    return ["ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-filter_threads", "1", *arguments]


def shot_context(shots: ShotSearch, unit: Unit) -> tuple[Fraction, Fraction]:
    """Seconds of video before and after a unit that shot detection needs. A last unit has nothing after it."""
    if not shots.pictures:
        return Fraction(SCENE_CONTEXT_S), Fraction(0)
    around = Fraction(CONTEXT_MS, 1000)
    return around, Fraction(0) if unit.is_last else around


def shot_output(pictures: ffmpeg.nodes.FilterableStream, shots: ShotSearch, probe: Probe) -> ffmpeg.nodes.OutputStream:
    """The ffmpeg output for shot detection: scene scores or small pictures of every frame.

    Small pictures cost 3% of the decode time and average noise out. They are in colour, because grey ones miss cuts between
    scenes of similar brightness (20 of 73 in the sample bucket at a scene score of 0.3).
    """
    if shots.scores:
        cuts = (
            pictures.filter("scale", WIDTH, HEIGHT, flags="fast_bilinear")
            .filter("format", "rgb24")
            .filter("select", f"gt(scene,{shots.threshold})")
            .filter("metadata", mode="print", key="lavfi.scene_score", file="pipe:{pipe2}", direct=1)
        )
        return ffmpeg.output(cuts, "-", format="null", fps_mode="passthrough")
    this, previous = (tick_expression(probe, Grid(Fraction(SHOT_HZ)), name) for name in ("pts", "prev_selected_pts"))
    small = (
        pictures.filter("select", f"if(isnan(prev_selected_pts),1,gt({this},{previous}))")
        .filter("scale", WIDTH, HEIGHT, flags="area")
        .filter("format", "yuv420p")
        .filter("metadata", mode="add", key="small", value="1")
        .filter("metadata", mode="print", key="small", file="pipe:{pipe2}", direct=1)
    )
    return ffmpeg.output(small, "pipe:{pipe4}", format="rawvideo", fps_mode="passthrough")


def sound_filter(plan: DecodePlan, probe: Probe) -> str:
    """The filters that put a unit's sound on its clock: mono float32 at SAMPLE_RATE_HZ, sample 0 at `sound_start_s`."""
    start, end = (float(at + probe.zero_s) for at in (plan.sound_start_s, plan.sound_end_s))
    return (
        f"atrim=start={start:.6f}:end={end:.6f},asetpts=PTS-{start:.6f}/TB,"
        f"aresample={SAMPLE_RATE_HZ}:async=1:first_pts=0:min_hard_comp={GAP_S},"
        "aformat=sample_fmts=flt:channel_layouts=mono"
    )


def suits_nvdec(probe: Probe) -> bool:
    """Whether NVIDIA's decoders support this stream and its frames are large enough to gain from a GPU.

    Source: NVIDIA Video Codec SDK, "NVDEC Video Decoder API Programming Guide", table of capabilities.
    """
    large = probe.width * probe.height >= NVDEC_PIXELS
    return large and probe.video_codec in NVDEC_CODECS and probe.pixel_format in NVDEC_PIXEL_FORMATS


def to_model_size(
    frames: ffmpeg.nodes.FilterableStream, probe: Probe, wanted: Preprocessing
) -> ffmpeg.nodes.FilterableStream:
    """Selected frames -> the model's input: rgb24 of the model's size, upright, BT.709, resized as its preprocessing says.

    Interlaced frames give one field: half the lines of 1080i are still more than a model needs, and there is no combing.
    High dynamic range is scaled before it is tone-mapped (hable, white at 100 nits), because full-size float frames are large.
    """
    if probe.field_order:
        frames = frames.filter("field", type=probe.field_order).filter("setdar", f"{probe.width}/{probe.height}")
    # explicit, because a scaler that ffmpeg inserts itself treats the first frames after a seek into interlaced video differently
    frames = frames.filter("scale", interl=0, flags="bicubic")
    width, height = scaled_expressions(wanted)
    flags = SCALER.replace("bicubic", wanted.scaler)
    if not probe.is_hdr:
        frames = frames.filter("format", "rgb24").filter("scale", w=width, h=height, flags=flags)
    else:
        frames = (
            frames.filter("scale", w=width, h=height, flags=flags)
            .filter("format", "yuv444p10le")
            .filter("zscale", transfer="linear", npl=100)
            .filter("format", "gbrpf32le")
            .filter("zscale", primaries="bt709")
            .filter("tonemap", tonemap="hable", desat=0)
            .filter("zscale", transfer="bt709", matrix="bt709", range="full")
        )
    frames = frames.filter("format", "rgb24")
    to_height, to_width = wanted.size
    if wanted.resize_mode == "longest":
        grey = f"0x{wanted.fill:02x}{wanted.fill:02x}{wanted.fill:02x}"
        return frames.filter("pad", to_width, to_height, "trunc((ow-iw)/2)", "trunc((oh-ih)/2)", color=grey)
    return frames.filter("crop", to_width, to_height)


def scaled_expressions(wanted: Preprocessing) -> tuple[str, str]:
    """Width and height of a frame after scaling, as ffmpeg expressions of its display aspect ratio `dar`.

    Rounds as `preprocessing.scaled_size` does.

    >>> scaled_expressions(Preprocessing((224, 224)))
    ('if(gte(dar,1),trunc(224*dar),224)', 'if(gte(dar,1),224,trunc(224/dar))')
    >>> scaled_expressions(Preprocessing((48, 64), resize_mode="squash"))
    ('64', '48')
    """
    height, width = wanted.size
    if wanted.resize_mode == "squash":
        return str(width), str(height)
    if wanted.resize_mode == "shortest" and height == width:
        return f"if(gte(dar,1),trunc({width}*dar),{width})", f"if(gte(dar,1),{height},trunc({height}/dar))"
    aspect = f"{width}/{height}"
    by_height, by_width = f"max(1,round({height}*dar))", f"max(1,round({width}/dar))"
    if wanted.resize_mode == "longest":
        return f"if(gte(dar,{aspect}),{width},{by_height})", f"if(gte(dar,{aspect}),{by_width},{height})"
    return f"if(gte(dar,{aspect}),{by_height},{width})", f"if(gte(dar,{aspect}),{height},{by_width})"
