"""Writes one video of the sample bucket with ffmpeg, in its own container and with its own unusual property (`trait`).

In:   a `Video`, its frames and its sound.
Out:  a file and its facts (`Written`): kind, duration, size, and how much of it decodes.
Bad:  an error of ffmpeg raises RuntimeError with ffmpeg's message.

Equal input gives equal bytes on one machine with one ffmpeg: one thread, no dates, no version strings.
"""

import json
import struct
import subprocess
import tempfile
import wave
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sample_video import Video

OPUS_DELAY_S = 312 / 48000  # the encoder starts this early; if timestamps leave it out, WebM video starts late
LATE_S = 2.5  # when the sound of a "late_audio" file starts
KEPT_BYTES = 0.6  # of a "truncated" file
TICKS_A_SECOND = 60  # the clock of a "variable_rate" file

_EXACT = ("-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-map_metadata", "-1")
_H264 = ("libx264", "-preset", "slow", "-crf", "27", "-threads", "1", "-g", "150")
_HEVC = ("libx265", "-preset", "medium", "-crf", "28")
_HEVC_OPTIONS = ("-x265-params", "pools=none:frame-threads=1:info=0:log-level=error:keyint=120")
_VP9 = (
    "libvpx-vp9",
    "-deadline",
    "good",
    "-cpu-used",
    "3",
    "-crf",
    "34",
    "-b:v",
    "0",
    "-threads",
    "1",
    "-g",
    "150",
)
_VIDEO = {"mp4": _H264, "mkv": (*_HEVC, *_HEVC_OPTIONS), "webm": _VP9}
_AUDIO = {
    "mp4": ("aac", "-b:a", "32k"),
    "m4a": ("aac", "-b:a", "32k"),
    "mkv": ("aac", "-b:a", "32k"),
    "webm": ("libopus", "-b:a", "24k", "-ar", "48000"),
}


@dataclass(frozen=True)
class Written:
    """Facts of a written file. `video_end_s`, `audio_end_s`: the end of what decodes (None: everything decodes)."""

    kind: str
    duration_s: float
    width: int | None
    height: int | None
    fps: float | None
    video_end_s: float | None = None
    audio_end_s: float | None = None


def frame_times_s(video: Video) -> list[float]:
    """Times of all frames. A "variable_rate" file repeats every 2 seconds: a burst of 60 fps, then 10 fps, then 30 fps."""
    if video.trait != "variable_rate":
        return [i / video.fps for i in range(round(video.seconds * video.fps))]
    count = round(video.seconds * 55 / 2)
    return [_variable_tick(i) / TICKS_A_SECOND for i in range(count)]


def _variable_tick(i: int) -> int:
    """The tick of frame `i`: of 55 frames in 120 ticks 30 are 1 tick apart, 10 are 6 apart, 15 are 2 apart.

    >>> [_variable_tick(i) for i in (0, 29, 30, 31, 40, 41, 55)]
    [0, 29, 30, 36, 90, 92, 120]
    """
    n = i % 55
    within = n if n < 30 else 30 + (n - 30) * 6 if n < 40 else 90 + (n - 40) * 2
    return i // 55 * 120 + within


_VARIABLE_PTS = (  # the same in ffmpeg's words; the input's time base is one tick
    "setpts='floor(N/55)*120+if(lt(mod(N,55),30),mod(N,55),"
    "if(lt(mod(N,55),40),30+(mod(N,55)-30)*6,90+(mod(N,55)-40)*2))'"
)


def write_video(
    video: Video, frames: Iterable[np.ndarray], track: np.ndarray | None, rate_hz: int, out: Path
) -> Written:
    """Encodes `frames` (uint8 [h, w, 3], upright) and `track` (int16 [n] mono, from 0 s) as `video` asks."""
    container = out.suffix[1:]
    variable, rotated = video.trait == "variable_rate", video.trait == "rotated"
    stored = f"{video.height}x{video.width}" if rotated else f"{video.width}x{video.height}"
    pictures = [
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", stored),
        *("-r", str(TICKS_A_SECOND if variable else video.fps), "-i", "pipe:0"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
        if video.shows:
            command += pictures
        if track is not None:
            late_s = LATE_S if video.trait == "late_audio" else 0.0
            delay_s = OPUS_DELAY_S if container == "webm" else 0.0
            sound = Path(folder) / "sound.wav"
            _write_wav(sound, track[round(late_s * rate_hz) :], rate_hz)
            command += ["-itsoffset", str(late_s + delay_s), "-i", str(sound)]
        if video.shows:
            command += ["-map", "0:v", "-pix_fmt", "yuv420p", "-c:v", *_VIDEO[container]]
            command += ["-vf", _VARIABLE_PTS, "-fps_mode", "passthrough"] if variable else []
            command += ["-bf", "0"] if video.trait == "truncated" else []
        if track is not None:
            command += ["-map", f"{1 if video.shows else 0}:a", "-c:a", *_AUDIO[container]]
            if container == "mkv":  # Matroska cannot skip AAC's first packet, which has no sound yet
                command += ["-bsf:a", "noise=drop=not(n)"]
        command += [*_EXACT, *(("-movflags", "+faststart") if container in ("mp4", "m4a") else ()), str(out)]
        _feed(command, (np.rot90(f) if rotated else f for f in frames))
    if rotated:
        _turn_clockwise(out)
    return _cut(out, video) if video.trait == "truncated" else _probe(out, video)


def _write_wav(path: Path, samples: np.ndarray, rate_hz: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())


def _feed(command: list[str], frames: Iterable[np.ndarray]) -> None:
    """Runs ffmpeg with `frames` on its standard input."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors)
        assert process.stdin is not None
        try:
            for frame in frames:
                process.stdin.write(np.ascontiguousarray(frame).tobytes())
            process.stdin.close()
        except BrokenPipeError:
            pass  # the error below contains ffmpeg's message
        if process.wait() != 0:
            errors.seek(0)
            raise RuntimeError(f"{' '.join(command)}:\n{errors.read().decode(errors='replace')}")


def _turn_clockwise(path: Path) -> None:
    """Sets the display matrix of an MP4's first track to a quarter turn clockwise, as phones do.

    Source: ISO/IEC 14496-12, 8.3.2 (tkhd, version 0): the matrix lies 40 bytes after the box's version.
    """
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    stored_height = struct.unpack(">I", content[at + 40 : at + 44])[0]
    content[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, stored_height, 0, 1 << 30)
    path.write_bytes(content)


def _ffprobe(path: Path, *show: str) -> dict:
    command = ["ffprobe", "-v", "error", "-of", "json", *show, str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def _probe(path: Path, video: Video) -> Written:
    found = _ffprobe(path, "-show_format", "-show_streams")
    codecs = [s["codec_name"] for s in found["streams"]]
    kind, duration_s = "/".join(codecs), round(float(found["format"]["duration"]), 3)
    if not video.shows:
        return Written(kind, duration_s, None, None, None)
    fps = round(len(frame_times_s(video)) / video.seconds, 3)
    return Written(kind, duration_s, video.width, video.height, fps)


def _cut(path: Path, video: Video) -> Written:
    """Cuts off the end of the file. Decoding then ends at the first incomplete packet."""
    whole = _probe(path, video)
    kept = int(path.stat().st_size * KEPT_BYTES)
    ends_s = {"video": whole.duration_s, "audio": whole.duration_s}
    for packet in _ffprobe(path, "-show_entries", "packet=codec_type,pts_time,pos,size")["packets"]:
        if int(packet["pos"]) + int(packet["size"]) > kept:
            kind = packet["codec_type"]
            ends_s[kind] = min(ends_s[kind], float(packet["pts_time"]))
    path.write_bytes(path.read_bytes()[:kept])
    return replace(whole, video_end_s=ends_s["video"], audio_end_s=ends_s["audio"])
