"""Everything that is fixed before the first wave of a run, and checked before anything is done."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from ..models.profiles import Profile, profile
from ..schemas.errors import ModelMismatch, UsageError
from ..schemas.options import data_options, fingerprint
from ..schemas.snapshot import Snapshot
from ..schemas.storage import Storage, is_remote
from ..transforms.embed_titles import Titles
from .options import ExtractOptions, beam_options

LOCAL_RUNNER = "FnApiRunner"


@dataclass(frozen=True)
class Job:
    """Everything fixed before the first wave."""

    storage: Storage
    options: ExtractOptions
    profile: Profile
    models: dict[str, Any]
    beam: PipelineOptions

    @property
    def runner(self) -> str:
        """Beam's own choice of a local runner differs between machines with and without a network; ours does not."""
        return self.beam.view_as(StandardOptions).runner or LOCAL_RUNNER

    @property
    def titles(self) -> Titles:
        """What embeds the titles of videos."""
        return Titles(self.profile.text, self.options.device, self.profile.text.dimension)

    @property
    def fingerprint(self) -> str:
        """Of all that changes what is stored."""
        return fingerprint({"options": data_options(self.options), "models": self.models})


def prepare(output: str, options: ExtractOptions, beam_flags: Sequence[str] = ()) -> Job:
    """Checks all that can be checked before work starts. Raises UsageError, MissingWeights."""
    for program in ("ffmpeg", "ffprobe", "setpriv", "prlimit"):
        if shutil.which(program) is None:
            package = "ffmpeg" if program.startswith("ff") else "util-linux"
            raise UsageError(f"{program} is not installed; cure: apt-get install {package}")
    if not is_remote(output) and Path(output.removeprefix("file://")).expanduser().is_file():
        raise UsageError(f"{output}: OUTPUT is a file, and must be a folder or a bucket URL; cure: give another OUTPUT")
    settings = beam_options([*beam_flags])
    models = chosen(options)
    return Job(Storage.at(output), options, models, models.identities(), settings)


def chosen(options: ExtractOptions) -> Profile:
    """The models of a profile, with what the options say otherwise."""
    models = profile(options.models)
    if options.fuse:
        models = replace(models, fusion=replace(models.fusion, how=options.fuse))
    spoken = {
        name: getattr(options, name) for name in ("language", "task", "audio_embedding") if getattr(options, name)
    }
    return replace(models, whisper=replace(models.whisper, **spoken)) if spoken else models


def check_same(parent: Snapshot, job: Job) -> None:
    """Raises ModelMismatch when this run would mix other models or another grid into a dataset."""
    if parent.fingerprint == job.fingerprint:
        return
    wanted = {**data_options(job.options), **job.models}
    stored = {**parent.options, **parent.models}
    changed = [
        f"{name}: stored {stored.get(name)}, asked {wanted.get(name)}"
        for name in wanted
        if stored.get(name) != wanted.get(name)
    ]
    raise ModelMismatch(
        f"{job.storage.root} was made with other settings, and features of two models must not mix. "
        f"{'; '.join(changed)}. Cure: use the same settings, or another OUTPUT"
    )
