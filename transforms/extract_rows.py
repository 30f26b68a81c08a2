"""ExtractRows: all steps from a planned unit to its rows, as one transform.

Pixels and samples exist only inside it. It must run as one fused stage: put resource hints and reshuffles around it, never
inside (a test reads the stage graph).
"""

from __future__ import annotations

import apache_beam as beam

from ..models.loaded import Spec, preload
from ..models.profiles import Profile
from ..schemas.elements import Grid, UnitOutcome, UnitRows
from ..schemas.row_shape import MODEL_OF
from ..schemas.senses import Sense
from .align import AlignToWindows
from .decode import DecodeLimits
from .decode_groups import DecodeUnits
from .embed_frames import EmbedFrames
from .embed_text import EmbedText
from .fuse import FuseModalities
from .measure_audio import MeasureAudio
from .run_models import ModelWork, RunModels
from .run_senses import RunSenses
from .transcribe import TranscribeSpeech
from .unit_speech import find_speech_spans

EVERY_MODEL = frozenset({"clip", "whisper", "audio", "text"})
"""The models of a profile. With them runs every further sense; without all of them, the senses in `parts` run."""


def running_senses(profile: Profile, parts: frozenset[str]) -> list[Sense]:
    """The further senses that run: those in `parts`, or all beside every model."""
    return [one for one in profile.senses if parts == EVERY_MODEL or one.name in parts]


def wanted_streams(profile: Profile, parts: frozenset[str]) -> tuple[bool, bool]:
    """Whether the models and senses in `parts` need the pictures, and whether they need the sound."""
    senses = running_senses(profile, parts)
    anything = any(not (one.frames or one.samples or one.words) for one in senses)
    pictures = anything or "clip" in parts or any(one.frames for one in senses)
    sound = anything or bool(parts & {"whisper", "audio"}) or any(one.samples or one.words for one in senses)
    return pictures, sound


def preload_models(profile: Profile, parts: frozenset[str], device: str) -> None:
    """Begins to load the models of a wave in this process. Whoever calls it before the videos are probed waits less for them."""
    specs: dict[str, Spec] = {"clip": profile.clip, "whisper": profile.whisper, "text": profile.text}
    for part in sorted((parts & set(specs)) - {MODEL_OF[sense] for sense in profile.off}):
        preload(specs[part], device)


class ExtractRows(beam.PTransform):
    """Groups of planned units -> one UnitRows per unit. Fills only the columns of the models in `parts`."""

    def __init__(
        self,
        profile: Profile,
        grid: Grid,
        limits: DecodeLimits,
        decoders: int,
        device: str,
        still_difference: float = 0.0,
        parts: frozenset[str] = EVERY_MODEL,
    ):
        super().__init__()
        self.still_difference, self.parts = still_difference, parts
        self.profile, self.grid, self.limits = profile, grid, limits
        self.decoders, self.device = decoders, device

    def expand(self, groups: beam.PCollection) -> beam.PCollection:
        models, grid = self.profile, self.grid
        works: dict[str, ModelWork] = {
            "clip": EmbedFrames(models.clip, self.device, self.still_difference),
            "whisper": TranscribeSpeech(models.whisper, grid, self.device),
        }
        senses = running_senses(models, self.parts)
        needs = tuple(dict.fromkeys(one.frames for one in senses if one.frames))
        found = groups | DecodeUnits(grid, models.clip.pixels, self.limits, self.decoders, needs=needs)
        parts = self.parts - {MODEL_OF[sense] for sense in models.off}
        if on := [work for part, work in works.items() if part in parts]:
            found = found | RunModels(*on)
        if "whisper" not in parts and ("whisper" in self.parts or "audio" in parts):
            # the share of voice activity is one of the audio features, and stored where speech is off
            found = found | "Voice" >> beam.Map(find_speech_spans)
        if "audio" in parts:
            found = found | MeasureAudio(models.audio, grid)
        if senses:
            found = found | RunSenses(senses, grid, self.device)
        shape = models.row_shape(grid.window_ticks)
        rows = found | AlignToWindows(grid, shape)
        if "text" in self.parts:
            rows = rows | EmbedText(models.text, shape, self.device)
        if self.parts == EVERY_MODEL:
            rows = rows | FuseModalities(models, self.device)
        return rows | "Units" >> beam.FlatMap(list)


def outcome_of(rows: UnitRows) -> UnitOutcome:
    """A unit's counts and failures, for the videos and failures tables."""
    valid = rows.table["tick_valid"].to_pylist()
    words = [spoken or () for spoken in rows.table["words"].to_pylist()]
    return UnitOutcome(
        rows.unit.video.video_id,
        rows.unit.number,
        len(rows.table),
        sum(sum(ticks) for ticks in valid),
        sum(len(spoken) for spoken in words),
        rows.failures,
    )
