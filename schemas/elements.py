"""What flows between the stages: small frozen records, enriched in a straight line.

Clock: every `*_ms` and `*_s` is on the video's own presentation clock, which starts at zero (see `Probe.zero_s`).
Spans are half-open. A tick is an instant of the uniform grid `tick / tick_hz`; a window is `window_ticks` ticks.

    Video -> Probe -> Unit ... UnitFeatures -> rows
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pyarrow as pa

from .errors import Failure

SAMPLE_RATE_HZ = 16_000
"""All sound is decoded to mono float32 at this rate: Whisper's and silero's native one."""


@dataclass(frozen=True)
class Video:
    """One object of the bucket, as the listing saw it. `video_id` is for life: it depends on the uri alone."""

    video_id: str
    uri: str
    size_bytes: int
    etag: str
    """The store's etag; on a local disk `mtime_ns-size`. Two listings with the same etag saw the same bytes."""
    title: str | None = None
    """None where the listing has no titles: what is known stays."""
    description: str | None = None
    attempts: int = 0
    """How many earlier runs have tried it."""
    failure: Failure | None = None
    """Why the listing could not reach it: such a video is recorded as failed, and never opened."""


@dataclass(frozen=True)
class Probe:
    """What ffprobe says of a file, on ffmpeg's clock except where said. Streams are None when there is none."""

    container: str
    duration_ms: int
    """Presentation length; 0 when the file does not say."""
    zero_s: Fraction
    """The instant on ffmpeg's own clock at which the presentation starts."""
    seek_base_s: Fraction
    """Container start time: ffmpeg's `-ss` counts from it."""
    video_stream: int | None
    video_codec: str
    time_base: Fraction
    """Seconds a pts unit of the video stream."""
    width: int
    height: int
    """As displayed: after rotation and pixel aspect."""
    rotation: int
    fps: float
    audio_stream: int | None
    audio_codec: str
    audio_start_ms: int
    """Presentation time of the first sound: above 0 where it comes in late."""
    content_sha256: str = ""
    field_order: str = ""
    """"top" or "bottom" of interlaced video: the field that comes first."""
    is_hdr: bool = False
    """PQ or HLG: brighter than a CLIP model has ever seen, until it is tone-mapped."""
    pixel_format: str = ""
    """ffmpeg's name, such as yuv420p."""
    audio_channels: int = 1
    """Channels of the sound stream; more than one may cancel each other in the mono mix."""
    lost_ms: int = 0
    """Media that the file holds and no decoder gives, as after joining files byte by byte."""
    lost_reason: str = ""


@dataclass(frozen=True)
class Grid:
    """The fixed grid that ticks and windows lie on.

    >>> grid = Grid(tick_hz=Fraction(2), window_ticks=10)
    >>> grid.window_ms(0), grid.window_ms(1), grid.tick_ms(3)
    ((0, 5000), (5000, 10000), 1500)
    >>> Grid(Fraction(3), 10).windows(10_001)
    4
    """

    tick_hz: Fraction = Fraction(1)
    window_ticks: int = 10

    def tick_ms(self, tick: int) -> int:
        """The instant of a tick, rounded down to whole milliseconds."""
        return int(tick * 1000 / self.tick_hz)

    def window_ms(self, window: int) -> tuple[int, int]:
        """Half-open span of a window."""
        return self.tick_ms(window * self.window_ticks), self.tick_ms((window + 1) * self.window_ticks)

    def windows(self, duration_ms: int) -> int:
        """How many windows cover a presentation of this length (at least one)."""
        length = Fraction(duration_ms) * self.tick_hz / 1000 / self.window_ticks
        return max(1, -(-length.numerator // length.denominator))


@dataclass(frozen=True)
class Unit:
    """What is decoded at once: the windows [first_window, last_window) of one video, with sound around them."""

    video: Video
    probe: Probe
    number: int
    first_window: int
    last_window: int
    start_ms: int
    end_ms: int
    is_last: bool
    """The last unit of a video decodes to the end of the file, whatever the header said."""


@dataclass(frozen=True)
class Decoded:
    """Frames and samples of one unit, from one decoder process. Dropped as soon as they are embedded."""

    frames: np.ndarray
    """uint8 [n, S, S, 3], RGB, the centre square that the CLIP model sees."""
    ticks: np.ndarray
    """int32 [n], strictly rising: the tick that each frame serves, counted from the video's start."""
    pts_ms: np.ndarray
    """int32 [n]: true presentation time of each frame."""
    samples: np.ndarray
    """float32 [m] in -1..1 at SAMPLE_RATE_HZ; sample 0 is at `samples_start_ms`. Empty when there is no sound."""
    samples_start_ms: int
    sound_start_ms: int
    sound_end_ms: int
    """The part of the unit that really has sound: outside it samples are padding. Equal when there is none."""
    cuts_ms: np.ndarray
    """int32 [c]: presentation times of the first frame of each new shot that starts in this unit."""


@dataclass(frozen=True)
class Word:
    """One spoken word. Probability is the model's own, 0..1."""

    word: str
    start_ms: int
    end_ms: int
    probability: float
    doubts: tuple[str, ...] = ()
    """Evidence that nobody said it: names of `DOUBTS` in transforms/speech_evidence.py."""


@dataclass(frozen=True)
class Passage:
    """A stretch of speech that was transcribed at once, with the model's own measures of how sure it was."""

    start_ms: int
    end_ms: int
    words: tuple[Word, ...]
    language: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    dropped: tuple[Word, ...] = ()
    """Words that nobody said: no voice and no sound where they were heard."""


@dataclass(frozen=True)
class UnitFeatures:
    """A unit and all that was learned of it so far. None means that a stage has not run or had no input."""

    unit: Unit
    decoded: Decoded | None = None
    frame_embeddings: np.ndarray | None = None
    """float32 [n, D], unit length, one for each decoded frame."""
    passages: tuple[Passage, ...] | None = None
    speech_spans_ms: tuple[tuple[int, int], ...] = ()
    """Where voice activity was found."""
    audio_features: np.ndarray | None = None
    """float32 [ticks of the unit's windows, A]; see `covered_windows`."""
    failures: tuple[Failure, ...] = field(default=())
    speech_states: np.ndarray | None = None
    """float32 [unit's windows, W]: sums of Whisper's encoder states, zeros without speech; see transforms/pool_speech.py."""


Group = tuple[UnitFeatures, ...]
"""Units that travel together, so that models see full batches. Composed when planned: the same in every run."""


@dataclass(frozen=True)
class UnitRows:
    """The windows of one unit as a table of `tables.windows_schema`, sorted. Shots count from 0 within the unit."""

    unit: Unit
    table: pa.Table
    cuts: int
    """Shots that start in this unit: what later units of the video count on from."""
    failures: tuple[Failure, ...] = field(default=())


@dataclass(frozen=True)
class UnitOutcome:
    """What became of one unit: what the videos and failures tables record."""

    video_id: str
    number: int
    windows: int
    frames: int
    words: int
    failures: tuple[Failure, ...]
