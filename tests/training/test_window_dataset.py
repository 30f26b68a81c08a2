"""The torch dataset gives every sample once, resumes exactly, and hands out what is stored."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from benchmarks.made import made_rows, put_snapshot
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.training.window_dataset import WindowDataset
from reelbeam.schemas.errors import CorruptOutput, UsageError
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.switched_off import turned_off
from reelbeam.schemas.tables import RowShape
from reelbeam.schemas.tensors import tensor

SHAPE = RowShape(ticks=3, frame_dim=8, audio_dim=5, text_dim=6)
VIDEOS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] * 4
HALF = sum(VIDEOS) // 2
REMOVED = (f"{3:016x}", f"{19:016x}")


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return made_rows(sum(VIDEOS), 5, SHAPE, VIDEOS)


@pytest.fixture(scope="module")
def dataset(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two shards of several row groups; two videos of the first one were removed."""
    folder = tmp_path_factory.mktemp("features")
    put_snapshot(folder, [rows.slice(0, HALF), rows.slice(HALF)], SHAPE, group_bytes=6_000)
    opened = Dataset.open(str(folder))
    first, second = opened.snapshot.shards
    shards = (replace(first, removed=REMOVED), second)
    return replace(opened, snapshot=replace(opened.snapshot, shards=shards))


@pytest.fixture(scope="module")
def kept(rows: pa.Table) -> list[int]:
    """The numbers of the rows that count."""
    removed = [at < HALF and video in REMOVED for at, video in enumerate(rows["video_id"].to_pylist())]
    return [at for at, gone in enumerate(removed) if not gone]


def numbers(batches: Any) -> list[Any]:
    return [row for batch in batches for row in batch["row"].tolist()]


def loader(windows: WindowDataset, workers: int) -> DataLoader:
    return DataLoader(windows, batch_size=None, num_workers=workers)


def test_a_column_whose_sense_is_off_is_refused_with_the_cure(rows: pa.Table, tmp_path: Path) -> None:
    silent = replace(SHAPE, off=("sound", "speech"))
    put_snapshot(tmp_path, [turned_off(rows, silent)], silent)
    dataset = Dataset.open(str(tmp_path))
    [first, *_] = WindowDataset(dataset, ["frame_embedding", "audio_status"], batch_size=4)
    assert first["audio_status"] == ["off"] * 4
    for column, sense in (("audio_feature", "sound"), ("text", "speech")):
        with pytest.raises(UsageError, match=f"{sense} is off.*--senses .{sense} --remodel"):
            WindowDataset(dataset, [column], batch_size=4)
    with pytest.raises(UsageError, match="language: speech is off"):
        WindowDataset(dataset, [], batch_size=4, where=[("language", "==", "en")])


def test_the_stored_order_is_every_row_that_counts(dataset: Dataset, kept: list[int]) -> None:
    windows = WindowDataset(dataset, [], batch_size=7)
    batches = list(windows)
    assert numbers(batches) == kept
    assert {len(batch["row"]) for batch in batches[:-1]} == {7}
    assert windows.samples == len(kept)


def test_a_shuffled_epoch_is_another_order_of_the_same_rows(dataset: Dataset, kept: list[int]) -> None:
    windows = WindowDataset(dataset, [], batch_size=7, shuffle=1)
    epochs = []
    for epoch in range(3):
        windows.set_epoch(epoch)
        epochs.append(numbers(windows))
        assert sorted(epochs[-1]) == kept
        assert numbers(windows) == epochs[-1], "the same epoch again"
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert epochs[0] != kept
    assert numbers(WindowDataset(dataset, [], batch_size=50, shuffle=1)) == epochs[0], "another batch size, same order"
    assert numbers(WindowDataset(dataset, [], batch_size=7, shuffle=2)) != epochs[0]


@pytest.mark.parametrize("shuffle", [None, 3])
def test_a_batch_holds_what_is_stored(dataset: Dataset, rows: pa.Table, shuffle: int | None) -> None:
    columns = ["frame_embedding", "tick_valid", "text_embedding", "start_ms", "avg_logprob", "text", "words"]
    for batch in WindowDataset(dataset, columns, batch_size=11, shuffle=shuffle):
        wanted = rows.take(batch["row"].tolist()).combine_chunks()
        for name in ("frame_embedding", "tick_valid", "text_embedding"):
            np.testing.assert_array_equal(batch[name].numpy(), tensor(wanted, name))
        assert batch["frame_embedding"].dtype == torch.float16
        assert batch["text_embedding_present"].tolist() == wanted["text_embedding"].is_valid().to_pylist()
        assert not batch["text_embedding"][~batch["text_embedding_present"]].any()
        assert batch["start_ms"].tolist() == wanted["start_ms"].to_pylist()
        assert batch["avg_logprob"].tolist() == wanted["avg_logprob"].fill_null(0).to_pylist()
        assert batch["text"] == wanted["text"].to_pylist()
        assert batch["words"] == wanted["words"].to_pylist()


def test_tensors_may_be_changed_in_place_and_the_shards_stay_as_they_are(dataset: Dataset) -> None:
    for shuffle in (None, 3):
        windows = WindowDataset(dataset, ["frame_embedding"], batch_size=11, shuffle=shuffle)
        before = []
        for batch in windows:
            before.append(batch["frame_embedding"].clone())
            batch["frame_embedding"].fill_(9)
        after = [batch["frame_embedding"] for batch in windows]
        assert all(torch.equal(left, right) for left, right in zip(before, after, strict=True))


def test_a_shuffled_batch_within_a_block_is_a_view_of_what_was_read(dataset: Dataset) -> None:
    batches = list(WindowDataset(dataset, ["frame_embedding"], batch_size=2, shuffle=1))
    memory = [batch["frame_embedding"].data_ptr() for batch in batches]
    assert len(memory) > 20
    beside = [right - left for left, right in itertools.pairwise(memory)]
    assert beside.count(2 * 3 * 8 * 2) > len(batches) / 2, "batches lie side by side in the block's memory"


READERS = [(ranks, workers) for ranks in (1, 2, 3) for workers in (0, 1, 2, 4)]


def in_workers(windows: WindowDataset, workers: int) -> Iterator[dict[str, Any]]:
    """What a DataLoader does with `workers` processes, in this one: hundreds of runs would take minutes otherwise."""
    if not workers:
        yield from windows
        return
    from torch.utils.data import _utils

    readers = []
    for number in range(workers):
        info = _utils.worker.WorkerInfo(id=number, num_workers=workers, seed=0, dataset=windows)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_utils.worker, "_worker_info", info)
            readers.append(iter(list(windows)))
    while readers:
        for reader in list(readers):
            batch = next(reader, None)
            if batch is None:
                readers.remove(reader)
            else:
                yield batch


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.sampled_from(READERS),
    after=st.sampled_from(READERS),
    batch=st.integers(1, 30),
    stop=st.integers(0, 40),
    seed=st.none() | st.integers(0, 9),
    sequence=st.sampled_from([1, 1, 3]),
)
def test_a_run_stopped_anywhere_goes_on_with_exactly_the_rest(
    dataset: Dataset,
    before: tuple[int, int],
    after: tuple[int, int],
    batch: int,
    stop: int,
    seed: int | None,
    sequence: int,
) -> None:
    def windows(rank: int, ranks: int) -> WindowDataset:
        return WindowDataset(dataset, [], batch_size=batch, shuffle=seed, sequence=sequence, rank=rank, ranks=ranks)

    whole = [str(row) for row in numbers(windows(0, 1))]
    seen, state = [], windows(0, 1).state_dict()
    for rank in range(before[0]):
        for at, found in enumerate(in_workers(windows(rank, before[0]), before[1])):
            if at == stop:
                break
            seen += [str(row) for row in found["row"].tolist()]
            state = max(state, found["state"], key=lambda known: known["position"])
    rest = []
    for rank in range(after[0]):
        resumed = windows(rank, after[0])
        resumed.load_state_dict(state)
        rest += [str(row) for row in numbers(in_workers(resumed, after[1]))]
    assert sorted(seen + rest) == sorted(whole)
    assert sorted(seen) == sorted(whole[: len(seen)])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_plain_loader_resumes_by_the_state_of_its_last_batch(dataset: Dataset, kept: list[int], workers: int) -> None:
    windows = WindowDataset(dataset, ["tick_valid"], batch_size=9, shuffle=4)
    windows.set_epoch(2)
    seen = []
    for at, batch in enumerate(loader(windows, workers)):
        seen += batch["row"].tolist()
        if at == 4:
            break
    resumed = WindowDataset(dataset, ["tick_valid"], batch_size=9, shuffle=4)
    resumed.load_state_dict(batch["state"])
    assert resumed.epoch == 2
    resumed.set_epoch(2)
    rest = numbers(loader(resumed, 2 - workers))
    assert sorted(seen + rest) == kept
    resumed.set_epoch(3)
    assert sorted(numbers(loader(resumed, workers))) == kept


def test_workers_that_outlive_an_epoch_follow_it(dataset: Dataset) -> None:
    windows = WindowDataset(dataset, [], batch_size=9, shuffle=4)
    lasting = DataLoader(windows, batch_size=None, num_workers=2, persistent_workers=True)
    epochs = []
    for epoch in range(2):
        windows.set_epoch(epoch)
        epochs.append(numbers(lasting))
    alone = WindowDataset(dataset, [], batch_size=9, shuffle=4)
    for epoch in range(2):
        alone.set_epoch(epoch)
        assert numbers(alone) == epochs[epoch]


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # torchdata's own, of torch
@pytest.mark.parametrize("workers", [0, 2])
def test_a_stateful_loader_goes_on_where_it_stood(dataset: Dataset, kept: list[int], workers: int) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader

    def make() -> Any:
        windows = WindowDataset(dataset, ["tick_valid"], batch_size=9, shuffle=4)
        return stateful(windows, batch_size=None, num_workers=workers)

    first = make()
    seen = []
    for at, batch in enumerate(first):
        seen += batch["row"].tolist()
        if at == 4:
            state = first.state_dict()
            break
    second = make()
    second.load_state_dict(state)
    assert sorted(seen + numbers(second)) == kept


def test_a_workers_own_state_is_refused_by_another_number_of_workers(dataset: Dataset) -> None:
    windows = WindowDataset(dataset, [], batch_size=9)
    state = {**windows.state_dict(), "position": 9, "reader": [1, 4, 9]}
    with pytest.raises(UsageError, match=r"batch\['state'\]"):
        windows.load_state_dict(state)


def test_a_state_of_another_order_is_refused(dataset: Dataset) -> None:
    state = WindowDataset(dataset, [], batch_size=9, shuffle=1).state_dict()
    with pytest.raises(UsageError, match="seed"):
        WindowDataset(dataset, [], batch_size=9, shuffle=2).load_state_dict(state)


def test_sequences_are_neighbouring_windows_of_one_video(dataset: Dataset, rows: pa.Table, kept: list[int]) -> None:
    length = 3
    columns = ["frame_embedding", "video_id", "window"]
    found = []
    for batch in WindowDataset(dataset, columns, batch_size=11, shuffle=1, sequence=length):
        assert batch["frame_embedding"].shape[1:] == (length, SHAPE.ticks, SHAPE.frame_dim)
        for at, numbers_ in enumerate(batch["row"].tolist()):
            assert len(set(batch["video_id"][at])) == 1
            first = int(batch["window"][at, 0])
            assert batch["window"][at].tolist() == [first, first + 1, first + 2]
            np.testing.assert_array_equal(
                batch["frame_embedding"][at].numpy(), tensor(rows.take(numbers_).combine_chunks(), "frame_embedding")
            )
            found.append(numbers_[0])
    videos = rows["video_id"].to_pylist()
    whole = set(kept)
    wanted = [
        at
        for at in kept
        if at + length <= len(videos)
        and all(at + step in whole for step in range(length))
        and videos[at] == videos[at + length - 1]
        and (at < HALF) == (at + length - 1 < HALF)
    ]
    assert sorted(found) == wanted


def test_conditions_keep_rows_by_columns(dataset: Dataset, rows: pa.Table, kept: list[int]) -> None:
    where = [("language", "==", "en"), ("window", "<", 4)]
    found = numbers(WindowDataset(dataset, [], batch_size=11, shuffle=1, where=where))
    languages, windows = rows["language"].to_pylist(), rows["window"].to_pylist()
    assert sorted(found) == [at for at in kept if languages[at] == "en" and windows[at] < 4]
    with pytest.raises(UsageError, match="no column 'loudness'"):
        WindowDataset(dataset, [], batch_size=11, where=[("loudness", ">", 0)])
    with pytest.raises(UsageError, match="no such samples"):
        WindowDataset(dataset, [], batch_size=11, where=[("window", ">", 1000)])


def test_wrong_questions_are_refused(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="no column 'loudness'"):
        WindowDataset(dataset, ["loudness"], batch_size=11)
    with pytest.raises(UsageError, match="batch_size 0"):
        WindowDataset(dataset, [], batch_size=0)


def test_without_the_last_step_ranks_take_equally_many_batches(dataset: Dataset) -> None:
    counts = {
        len(list(WindowDataset(dataset, [], batch_size=9, drop_last=True, rank=rank, ranks=3))) for rank in range(3)
    }
    assert len(counts) == 1


def test_ranks_are_those_of_torchrun(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    windows = WindowDataset(dataset, [], batch_size=9)
    assert (windows.rank, windows.ranks) == (1, 2)


def test_shards_of_a_bucket_are_fetched_once_and_checked(
    dataset: Dataset, kept: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []
    fetch = Storage.fetch
    monkeypatch.setattr(Storage, "local_path", lambda self, path: None)
    monkeypatch.setattr(Storage, "fetch", lambda self, path, to: (fetched.append(path), fetch(self, path, to))[1])
    for _ in range(2):
        assert numbers(WindowDataset(dataset, [], batch_size=9, cache=str(tmp_path))) == kept
    assert sorted(fetched) == [shard.path for shard in dataset.snapshot.shards]

    first, second = dataset.snapshot.shards
    wrong = replace(dataset, snapshot=replace(dataset.snapshot, shards=(replace(first, sha256="0" * 64), second)))
    with pytest.raises(CorruptOutput, match="reelbeam verify"):
        WindowDataset(wrong, [], batch_size=9, cache=str(tmp_path))
    assert len(list(tmp_path.glob("*.parquet"))) == 2
