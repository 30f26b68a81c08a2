"""Options of `reelbeam extract`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from ...models.devices import cores
from ...schemas.errors import UsageError
from ...schemas.options import Options, option
from ...transforms.frame_choice import FRAMES, KEY
from ...transforms.streams import StreamChoice

if TYPE_CHECKING:
    from ...schemas.elements import Grid

SHOT_DETECTORS = ("adaptive", "transnet", "scene", "none")
"""What finds shots; the first is the default of a new dataset."""

SCENE_SCORE = 0.2

AUTO = "auto"
"""The value of `--tick-hz` that follows key frames."""


@dataclass(frozen=True)
class ExtractOptions(Options):
    """reelbeam extract"""

    models: str = option(
        "standard",
        "models to use: offline, standard, siglip2, multilingual, best, or a JSON file; see reelbeam models",
        changes_data=False,
    )
    device: str = option("auto", "where models run: auto, cpu, cuda, cuda:1")
    tick_hz: str = option(
        "1",
        "frames sampled per second; a fraction such as 1/2 or 30000/1001 is exact; auto, with --frames key: as OUTPUT was made, and for "
        "a new one as far apart as the key frames of some videos",
        changes_data=True,
    )
    window_ticks: int = option(10, "ticks per window: a row holds one window", low=1, high=600, changes_data=True)
    unit_s: float = option(120.0, "longest span of a video that is decoded at once, in seconds", low=1, high=3600)
    shots: str = option(
        "",
        "what finds shots: adaptive (cuts and slow changes), transnet (a network, for GPUs; extra `shots`), scene (ffmpeg's "
        "scene score), none; empty: as OUTPUT was made; for a new one adaptive, and none with --frames key",
        choices=("", *SHOT_DETECTORS),
        changes_data=True,
    )
    shot_threshold: float = option(
        SCENE_SCORE, "scene score above which --shots scene starts a new shot", low=0.01, high=1, changes_data=True
    )
    frames: str = option(
        "",
        "frames that a tick may take: exact (any), reference (those that others are predicted from: less decoding), key (key frames "
        "alone: least decoding, many empty ticks, no shots); empty: as OUTPUT was made, exact for a new one",
        choices=("", *FRAMES),
        changes_data=True,
    )
    fuse: str = option(
        "", "fused_embedding: none, concat, mean, attention, or a TorchScript file; empty: as the models say (concat)"
    )
    language: str = option("", "what is spoken, such as en or de; empty: detected for each video")
    task: str = option(
        "", "transcribe, or translate into English; empty: as the models say", choices=("", "transcribe", "translate")
    )
    speech: str = option(
        "",
        "where words come from: whisper; subtitles, where they cover the speech in the wanted language, and whisper elsewhere; auto, "
        "which takes subtitles only where they cover nearly all; empty: as the models say (whisper)",
        choices=("", "whisper", "subtitles", "auto"),
    )
    senses: str = option(
        "",
        "further senses, such as ocr: names, or changes such as +ocr,-phash; none: no further one; -frames, -speech and -sound turn "
        "built-in ones off, and +frames on again; empty: as OUTPUT was made; "
        "see reelbeam models",
    )
    thumbnails: bool = option(
        False,
        "store small pictures of the frames, for pages that cannot read the videos; short for --senses +thumbnails",
    )
    audio_embedding: bool = option(False, "store audio_embedding: what Whisper's encoder heard in each window")
    video_stream: str = option(
        "",
        "video stream to read: its number among a file's video streams without cover pictures, from 0; a file that lacks it fails; "
        "empty: the default one, then the largest; previews do not count",
        changes_data=True,
    )
    audio_stream: str = option(
        "",
        "audio stream to hear: its number among a file's audio streams, from 0, or a language such as de or deu; a file that lacks "
        "it fails; empty: the default one, then the first",
        changes_data=True,
    )
    still_difference: float = option(
        0.0,
        "a frame that differs from an embedded one before it by at most this mean of 255 shares its embedding; "
        "0: exact copies only",
        low=0,
        high=255,
        changes_data=True,
    )
    decode_on: str = option(
        "cpu", "nvdec decodes on an NVIDIA GPU what it can, the rest on the CPU", choices=("cpu", "nvdec")
    )
    decoders: int = option(0, "number of decoder processes (0: one per core)", low=0, high=1024)
    decode_timeout_s: float = option(
        0.0, "time limit for decoding one unit, in seconds (0: 60 s plus 20 times the unit's length)", low=0
    )
    wave_videos: int = option(256, "videos per commit; a crash loses at most this much work", low=1, high=100_000)
    workers: str = option(
        "1",
        "worker processes on this machine, each with its own wave; auto: one for each GPU, or for each CPU core; give waves "
        "small enough that all have one",
    )
    shard_mb: int = option(128, "target size of a shard, in MB", low=1, high=4096)
    retry_failed: bool = option(False, "extract failed and partial videos again, although they have not changed")
    max_failed: float = option(1.0, "publish no wave in which a larger share of the videos failed", low=0, high=1)
    profile: str = option(
        "", "write where the time went to this JSON file: seconds of phases and stages, processor seconds"
    )
    metrics_port: int = option(
        0,
        "serve counters for Prometheus on this port of every interface while the run lasts (0: do not)",
        low=0,
        high=65535,
    )
    log_json: bool = option(False, "write each log line as a JSON object")
    dry_run: bool = option(False, "print what would be done, and do nothing")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shots and self.shots != "scene" and self.shot_threshold != SCENE_SCORE:
            raise UsageError(f"--shot-threshold {self.shot_threshold:g}: only --shots scene has a threshold")
        if self.frames == KEY and self.shots not in ("", "none"):
            raise UsageError(
                f"--frames key --shots {self.shots}: key frames are too far apart to tell cuts from motion. Cure: --shots none"
            )
        _ = self.streams
        if self.tick_hz == AUTO:
            return
        try:
            hz = Fraction(self.tick_hz)
        except (ValueError, ZeroDivisionError):
            raise UsageError(
                f"--tick-hz {self.tick_hz}: not a number; give frames a second, such as 1, 0.5 or 1/3, or auto"
            ) from None
        if not Fraction(1, 3600) <= hz <= 240:
            raise UsageError(f"--tick-hz {self.tick_hz}: allowed is 1/3600 to 240")

    @property
    def grid(self) -> Grid:
        from ...schemas.elements import Grid  # it imports numpy and pyarrow, which the flags alone do not need

        return Grid(Fraction(self.tick_hz), self.window_ticks)

    @property
    def streams(self) -> StreamChoice:
        """The streams that are read of each file. Raises UsageError."""
        return StreamChoice(self.video_stream, self.audio_stream)

    @property
    def unit_windows(self) -> int:
        """Windows a unit: as many as fit into unit_s, at least one."""
        return max(1, int(Fraction(self.unit_s) * self.grid.tick_hz / self.window_ticks))

    @property
    def decoder_count(self) -> int:
        return self.decoders or cores()
