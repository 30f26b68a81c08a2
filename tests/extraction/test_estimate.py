"""--dry-run: all videos are probed while they are few, a seeded choice of them when they are many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reelbeam.models.profiles import profile
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.extraction import estimate
from reelbeam.pipeline.extraction.options import ExtractOptions
from reelbeam.pipeline.extraction.prepare import prepare_job
from reelbeam.schemas.elements import Video


def test_the_choice_is_the_same_in_every_run_and_in_order() -> None:
    videos = [Video(f"{at:04d}", f"/{at}.mp4", 1, "e") for at in range(5000)]
    chosen = estimate.sampled(videos)
    assert len(chosen) == 1000
    assert chosen == estimate.sampled(videos) == sorted(chosen, key=lambda video: video.video_id)
    assert estimate.sampled(videos[:7]) == videos[:7]


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    lengths = rng.lognormal(0, 1, 20_000)
    held = 0
    for _ in range(400):
        total, error = estimate.total_and_error(list(rng.choice(lengths, 1000, replace=False)), len(lengths))
        held += abs(total - lengths.sum()) <= error
    assert 0.91 <= held / 400 <= 0.985


def test_a_dry_run_over_more_videos_than_it_probes_says_so(
    make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for at in range(6):
        (folder / f"{at}.mp4").write_bytes(make_video("v.mp4", 4, sound=False).read_bytes())
    arguments = ["extract", str(folder), str(tmp_path / "out"), "--models", "offline", "--dry-run"]
    assert main(arguments) == 0
    assert "scaled up" not in (whole := capsys.readouterr().out)
    monkeypatch.setattr(estimate.sampled, "__defaults__", (3,))
    assert main(arguments) == 0
    part = capsys.readouterr().out
    assert "scaled up from 3 videos chosen at random" in part
    assert part.splitlines()[0] == whole.splitlines()[0]  # videos of one length: the estimate is exact
    assert not (tmp_path / "out").exists()


def test_a_dry_run_counts_no_bytes_of_what_is_off(make_video: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_video("v.mp4", 12).parent

    def row_bytes(senses: str) -> float:
        job = prepare_job(str(tmp_path / "out"), ExtractOptions(models="offline", senses=senses))
        found = estimate.estimate_extraction(str(folder), job)
        return found.bytes / found.windows

    shape = profile("offline").row_shape(10)
    whole = row_bytes("")
    assert whole - row_bytes("-frames") == 10 * shape.frame_dim * 2
    assert whole - row_bytes("-sound") == 10 * shape.audio_dim * 2
