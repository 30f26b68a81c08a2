"""`--frames` is part of what a dataset is made with, and a run says how many ticks have a frame."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from fractions import Fraction
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


def test_ticks_follow_the_key_frames_of_a_new_dataset_and_then_stay(
    bucket: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, asked = str(tmp_path / "features"), [*OFFLINE, "--frames", "key", "--tick-hz", "auto"]
    videos = tmp_path / "videos"
    shutil.copytree(bucket, videos)
    assert main(["extract", str(videos), output, *asked]) == 0
    said = capsys.readouterr()
    assert "--tick-hz 1/3: in 1 videos key frames are 3.0 to 3.0 s apart" in said.err
    assert "2 of 2 ticks (100%) have a frame" in said.out
    assert Dataset.open(output).snapshot.grid.tick_hz == Fraction(1, 3)
    assert main(["extract", str(videos), output, *asked]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["nightly", str(videos), output, *asked]) == 0
    assert "1 videos listed; 1 unchanged" in capsys.readouterr().out
    assert main(["nightly", str(videos), output, *OFFLINE, "--frames", "key", "--tick-hz", "1"]) == 2
    assert "tick_hz: stored 1/3, asked 1" in capsys.readouterr().err


def test_ticks_follow_key_frames_alone(bucket: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", str(bucket), str(tmp_path / "out"), *OFFLINE, "--tick-hz", "auto"]) == 2
    assert "--tick-hz auto --frames exact: ticks can follow key frames alone" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
