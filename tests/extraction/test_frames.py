"""`--frames` is part of what a dataset is made with, and a run says how many ticks have a frame."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.extraction.options import ExtractOptions
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.options import data_options

OFFLINE = ["--models", "offline"]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("bucket")
    shutil.copy(make_video("a.mp4", 6, extra="-g 30"), folder)
    return folder


def test_exact_frames_leave_every_fingerprint_as_it_was() -> None:
    assert data_options(ExtractOptions(frames="exact")) == data_options(ExtractOptions())
    assert data_options(ExtractOptions(frames="reference"))["frames"] == "reference"


def test_key_frames_with_a_shot_detector_are_refused_with_a_cure() -> None:
    with pytest.raises(UsageError, match="Cure: --shots none"):
        ExtractOptions(frames="key", shots="adaptive")


def test_a_dataset_of_key_frames_tells_its_coverage_and_goes_on_with_key_frames(
    bucket: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "features")
    assert main(["extract", str(bucket), output, *OFFLINE, "--frames", "key"]) == 0
    assert "2 of 6 ticks (33%) have a frame, with --frames key" in capsys.readouterr().out
    options = Dataset.open(output).snapshot.options
    assert (options["frames"], options["shots"]) == ("key", "none")
    assert main(["status", output, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frame_coverage"] == pytest.approx(1 / 3, abs=0.001)
    assert main(["extract", str(bucket), output, *OFFLINE]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["extract", str(bucket), output, *OFFLINE, "--frames", "exact"]) == 2
    assert "frames: stored key, asked exact" in capsys.readouterr().err
