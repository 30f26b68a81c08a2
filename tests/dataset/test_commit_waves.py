"""A commit's cost is its wave's: counts by difference, and files of the videos table merged in levels, against a plain model."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.commits import counted
from reelbeam.pipeline.dataset import (
    Dataset,
    DatasetSettings,
    commit_videos,
    commit_wave,
    compact_shards,
    count_videos,
    videos_tables,
    write_wave,
)
from reelbeam.pipeline.dataset import commit as commit_module
from reelbeam.pipeline.nightly import verify_dataset
from reelbeam.schemas import snapshot as snapshots
from reelbeam.schemas.elements import Grid
from reelbeam.schemas.errors import CorruptOutput
from reelbeam.schemas.example_rows import EXAMPLE_SHAPE, example_windows
from reelbeam.schemas.snapshot import Snapshot
from reelbeam.schemas.storage import Storage

SETTINGS = DatasetSettings({}, {}, Grid(window_ticks=EXAMPLE_SHAPE.ticks), EXAMPLE_SHAPE)
FACTS = {
    **{"title": "", "description": "", "content_sha256": "0" * 64, "attempts": 1, "size_bytes": 1, "frames": 8},
    **{"words": 1, "duration_ms": 60_000, "container": "mov", "video_codec": "h264", "width": 1280, "height": 720},
    **{"audio_codec": "aac", "rotation": 0, "fps": 30.0, "missing_since_ms": 0},
    **{"title_embedding": None, "description_embedding": None},
}


def video_id(number: int) -> str:
    return f"{number * 2654435761 % 2**64:016x}"


def known_rows(storage: Storage) -> dict[str, dict[str, Any]]:
    current = snapshots.latest(storage)
    return Dataset(storage, current).facts if current else {}


def commit_some(storage: Storage, numbers: set[int], etag: str, failed: bool = False) -> Snapshot:
    """Commits a wave of some videos with two windows each, or of videos that failed."""
    run, ids = snapshots.new_run(), sorted(map(video_id, numbers))
    status = {"status": "failed", "windows": 0, "frames": 0} if failed else {"status": "ok", "windows": 2}
    rows = [{**FACTS, **status, "video_id": key, "uri": f"/{key}.mp4", "etag": etag, "run": run} for key in ids]
    windows = example_windows(2 * len(ids), 0)
    for name, values in (("video_id", ids), ("uri", [f"/{key}.mp4" for key in ids])):
        field = windows.schema.field(name)
        values = [value for value in values for _ in range(2)]
        windows = windows.set_column(windows.schema.get_field_index(name), field, pa.array(values, pa.string()))
    lost = {"stage": "decode", "kind": "k", "message": "m", "retryable": True, "start_ms": 0, "end_ms": 0, "run": run}
    failures = [{**lost, "video_id": key, "uri": f"/{key}.mp4"} for key in ids] if failed else []
    planned = {key: row for key, row in known_rows(storage).items() if key in set(ids)}
    wave = write_wave(storage, run, EXAMPLE_SHAPE.text_dim, rows, [] if failed else [windows], failures)
    return commit_wave(storage, SETTINGS, replace(wave, planned=planned))


def check(storage: Storage, model: dict[str, tuple[str, int]]) -> None:
    """The dataset holds what the model does, its counts are right, and verify finds nothing."""
    dataset = Dataset(storage, snapshots.load(storage))
    assert {key: (row["etag"], row["windows"]) for key, row in dataset.facts.items()} == model
    held = Counter(key for _, batch in dataset.batches(["video_id"]) for key in batch["video_id"].to_pylist())
    assert held == {key: windows for key, (_, windows) in model.items() if windows}
    failures = sum(info.rows for info in dataset.snapshot.failures)
    assert dataset.snapshot.counts == count_videos(dataset.facts, failures)
    assert list(verify_dataset(dataset)) == []


@pytest.fixture
def small_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos_tables, "FAN_OUT", 2)
    monkeypatch.setattr(videos_tables, "LEVEL_ROWS", (6, 12))


STEPS = st.tuples(
    st.sampled_from(["extract", "extract", "fail", "remove", "compact", "other process"]),
    st.sets(st.integers(0, 12), min_size=1, max_size=5),
)


@given(st.lists(STEPS, min_size=1, max_size=9))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_waves_removals_and_compactions_ends_as_in_a_plain_model(
    small_levels: None, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, set[int]]]
) -> None:
    storage = Storage.at(tmp_path_factory.mktemp("waves"))
    model: dict[str, tuple[str, int]] = {}
    for at, (step, numbers) in enumerate(steps):
        ids = set(map(video_id, numbers))
        if step in ("extract", "fail"):
            commit_some(storage, numbers, f"etag-{at}", step == "fail")
            model |= dict.fromkeys(ids, (f"etag-{at}", 0 if step == "fail" else 2))
        elif step == "remove" and (gone := ids & set(model)):
            known = known_rows(storage)
            rows = [
                {**known[key], **dict.fromkeys(("title_embedding", "description_embedding")), "status": "removed"}
                for key in gone
            ]
            commit_videos(storage, SETTINGS, rows, {key: known[key] for key in gone})
            model = {key: row for key, row in model.items() if key not in gone}
        elif step == "compact" and model:
            compact_shards(storage, snapshots.new_run(), 1 << 20, 2, 0.1)
        elif step == "other process":
            videos_tables.known_videos.cache_clear()
        if snapshots.latest(storage):
            check(storage, model)


def test_the_files_of_the_videos_table_stay_few_and_each_is_merged_at_most_twice(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    for wave in range(40):
        commit_some(storage, {wave}, "e")
    tables = snapshots.load(storage).videos
    assert len(tables) <= 16
    assert sum(info.rows for info in tables) == 40
    rows = [256] * 4096
    plan = videos_tables.merge_plan(rows)
    assert [len(group) for group in plan] == [256] * 16
    assert max(sum(rows[at] for at in group) for group in plan) == 65_536


def test_a_commit_reads_and_writes_about_as_much_after_many_commits_as_after_few(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    costs = []
    for wave in range(80):
        with counted() as traffic:
            commit_some_rows(storage, wave)
        costs.append(traffic)
    early, late = (
        [sum(one.read for one in costs[at : at + 16]), sum(one.written for one in costs[at : at + 16])]
        for at in (16, 64)
    )
    assert late[0] < 1.5 * early[0]
    assert late[1] < 1.5 * early[1]


def commit_some_rows(storage: Storage, wave: int) -> None:
    """A wave of 20 new videos that have no windows, as it is written and committed by a launcher."""
    run = snapshots.new_run()
    rows = [
        {**FACTS, "status": "ok", "windows": 0, "video_id": video_id(at), "uri": f"/{at}.mp4", "etag": "e", "run": run}
        for at in range(20 * wave, 20 * wave + 20)
    ]
    commit_wave(storage, SETTINGS, write_wave(storage, run, EXAMPLE_SHAPE.text_dim, rows))


def test_another_launcher_s_commits_count_from_the_next_commit_on(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    commit_some(storage, {1, 2}, "a")
    mine = videos_tables.known_videos(storage.root)
    videos_tables.known_videos.cache_clear()
    commit_some(storage, {2, 3}, "b")  # by another process
    videos_tables.known_videos(storage.root).held = mine.held
    after = commit_some(storage, {3, 4}, "c")
    assert after.counts["videos"] == 4
    check(storage, {video_id(1): ("a", 2), video_id(2): ("b", 2), video_id(3): ("c", 2), video_id(4): ("c", 2)})


def test_a_dataset_of_an_early_version_with_many_small_files_is_merged_by_its_next_commit(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(videos_tables, "FAN_OUT", 10_000)
        for wave in range(20):
            commit_some(storage, {wave, wave + 1}, f"e{wave}")
    old = snapshots.load(storage)
    assert len(old.videos) == 20
    storage.put(snapshots.snapshot_path(old.number), replace(old, counts={"videos": 21}).to_json())
    after = commit_some(storage, {5}, "new")
    assert len(after.videos) == 6  # sixteen merged, five yet to be
    model = {video_id(at): (f"e{min(at, 19)}", 2) for at in range(21)} | {video_id(5): ("new", 2)}
    check(storage, model)


@pytest.mark.parametrize("damage", [b"", None])
def test_a_file_that_is_cut_or_gone_before_the_commit_is_not_published(
    tmp_path: Path, damage: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, real = Storage.at(tmp_path), commit_module.check_written

    def damaged(at: Storage, files: list[Any]) -> None:
        path = files[0].path
        at.delete(path) if damage is None else at.put(path, damage)
        real(at, files)

    monkeypatch.setattr(commit_module, "check_written", damaged)
    with pytest.raises(CorruptOutput, match="nothing was published"):
        commit_some(storage, {1}, "e")
    assert snapshots.latest(storage) is None
