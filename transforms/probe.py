"""probe_file: what ffprobe says of a file, read with the suspicion that it deserves.

In:  a path on local disk.
Out: a `Probe`: streams chosen, clock and duration settled, sha256 of the bytes.
Bad: InputError("not_media" | "no_streams" | "no_such_stream" | "empty" | "oversized" | "encrypted"), with ffprobe's own words.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..schemas.elements import Caption, Probe
from ..schemas.errors import InputError
from ..schemas.storage import file_sha256
from .captions import in_order, read_captions
from .closed_captions import read_closed_captions
from .encrypted import encryption_of
from .ffmpeg import Limits, file_url, guarded_input, run
from .joined import loss_by_joining
from .quick_probe import quick_report
from .streams import Stream, StreamChoice

BY_DEFAULT = StreamChoice()

PROBE_LIMITS = Limits(wall_s=120, stall_s=60, output_bytes=256 << 20)

LEAST_BYTES_A_SECOND = 100
"""Below this (0.8 kbit/s) a stated duration is not believed, and the packets are counted instead."""

KEY_NEEDED = "a key is needed: {}. Cure: store a decrypted copy"

MOST_DAYS = 7
"""A longer presentation is a broken header: a damaged file may claim one frame in five years."""

FIELD_ORDERS = {"tt": "top", "tb": "top", "bb": "bottom", "bt": "bottom"}
"""ffprobe's words for interlaced video."""

HDR_TRANSFERS = ("smpte2084", "arib-std-b67")
"""PQ (SMPTE ST 2084) and HLG (ARIB STD-B67)."""


def probe_file(path: Path, choice: StreamChoice = BY_DEFAULT, captions: bool = False) -> Probe:
    """The facts of one media file, with the streams of a choice, and with the captions of its text streams if wanted."""
    size = path.stat().st_size
    if not size:
        raise InputError("empty", "the file has 0 bytes")
    if encrypted := encryption_of(path):
        raise InputError("encrypted", KEY_NEEDED.format(encrypted))
    report = quick_report(path) or ffprobe_report(file_url(path), path.name)
    probe = probe_of(report, choice, size, lambda stream, zero_s: _counted_duration_ms(path, stream, zero_s))
    chosen = probe.audio_stream if probe.video_stream is None else probe.video_stream
    assert chosen is not None
    loss = loss_by_joining(path, probe.container, chosen, probe.duration_ms)
    video = next((one for one in report["streams"] if one["index"] == probe.video_stream), None)
    asked = (path, report["streams"], video, probe.zero_s, probe.duration_ms)
    said, unsaid = every_caption(*asked) if captions else ((), "")
    return replace(
        probe,
        content_sha256=file_sha256(path),
        lost_ms=loss.ms if loss else 0,
        lost_reason=loss.reason if loss else "",
        captions=said,
        captions_lost=unsaid,
    )


def probe_of(
    report: dict[str, Any], choice: StreamChoice, size: int, count_ms: Callable[[dict[str, Any], Fraction], int]
) -> Probe:
    """What ffprobe's report of a file of `size` bytes says. `count_ms` gives the length of a stream whose stated one is not
    believed, from the stream and the start of the presentation.
    """
    streams = report.get("streams", [])
    video, audio = choice.streams(streams)
    if video is None and audio is None:
        kinds = ", ".join(sorted({stream.get("codec_type", "unknown") for stream in streams})) or "none"
        raise InputError("no_streams", f"no video or audio stream that can be decoded; streams: {kinds}")
    container = report["format"]
    zero_s = presentation_zero(video, audio)
    duration_ms = stated_duration_ms(container, video, audio, zero_s)
    if not duration_ms or size * 1000 / duration_ms < LEAST_BYTES_A_SECOND:
        duration_ms = count_ms(video or audio or {}, zero_s)
    if duration_ms > MOST_DAYS * 86_400_000:
        raise InputError(
            "oversized", f"its clock runs for {duration_ms / 3_600_000:.0f} h; at most {MOST_DAYS} days are read"
        )
    width, height, rotation = displayed(video) if video else (0, 0, 0)
    audio_start = _fraction(audio.get("start_time")) if audio else None
    return Probe(
        container=container.get("format_name", ""),
        duration_ms=duration_ms,
        zero_s=zero_s,
        seek_base_s=_fraction(container.get("start_time")) or Fraction(0),
        video_stream=video["index"] if video else None,
        video_codec=video.get("codec_name", "") if video else "",
        time_base=Fraction(video["time_base"]) if video else Fraction(1, 1000),
        width=width,
        height=height,
        rotation=rotation,
        fps=_rate(video) if video else 0.0,
        audio_stream=audio["index"] if audio else None,
        audio_codec=audio.get("codec_name", "") if audio else "",
        audio_channels=int(audio.get("channels") or 1) if audio else 1,
        audio_start_ms=max(0, math.floor(((audio_start or zero_s) - zero_s) * 1000)),
        field_order=FIELD_ORDERS.get(video.get("field_order", ""), "") if video else "",
        is_hdr=video is not None and video.get("color_transfer") in HDR_TRANSFERS,
        pixel_format=video.get("pix_fmt", "") if video else "",
    )


def every_caption(
    path: Path, streams: Sequence[Stream], video: Stream | None, zero_s: Fraction, duration_ms: int
) -> tuple[tuple[Caption, ...], str]:
    """The captions of a file's text streams and within its pictures, and why some could not be read."""
    found, lost = read_captions(path, streams, zero_s)
    more, missed = read_closed_captions(path, video, zero_s, duration_ms) if video else ((), "")
    return in_order((*found, *more)), "; ".join(why for why in (lost, missed) if why)


def ffprobe_report(source: str, name: str, *show: str) -> dict[str, Any]:
    """ffprobe's report of a source: formats and streams, or what `show` says. Raises InputError("not_media"), which gives the
    source another name.
    """
    inputs = [part for key, value in guarded_input(source).items() for part in (f"-{key}", value)]
    wanted = show or ("-show_format", "-show_streams")
    command = ["ffprobe", "-v", "error", *inputs, "-print_format", "json", *wanted, "-o", "pipe:{pipe0}", source]
    finished = run(command, 1, PROBE_LIMITS)
    try:
        report = json.loads(finished.outputs[0] or "{}")
    except json.JSONDecodeError:
        report = {}
    if "format" not in report and "packets" not in report:
        raise InputError("not_media", (finished.errors or "ffprobe says nothing").replace(source, name))
    return report


def presentation_zero(video: dict[str, Any] | None, audio: dict[str, Any] | None) -> Fraction:
    """Where the presentation starts on ffmpeg's clock: with the first stream. Sound before 0 is codec priming, which
    nobody is meant to hear."""
    starts = []
    if video:
        starts.append(_fraction(video.get("start_time")) or Fraction(0))
    if audio:
        starts.append(max(Fraction(0), _fraction(audio.get("start_time")) or Fraction(0)))
    return min(starts)


def stated_duration_ms(
    container: dict[str, Any], video: dict[str, Any] | None, audio: dict[str, Any] | None, zero_s: Fraction
) -> int:
    """Presentation length as the headers say: to the end of the chosen stream that ends last; 0 when they don't."""
    ends = []
    for stream in (video, audio):
        if stream:
            length = _fraction(stream.get("duration"))
            if length:
                ends.append((_fraction(stream.get("start_time")) or Fraction(0)) + length - zero_s)
    if not ends:
        length = _fraction(container.get("duration"))
        if length:
            ends.append((_fraction(container.get("start_time")) or Fraction(0)) + length - zero_s)
    return max(0, math.ceil(max(ends) * 1000)) if ends else 0


def _counted_duration_ms(path: Path, stream: dict[str, Any], zero_s: Fraction) -> int:
    """The end of the last packet of a stream: reads the whole file, decodes nothing."""
    entries = ("-select_streams", str(stream["index"]), "-show_entries", "packet=pts_time,duration_time")
    report = ffprobe_report(file_url(path), path.name, *entries)
    ends = [
        Fraction(packet["pts_time"]) + Fraction(packet.get("duration_time", "0"))
        for packet in report.get("packets", [])
        if packet.get("pts_time", "N/A") != "N/A"
    ]
    return max(0, math.ceil((max(ends) - zero_s) * 1000)) if ends else 0


def displayed(video: dict[str, Any]) -> tuple[int, int, int]:
    """Width and height as shown, and the rotation in degrees clockwise (0, 90, 180, 270)."""
    turns = [side["rotation"] for side in video.get("side_data_list", []) if "rotation" in side]
    rotation = round(-float(turns[0])) % 360 if turns else 0
    aspect = video.get("sample_aspect_ratio", "1:1").replace(":", "/")
    ratio = Fraction(aspect) if not aspect.startswith("0/") and not aspect.endswith("/0") else Fraction(1)
    width, height = max(1, round(video["width"] * (ratio or 1))), video["height"]
    return (height, width, rotation) if rotation in (90, 270) else (width, height, rotation)


def _rate(video: dict[str, Any]) -> float:
    for name in ("avg_frame_rate", "r_frame_rate"):
        top, _, bottom = video.get(name, "0/0").partition("/")
        if int(bottom or 0):
            return round(int(top) / int(bottom), 3)
    return 0.0


def _fraction(text: str | None) -> Fraction | None:
    return Fraction(text) if text not in (None, "N/A") else None
