"""Each odd file costs itself at most: what else is there is done, and what is lost is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from odd_media import ODD, Odd, preview_first

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.transforms.probe import probe_file


@pytest.mark.parametrize(
    "odd", [pytest.param(odd, id=odd.make.__name__, marks=[pytest.mark.slow] if odd.slow else []) for odd in ODD]
)
def test_an_odd_input_ends_as_it_should(odd: Odd, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    assert main(["extract", str(odd.make(made)), str(tmp_path / "out"), "--models", "offline"]) == 0
    dataset = Dataset.open(str(tmp_path / "out"))
    counts = dataset.snapshot.counts
    failures = dataset.table("failures").to_pylist()
    assert sorted(f"{row['stage']} {row['kind']}" for row in failures) == list(odd.failures)
    assert {name: counts[name] for name in ("ok", "partial", "failed")} == {
        "ok": odd.ok,
        "partial": odd.partial,
        "failed": odd.failed,
    }
    assert all(row["message"] and row["uri"] for row in failures)
    if odd.lost_s:
        assert sum(row["end_ms"] - row["start_ms"] for row in failures) / 1000 == pytest.approx(odd.lost_s, rel=0.1)
    assert main(["verify", str(tmp_path / "out")]) == 0


def test_a_small_track_that_comes_first_is_a_preview_and_not_the_film(tmp_path: Path) -> None:
    probe = probe_file(preview_first(tmp_path))
    assert (probe.width, probe.height, probe.video_stream) == (320, 180, 1)
