"""open_index and the retrieval jobs answer as brute force does, within what a filter lets through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_vectors import Clusters, MadeDataset

from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.dataset.row_locations import RowLocations
from reelbeam.pipeline.dataset.vectors import frame_vectors
from reelbeam.pipeline.indexes.options import IndexOptions
from reelbeam.pipeline.indexes.update import run_index, update_index
from reelbeam.pipeline.search.knn import knn_table
from reelbeam.pipeline.search.opened_index import Filter, Frames, open_index
from reelbeam.pipeline.search.retrieval import near_duplicates, outliers, similar
from reelbeam.pipeline.search.tagging import keyframes, read_labels, tag_with
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.tensors import tensor

WORLD = Clusters(16, 300)
QUERIES = WORLD.draw(25, seed=7)


def encode(dataset: Dataset, wanted: int, device: str) -> np.ndarray:
    return WORLD.draw(wanted, seed=99)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeDataset:
    """A base and a delta, with videos removed before and after the last update."""
    dataset = MadeDataset(tmp_path_factory.mktemp("open") / "features", 16)
    options = IndexOptions(index="IVF32,SQfp16", device="cpu", queries=100)
    dataset.add([WORLD.draw(2000, seed) for seed in range(2)], valid=0.9)
    run_index(dataset.root, options, encode=encode)
    dataset.remove(set(dataset.videos()[:5]))
    dataset.add([WORLD.draw(400, seed=50)])
    update_index(dataset.root, options, encode=encode)
    dataset.remove(set(dataset.videos()[10:15]))
    return dataset


@pytest.fixture(scope="module")
def frames(made: MadeDataset) -> Frames:
    return open_index(made.root)


def facts(made: MadeDataset) -> list[dict[str, Any]]:
    """Every frame that counts, one by one: the plain loop that filters are checked against."""
    found = []
    columns = ["uri", "language", "speech_status", "tick_pts_ms", "tick_valid", "frame_embedding"]
    for rows, batch in Dataset.open(made.root).batches(columns):
        plain = batch.select(["uri", "language", "speech_status"]).to_pylist()
        for at, row in enumerate(plain):
            for tick in range(made.shape.ticks):
                if tensor(batch, "tick_valid")[at, tick]:
                    found.append(
                        {
                            **row,
                            "id": int(rows[at]) * made.shape.ticks + tick,
                            "ms": int(tensor(batch, "tick_pts_ms")[at, tick]),
                            "vector": tensor(batch, "frame_embedding")[at, tick].astype(np.float32),
                        }
                    )
    return found


FILTERS: list[tuple[dict[str, Any], Any]] = [
    ({}, lambda one: True),
    ({"uri": "*/farm/*"}, lambda one: "/farm/" in one["uri"]),
    ({"language": "de"}, lambda one: one["language"] == "de"),
    ({"start_ms": 3000, "end_ms": 9000}, lambda one: 3000 <= one["ms"] < 9000),
    ({"present": ("speech", "audio")}, lambda one: one["speech_status"] == "ok"),
    (
        {"uri": "*/city/*", "language": "en", "end_ms": 2000},
        lambda one: "/city/" in one["uri"] and one["language"] == "en" and one["ms"] < 2000,
    ),
    ({"uri": "*/nowhere/*"}, lambda one: False),
]


@pytest.mark.parametrize(("wanted", "fits"), FILTERS, ids=lambda given: str(given) if isinstance(given, dict) else "")
def test_filters_and_removed_rows_are_honoured_exactly(
    made: MadeDataset, frames: Frames, wanted: dict[str, Any], fits: Any
) -> None:
    counted = [one for one in facts(made) if fits(one)]
    allowed = {one["id"] for one in counted}
    _, at_tuned = frames.nearest(QUERIES, 10, Filter(**wanted))
    assert set(at_tuned[at_tuned >= 0].tolist()) <= allowed
    if wanted:
        assert set(frames.allowed(Filter(**wanted)).tolist()) == allowed
    tuned, frames.searcher.nprobe = frames.searcher.nprobe, frames.searcher.nlist
    try:
        scores, ids = frames.nearest(QUERIES, 10, Filter(**wanted))
    finally:
        frames.searcher.nprobe = tuned
    if not counted:
        assert (ids == -1).all()
        return
    exact = QUERIES @ np.stack([one["vector"] for one in counted]).T
    order = np.argsort(-exact, axis=1)[:, :10]
    assert np.allclose(scores[:, : order.shape[1]], np.take_along_axis(exact, order, 1), atol=1e-3)
    assert (ids[:, : order.shape[1]] == np.array([one["id"] for one in counted])[order]).mean() > 0.98


def test_a_narrow_filter_finds_what_brute_force_finds_at_the_tuned_nprobe(made: MadeDataset, frames: Frames) -> None:
    wanted = {"uri": "*/city/*", "language": "en", "end_ms": 1000}
    counted = [one for one in facts(made) if "/city/" in one["uri"] and one["language"] == "en" and one["ms"] < 1000]
    exact = QUERIES @ np.stack([one["vector"] for one in counted]).T
    best = np.array([one["id"] for one in counted])[np.argsort(-exact, axis=1)[:, :5]]
    _, ids = frames.nearest(QUERIES, 5, Filter(**wanted))
    assert (ids == best).mean() > 0.95


def test_a_frame_found_says_where_it_is(made: MadeDataset, frames: Frames) -> None:
    one = facts(made)[123]
    [found, *_] = frames.search(vector=3 * one["vector"], k=3)
    assert (found.id, found.uri, found.ms) == (one["id"], one["uri"], one["ms"])
    assert found.score == pytest.approx(1, abs=2e-3)
    [moment, *_] = frames.moments(vector=one["vector"], k=2, uri=one["uri"])
    assert (moment.uri, moment.best_ms) == (one["uri"], one["ms"])


def test_more_is_asked_than_there_is(frames: Frames) -> None:
    found = frames.search(vector=QUERIES[0], k=50, uri="*/city/00010000000000000000.mp4")
    assert len(found) < 50


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"text": "a", "vector": QUERIES[0]},
        {"vector": np.zeros(16)},
        {"vector": np.ones(5)},
        {"vector": QUERIES[0], "present": ("smell",)},
    ],
)
def test_questions_without_sense_are_refused(frames: Frames, asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        frames.search(**asked)


@pytest.mark.parametrize("form", ["list", "fixed", "tensor"])
def test_knn_answers_each_query_of_a_file_as_one_by_one(frames: Frames, tmp_path: Path, form: str) -> None:
    kinds: dict[str, Any] = {
        "list": pa.array([*QUERIES.tolist(), None], pa.list_(pa.float32())),
        "fixed": pa.FixedSizeListArray.from_arrays(pa.array(QUERIES.ravel()), 16),
        "tensor": pa.array([row.tobytes() for row in QUERIES.astype(np.float32)], pa.binary(64)),
    }
    metadata = {"dtype": "float32", "shape": "[16]"} if form == "tensor" else None
    field = pa.field("vector", kinds[form].type, True, metadata)
    pq.write_table(pa.table([kinds[form]], schema=pa.schema([field])), tmp_path / "queries.parquet", row_group_size=7)
    asked = knn_table(frames, str(tmp_path / "queries.parquet"), str(tmp_path / "out.parquet"), "vector", 4, "cpu")
    assert asked == len(kinds[form])
    answers = pq.read_table(tmp_path / "out.parquet").to_pylist()
    for number, query in enumerate(QUERIES):
        mine = [(row["id"], row["rank"], row["uri"], row["ms"]) for row in answers if row["query"] == number]
        single = frames.search(vector=query, k=4)
        assert mine == [(one.id, rank, one.uri, one.ms) for rank, one in enumerate(single, 1)]


def test_knn_refuses_queries_of_another_size_or_kind(frames: Frames, tmp_path: Path) -> None:
    file = tmp_path / "queries.parquet"
    for values, reason in ((pa.array([[1.0, 2.0]]), "16 numbers"), (pa.array([1]), "give text")):
        pq.write_table(pa.table({"vector": values}), file)
        with pytest.raises(UsageError, match=reason):
            knn_table(frames, str(file), str(tmp_path / "out.parquet"), "vector", 4, "cpu")
    with pytest.raises(UsageError, match="no column 'other'"):
        knn_table(frames, str(file), str(tmp_path / "out.parquet"), "other", 4, "cpu")
    file.write_bytes(b"no parquet")
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        knn_table(frames, str(file), str(tmp_path / "out.parquet"), "vector", 4, "cpu")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """Videos of 20 frames in dimensions enough to be unlike each other; video 3 is video 1 again, with a little noise."""
    dataset = MadeDataset(tmp_path_factory.mktemp("copies") / "features", 64)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 64))
    values[60:80] = values[20:40] + 0.03 * rng.normal(size=(20, 64))
    values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    dataset.add([values])
    run_index(dataset.root, IndexOptions(device="cpu", queries=50), encode=lambda *given: values[: given[1]])
    return open_index(dataset.root)


def test_a_copy_is_found_as_one_pair_of_spans_with_a_threshold_from_the_data(copies: Frames) -> None:
    found, threshold, clarity = near_duplicates(copies)
    [pair] = found.to_pylist()
    uris = RowLocations(copies.dataset).uris
    assert (pair["uri"], pair["other_uri"]) == (uris[1], uris[3])
    assert (pair["start_ms"], pair["end_ms"], pair["other_start_ms"], pair["other_end_ms"]) == (0, 20_000, 0, 20_000)
    assert pair["frames"] == 20
    assert 0.6 < threshold < 0.98
    assert clarity > 0.7


def test_where_nothing_is_copied_no_threshold_is_made_up(frames: Frames, tmp_path: Path) -> None:
    dataset = MadeDataset(tmp_path / "features", 64)
    values = np.random.default_rng(1).normal(size=(400, 64))
    values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    dataset.add([values])
    run_index(dataset.root, IndexOptions(device="cpu", queries=50), encode=lambda *given: values[: given[1]])
    with pytest.raises(UsageError, match="--threshold"):
        near_duplicates(open_index(dataset.root))
    assert len(near_duplicates(open_index(dataset.root), 0.9)[0]) == 0


def test_the_copy_of_a_video_is_most_similar_to_it(copies: Frames) -> None:
    uris = RowLocations(copies.dataset).uris
    [best, *_] = similar(copies, uris[1], 3).to_pylist()
    assert best["uri"] == uris[3]
    assert best["frames"] == 20
    assert best["score"] > 0.9
    with pytest.raises(UsageError, match="no video of that name"):
        similar(copies, "nowhere.mp4", 3)


def test_what_is_copied_is_no_outlier_and_scores_are_brute_force(copies: Frames) -> None:
    [strangest, *others] = outliers(copies, 18, neighbours=3).to_pylist()
    uris = RowLocations(copies.dataset).uris
    assert not {uris[1], uris[3]} & {row["uri"] for row in [strangest, *others]}
    values = np.concatenate([some for _, some in frame_vectors(copies.dataset)])
    likeness = values @ values.T
    for at in range(20):  # frames of one video are one scene
        likeness[20 * at : 20 * at + 20, 20 * at : 20 * at + 20] = -np.inf
    by_hand = 1 - np.sort(likeness, axis=1)[:, -3:].mean(axis=1)
    assert strangest["score"] == pytest.approx(by_hand.max(), abs=1e-3)
    assert [row["score"] for row in others] == sorted((row["score"] for row in others), reverse=True)


def test_keyframes_stand_for_the_whole_video(tmp_path: Path) -> None:
    dataset = MadeDataset(tmp_path / "features", 16)
    scenes = np.repeat(np.eye(16, dtype=np.float32)[:3], [10, 6, 4], axis=0)
    dataset.add([scenes])
    opened = Dataset.open(dataset.root)
    found = keyframes(opened, RowLocations(opened).uris[0], 3).to_pylist()
    assert [row["share"] for row in found] == [0.5, 0.3, 0.2]
    assert [np.searchsorted([10_000, 16_000], row["ms"], side="right") for row in found] == [0, 1, 2]
    assert all(row["likeness"] == pytest.approx(1, abs=1e-3) for row in found)


def test_a_window_gets_the_label_that_fits_it_best(tmp_path: Path) -> None:
    dataset = MadeDataset(tmp_path / "features", 16)
    shown = np.repeat(np.eye(16, dtype=np.float32)[[0, 1, 2, 1]], 4, axis=0)
    dataset.add([shown])
    found = tag_with(Dataset.open(dataset.root), ["a", "b", "c"], np.eye(16, dtype=np.float32)[:3], 10.0, 1).to_pylist()
    assert [row["label"] for row in found] == ["a", "b", "c", "b"]
    assert [(row["start_ms"], row["end_ms"]) for row in found[:2]] == [(0, 4000), (4000, 8000)]
    assert found[0]["probability"] == pytest.approx(np.exp(10) / (np.exp(10) + 2), abs=1e-4)
    assert [row["percentile"] for row in found] == [0.75, 0.5, 0.75, 0.5]


def test_a_file_of_labels_has_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("# animals\ncow\n\n cat \ncow\n")
    assert read_labels(str(file)) == ["cow", "cat"]
    file.write_text("# nothing\n")
    with pytest.raises(UsageError, match="no label"):
        read_labels(str(file))
