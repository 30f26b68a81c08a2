"""The health of a dataset tells of each change, failure and night; findings are moments that exist."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import REPOSITORY
from nights import World

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset import Dataset
from reelbeam.pipeline.search import Frames
from reelbeam.pipeline.surveys import findings, health, snapshot_history
from reelbeam.schemas.errors import UsageError

SAMPLES = REPOSITORY / "examples" / "sample_bucket"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two nights: a video, its smaller copy and one that is no video; then one goes and another comes."""
    bucket = tmp_path_factory.mktemp("bucket")
    shutil.copy(SAMPLES / "desk.mp4", bucket / "desk.mp4")
    small = ["-vf", "scale=160:-2", "-c:a", "copy", str(bucket / "desk_small.mp4")]
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(SAMPLES / "desk.mp4"), *small], check=True, timeout=120)
    (bucket / "letter.mp4").write_text("Dear Sir")
    made = World(bucket, tmp_path_factory.mktemp("out") / "features")
    assert made.night() == 0
    assert main(["index", str(made.output), "--of", "words"]) == 0
    shutil.copy(SAMPLES / "toys.mp4", bucket / "toys.mp4")
    assert made.night() == 0
    return made


def test_health_counts_what_the_snapshot_holds(world: World) -> None:
    found = health.health_of(world.data)
    assert found.counts["videos"] == 4
    assert found.sizes["shards"] == sum(file.stat().st_size for file in world.output.glob("windows/*/*.parquet"))
    assert [one.number for one in found.snapshots] == sorted((one.number for one in found.snapshots), reverse=True)
    assert found.snapshots[0].number == found.snapshot == world.data.snapshot.number
    assert found.age_s < 600


def test_a_failed_video_is_an_example_of_its_kind(world: World) -> None:
    [kind] = health.health_of(world.data).failures
    assert (kind.stage, kind.kind, kind.number) == ("probe", "not_media", 1)
    assert kind.examples[0].uri.endswith("letter.mp4")
    assert kind.examples[0].message


def test_many_failures_of_a_kind_give_few_examples() -> None:
    one = {"stage": "decode", "kind": "truncated", "video_id": "v", "uri": "u", "message": "x" * 5_000}
    [rare, often] = health.failures_by_kind([{**one, "kind": "rare"}] * 50 + [one] * 60)[::-1]
    assert (often.number, rare.number) == (60, 50)
    assert len(often.examples) == health.EXAMPLES
    assert len(often.examples[0].message) == health.MESSAGE_LETTERS


def test_indexes_show_recall_age_and_whether_they_are_current(world: World) -> None:
    now = datetime.now(UTC)
    frames, words = sorted(health.index_health(world.data.storage, world.data.snapshot, now), key=lambda one: one.name)
    assert frames.is_current
    assert frames.recalls["frame_queries"] == 1
    assert words.kind == "tantivy"
    assert 0 <= frames.age_s < 600
    first = Dataset.open(str(world.output), snapshot_history.snapshot_facts(world.data.storage)[-1].number)
    assert health.health_of(first).indexes == []


def test_the_last_nights_are_listed_and_a_torn_report_is_left_out(world: World) -> None:
    newest, first = health.last_nights(world.data.storage)
    assert newest.found["new"] == 1
    assert first.found["new"] == 3
    assert first.failures == 1
    world.data.storage.put("runs/20990101T000000-x.report.json", b"{")
    try:
        assert len(health.last_nights(world.data.storage)) == 2
    finally:
        world.data.storage.delete("runs/20990101T000000-x.report.json")


def test_changes_name_the_videos_that_came(world: World) -> None:
    storage = world.data.storage
    facts = snapshot_history.snapshot_facts(storage)
    found = snapshot_history.snapshot_changes(storage, snapshot_history.compared_pairs(facts))
    came = [uri for one in found for uri in one.added.examples]
    assert [Path(uri).name for uri in came] == ["toys.mp4"]
    assert any("frames" in one.indexes for one in found)
    assert snapshot_history.snapshot_changes(storage, [(1, 99)]) == [], "a swept snapshot is left out"


def test_a_copy_repeats_and_each_place_is_a_frame_at_its_time(world: World) -> None:
    found = findings.repeats_of(Frames(world.data), 0.9)
    names = {Path(place.uri).name for pair in found.pairs for place in (pair.first, pair.second)}
    assert names >= {"desk.mp4", "desk_small.mp4"}
    odd = findings.outliers_of(Frames(world.data), 5)
    assert 0 < len(odd) <= 5
    for place in [pair.first for pair in found.pairs] + [one.place for one in odd]:
        row = world.data.take([place.row], ["uri", "tick_pts_ms", "tick_valid"])[place.row]
        assert row["uri"] == place.uri
        assert row["tick_valid"][place.tick]
        assert abs(int(row["tick_pts_ms"][place.tick]) - place.start_ms) <= 500


def test_every_window_with_frames_has_one_label(world: World) -> None:
    found = findings.tags_of(world.data, ("a desk", "a toy"), "cpu")
    assert sum(one.windows for one in found) == world.data.snapshot.counts["windows"]
    assert all(len(one.shown) <= findings.SHOWN_PER_LABEL for one in found)


def test_what_is_too_large_for_a_page_names_the_command(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "MOST_NEIGHBOUR_FRAMES", 3)
    monkeypatch.setattr(findings, "MOST_TAGGED_ROWS", 1)
    with pytest.raises(UsageError, match="reelbeam near-duplicates"):
        findings.repeats_of(Frames(world.data))
    with pytest.raises(UsageError, match="reelbeam tag"):
        findings.tags_of(world.data, ("a",))
    with pytest.raises(UsageError, match="at most 50"):
        findings.labels_of("\n".join(map(str, range(51))))
