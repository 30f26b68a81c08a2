"""Pixels and samples never cross a shuffle: decode to rows is one fused stage. Beam's own optimiser is asked."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.translations import PAR_DO_URNS, Stage
from apache_beam.runners.worker.bundle_processor import DATA_INPUT_URN, DATA_OUTPUT_URN

from reelbeam.models.profiles import profile
from reelbeam.pipeline.extraction import wave
from reelbeam.pipeline.extraction.options import ExtractOptions
from reelbeam.pipeline.extraction.prepare import Job
from reelbeam.pipeline.extraction.wave import build_wave
from reelbeam.schemas.elements import Video
from reelbeam.schemas.storage import Storage
from reelbeam.transforms.extract_rows import ExtractRows
from reelbeam.transforms.measure_audio import MeasureAudio

EXTRACT = "ExtractRows/"
STEPS = (
    "DecodeUnits",
    "RunModels",
    "MeasureAudio",
    "AlignToWindows",
    "EmbedText",
    "FuseModalities",
    "Units",
)


def wave_stages(output: Path) -> list[Stage]:
    """The stages that the in-process runner would execute for a wave of three videos, in their order."""
    job = Job(Storage.at(output), ExtractOptions(models="offline"), profile("offline"), {}, PipelineOptions([]))
    videos = [Video(f"{at:016x}", f"/videos/{at}.mp4", 1000, "etag") for at in range(3)]
    pipeline = beam.Pipeline(runner="FnApiRunner", options=job.beam)
    build_wave(pipeline, videos, job, "run")
    return FnApiRunner().create_stages(pipeline.to_runner_api())[1]


def extract_stages(stages: list[Stage]) -> list[Stage]:
    """The stages that run any step of ExtractRows."""
    return [stage for stage in stages if any(step.unique_name.startswith(EXTRACT) for step in stage.transforms)]


def user_steps(stages: list[Stage]) -> list[str]:
    """The step of ExtractRows that each user function in some stages belongs to, sorted."""
    return sorted(
        step.unique_name.split("/")[1]
        for stage in stages
        for step in stage.transforms
        if step.spec.urn in PAR_DO_URNS and step.unique_name.startswith(EXTRACT)
    )


def shuffles(stage: Stage, urn: str) -> list[str]:
    """Names of the shuffles that a stage reads from or writes to."""
    return [step.unique_name for step in stage.transforms if step.spec.urn == urn]


def test_all_steps_from_decode_to_rows_run_in_one_stage(tmp_path: Path) -> None:
    found = extract_stages(wave_stages(tmp_path))
    assert len(found) == 1, [stage.name for stage in found]
    assert user_steps(found) == sorted(STEPS)


def test_only_planned_units_enter_the_stage_that_holds_pixels_and_only_rows_leave_it(tmp_path: Path) -> None:
    [stage] = extract_stages(wave_stages(tmp_path))
    assert [name.split("/")[0] for name in shuffles(stage, DATA_INPUT_URN)] == ["Spread"]
    assert {name.split("/")[0] for name in shuffles(stage, DATA_OUTPUT_URN)} == {"WriteShards", "WriteBooks"}


def test_a_hint_on_the_whole_of_extract_rows_keeps_it_in_one_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wave, "ExtractRows", lambda *args: ExtractRows(*args).with_resource_hints(min_ram="4GB"))
    found = extract_stages(wave_stages(tmp_path))
    assert len(found) == 1, [stage.name for stage in found]
    assert user_steps(found) == sorted(STEPS)


def test_a_hint_on_one_inner_step_would_split_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hinted(self: MeasureAudio, groups: beam.PCollection) -> beam.PCollection:
        return groups | beam.ParDo(self.do).with_resource_hints(min_ram="4GB")

    monkeypatch.setattr(MeasureAudio, "expand", hinted)
    found = extract_stages(wave_stages(tmp_path))
    assert len(found) == 3, "before the hinted step, the step, and after it"
    assert user_steps(found) == sorted(STEPS)


def test_a_reshuffle_between_two_steps_would_split_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reshuffled(self: MeasureAudio, groups: beam.PCollection) -> beam.PCollection:
        return groups | beam.Reshuffle() | beam.ParDo(self.do)

    monkeypatch.setattr(MeasureAudio, "expand", reshuffled)
    assert len(extract_stages(wave_stages(tmp_path))) == 2
