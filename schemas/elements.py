"""Records that the stages pass on: small frozen dataclasses, to which each stage adds its results.

Clock: every `*_ms` and `*_s` is on the video's presentation clock, which starts at zero (see `Probe.zero_s`).
Spans are half-open. A tick is an instant of the uniform grid `tick / tick_hz`; a window is `window_ticks` ticks.

    Video -> Probe -> Unit ... UnitFeatures -> rows
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from .errors import Failure

if TYPE_CHECKING:
    from .senses import FrameNeed, SenseFrames, SenseRows

SAMPLE_RATE_HZ = 16_000
"""All sound is decoded to mono float32 at this rate, the native one of Whisper and silero."""


@dataclass(frozen=True)
class Sidecar:
    """One subtitle file beside a video, as it was listed."""

    uri: str
    size_bytes: int
    etag: str
    language: str = ""
    """As its name says, by Whisper's code; empty where it says none."""

    @property
    def name(self) -> str:
        """The name of the file, without its folder."""
        return self.uri.rpartition("/")[2]


@dataclass(frozen=True)
class Video:
    """One listed video. `video_id` never changes: it depends only on the uri."""

    video_id: str
    uri: str
    size_bytes: int
    etag: str
    """The store's etag; on a local disk `mtime_ns-size`. The same etag means the same bytes."""
    title: str | None = None
    """None when the listing has no titles: a stored title is then kept."""
    description: str | None = None
    attempts: int = 0
    """Number of earlier runs that tried this video."""
    failure: Failure | None = None
    """Why the listing could not reach the video. Such a video is recorded as failed and never opened."""
    sidecars: tuple[Sidecar, ...] = ()
    """Subtitle files that bear its name."""
    sidecars_known: bool = True
    """False where it could not be looked up which there are: those that the videos table names count on."""


@dataclass(frozen=True)
class Caption:
    """One caption of a text stream, on the presentation clock."""

    language: str
    """Two letters where Whisper has a code for it, else the container's tag; empty where the container names none."""
    text: str
    start_ms: int
    end_ms: int
    source: str
    """The stream or the sidecar file that it comes from."""


@dataclass(frozen=True)
class Probe:
    """Facts of a file from ffprobe, on ffmpeg's clock unless stated otherwise. A stream is None when the file has none."""

    container: str
    duration_ms: int
    """Presentation length; 0 when the file does not state it."""
    zero_s: Fraction
    """Time on ffmpeg's clock at which the presentation starts."""
    seek_base_s: Fraction
    """Container start time: ffmpeg's `-ss` counts from it."""
    video_stream: int | None
    video_codec: str
    time_base: Fraction
    """Seconds per pts unit of the video stream."""
    width: int
    height: int
    """As displayed: after rotation and pixel aspect."""
    rotation: int
    fps: float
    audio_stream: int | None
    audio_codec: str
    audio_start_ms: int
    """Presentation time of the first sound; above 0 when the sound starts late."""
    content_sha256: str = ""
    field_order: str = ""
    """Field that comes first in interlaced video, "top" or "bottom"; empty for progressive video."""
    is_hdr: bool = False
    """Whether the transfer function is PQ or HLG: frames are tone-mapped before CLIP sees them."""
    pixel_format: str = ""
    """ffmpeg's name, such as yuv420p."""
    audio_channels: int = 1
    """Channels of the sound stream. Several channels may cancel each other in the mono mix."""
    lost_ms: int = 0
    """Media in the file that no decoder gives, as after joining files byte by byte."""
    lost_reason: str = ""
    captions: tuple[Caption, ...] = ()
    """Captions of the file's text streams, of a unit only its own. Read when a sense wants them."""
    captions_lost: str = ""
    """Why some of them could not be read."""
    sidecars_lost: str = ""
    """The same for those of files beside the video."""
    by_range: bool = False
    """Whether units are decoded from byte ranges of the remote file, which no worker has on disk."""


@dataclass(frozen=True)
class Grid:
    """The fixed grid of ticks and windows.

    >>> grid = Grid(tick_hz=Fraction(2), window_ticks=10)
    >>> grid.window_ms(0), grid.window_ms(1), grid.tick_ms(3)
    ((0, 5000), (5000, 10000), 1500)
    >>> Grid(Fraction(3), 10).windows(10_001)
    4
    """

    tick_hz: Fraction = Fraction(1)
    window_ticks: int = 10

    def tick_ms(self, tick: int) -> int:
        """Time of a tick, rounded down to whole milliseconds."""
        return int(tick * 1000 / self.tick_hz)

    def window_ms(self, window: int) -> tuple[int, int]:
        """Half-open span of a window."""
        return self.tick_ms(window * self.window_ticks), self.tick_ms((window + 1) * self.window_ticks)

    def windows(self, duration_ms: int) -> int:
        """Number of windows that cover a presentation of this length (at least one)."""
        length = Fraction(duration_ms) * self.tick_hz / 1000 / self.window_ticks
        return max(1, -(-length.numerator // length.denominator))


@dataclass(frozen=True)
class Unit:
    """The part of a video that one process decodes: windows [first_window, last_window), with sound around them."""

    video: Video
    probe: Probe
    number: int
    first_window: int
    last_window: int
    start_ms: int
    end_ms: int
    is_last: bool
    """Whether this is the last unit of its video. It is decoded beyond the duration in the header, to the end of the file."""


@dataclass(frozen=True)
class Decoded:
    """Frames and samples of one unit, from one decoder process. Dropped as soon as they are embedded."""

    frames: np.ndarray
    """uint8 [n, H, W, 3], RGB, in the CLIP model's input size."""
    ticks: np.ndarray
    """int32 [n], strictly increasing: the tick of each frame, counted from the start of the video."""
    pts_ms: np.ndarray
    """int32 [n]: true presentation time of each frame."""
    samples: np.ndarray
    """float32 [m] in -1..1 at SAMPLE_RATE_HZ; sample 0 is at `samples_start_ms`. Empty when there is no sound."""
    samples_start_ms: int
    sound_start_ms: int
    sound_end_ms: int
    """With `sound_start_ms`: the part of the unit that has sound. Other samples are padding. Both are equal without sound."""
    cuts_ms: np.ndarray
    """int32 [c]: presentation time of the first frame of each shot that starts in this unit."""
    for_senses: Mapping[FrameNeed, SenseFrames] = field(default_factory=dict)
    """The frames that further senses asked for."""


@dataclass(frozen=True)
class Word:
    """One spoken word. Probability is the model's own, 0..1; 1 for a word of subtitles."""

    word: str
    start_ms: int
    end_ms: int
    probability: float
    doubts: tuple[str, ...] = ()
    """Reasons to believe that nobody said the word: names of `DOUBTS` in transforms/speech_evidence.py."""


@dataclass(frozen=True)
class Passage:
    """Speech that was transcribed in one call, with the model's measures of confidence; or words of subtitles."""

    start_ms: int
    end_ms: int
    words: tuple[Word, ...]
    language: str
    avg_logprob: float | None
    no_speech_prob: float | None
    compression_ratio: float | None
    """These three are None of words that are subtitles."""
    dropped: tuple[Word, ...] = ()
    """Words that Whisper invented: neither voice nor sound at their time."""


@dataclass(frozen=True)
class UnitFeatures:
    """A unit and its features so far. None means that a stage has not run or had no input."""

    unit: Unit
    decoded: Decoded | None = None
    frame_embeddings: np.ndarray | None = None
    """float32 [n, D], unit length, one per decoded frame."""
    passages: tuple[Passage, ...] | None = None
    speech_spans_ms: tuple[tuple[int, int], ...] = ()
    """Spans with voice activity."""
    audio_features: np.ndarray | None = None
    """float32 [ticks of the unit's windows, A]; see `covered_windows`."""
    failures: tuple[Failure, ...] = field(default=())
    speech_states: np.ndarray | None = None
    """float32 [unit's windows, W]: sums of Whisper's encoder states, zeros without speech; see transforms/pool_speech.py."""
    senses: Mapping[str, SenseRows] = field(default_factory=dict)
    """What each further sense found, by its name."""
    speech_source: str = ""
    """Where the words come from and why; empty where Whisper hears everything without a choice."""


Group = tuple[UnitFeatures, ...]
"""Units that are processed together, so that model batches are full. Groups are planned, so they are the same in every run."""

Run = tuple[Group, ...]
"""Groups that one worker processes one after the other: consecutive ones of a long video, else a single one."""


@dataclass(frozen=True)
class UnitRows:
    """The windows of one unit as a table of `tables.windows_schema`, sorted. Shots count from 0 within the unit."""

    unit: Unit
    table: pa.Table
    cuts: int
    """Number of shots that start in this unit. Later units of the video continue the count."""
    failures: tuple[Failure, ...] = field(default=())


@dataclass(frozen=True)
class UnitOutcome:
    """Counts and failures of one unit, for the videos and failures tables."""

    video_id: str
    number: int
    windows: int
    frames: int
    words: int
    failures: tuple[Failure, ...]
