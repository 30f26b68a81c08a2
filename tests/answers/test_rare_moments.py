"""A filter finds what is rare: where the best moments of all do not pass, the rows that do are searched with all lists."""

from __future__ import annotations

import numpy as np
import pytest
from made_vectors import TEXT_DIMENSION, Clusters, MadeDataset

from reelbeam.pipeline.answers import Narrowing, PassingRows, similar_videos
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.indexes.options import IndexOptions
from reelbeam.pipeline.indexes.update import run_index
from reelbeam.pipeline.playing import FramePlaces
from reelbeam.pipeline.search import FrameIndex, Moment, Searches
from reelbeam.pipeline.search.windows import WindowVectors
from reelbeam.schemas.tensors import tensor
from reelbeam.schemas.vector_sources import SPEECH

WORLD = Clusters(16, 40, 0.3)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """24,000 frames in 1,200 videos, and an index of 64 lists of which few are looked into."""
    made = MadeDataset(tmp_path_factory.mktemp("made") / "features", 16)
    made.add([WORLD.draw(8_000, seed) for seed in range(3)])
    options = IndexOptions(index="IVF64,Flat", device="cpu", queries=50, min_recall=0.0)
    run_index(made.root, options, encode=lambda *_: WORLD.draw(20, 3))
    return Dataset.open(made.root)


def all_frames(dataset: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows int64 [n], uris [n], vectors float32 [n, T, D]."""
    found = [
        (rows, np.array(batch["uri"].to_pylist()), tensor(batch, "frame_embedding").astype(np.float32))
        for rows, batch in dataset.batches(["uri", "frame_embedding"])
    ]
    rows, uris, vectors = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return rows, uris, vectors


def test_a_video_far_from_the_query_is_found_by_its_name(dataset: Dataset) -> None:
    places, passing, index = FramePlaces(dataset), PassingRows(dataset), FrameIndex(dataset)
    _, uris, vectors = all_frames(dataset)
    query = WORLD.middle[0]
    best = {uri: float((vectors[uris == uri] @ query).max()) for uri in np.unique(uris)}
    farthest = min(best, key=lambda uri: best[uri])
    looked: list[int] = []

    def look(number: int, among: np.ndarray | None) -> list[Moment]:
        looked.append(number)
        return index.search(query, number, among)

    found, more = Narrowing(uri=farthest).best(look, 3, places, lambda _: False, passing.of)
    assert found
    assert not more
    assert {one.uri for one in found} == {farthest}
    assert found[0].score == pytest.approx(best[farthest], abs=2e-3)
    assert looked == [12, 12], "the best of all once, and then only what passes"


def test_rows_that_pass_are_those_that_a_loop_finds(dataset: Dataset) -> None:
    wanted = Narrowing(uri="*7*", start_ms=5_000, end_ms=9_000)
    expected = [
        int(row)
        for rows, batch in dataset.batches(["uri", "start_ms", "end_ms"])
        for row, one in zip(rows, batch.to_pylist(), strict=True)
        if "7" in one["uri"] and one["start_ms"] < 9_000 and one["end_ms"] > 5_000
    ]
    assert expected
    assert PassingRows(dataset).of(wanted).tolist() == expected
    assert not len(PassingRows(dataset).of(Narrowing(language="klingon")))


def test_every_list_keeps_to_the_rows(dataset: Dataset) -> None:
    rows = np.arange(100, 160)
    ids = {row["video_id"] for row in dataset.take(rows.tolist(), ["video_id"]).values()}
    scores, found = FrameIndex(dataset).nearest(WORLD.draw(4, 8), 500, rows)
    assert set((found[found >= 0] // 4).tolist()) == set(rows.tolist())
    assert (np.diff(np.where(np.isfinite(scores), scores, -9), axis=1) <= 0).all()
    spoken = WindowVectors(dataset, SPEECH).nearest(np.ones(TEXT_DIMENSION, np.float32) / TEXT_DIMENSION**0.5, 50, rows)
    assert {one.video_id for one in spoken} <= ids
    assert Searches(dataset).index.search(WORLD.middle[1], 5, np.zeros(0, np.int64)) == []


def test_similar_videos_are_those_with_the_nearest_frames(dataset: Dataset) -> None:
    places, index = FramePlaces(dataset), FrameIndex(dataset)
    index.faiss.nprobe = 64
    rows, _, vectors = all_frames(dataset)
    ids = {row: held["video_id"] for row, held in dataset.take(rows.tolist(), ["video_id"]).items()}
    video = ids[int(rows[0])]
    found = similar_videos(index, places, video, 5, set(ids.values()))
    assert len(found) == 5
    assert video not in {one.video_id for one in found}
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    own = np.array([ids[int(row)] == video for row in rows])
    flat = vectors[~own].reshape(-1, vectors.shape[2])
    nearest = float((vectors[own].reshape(-1, vectors.shape[2]) @ flat.T).max())
    assert max(one.score for one in found) <= nearest + 2e-3
    gone = {one.video_id for one in found}
    others = similar_videos(index, places, video, 5, set(ids.values()) - gone)
    assert not gone & {one.video_id for one in others}
    assert similar_videos(index, places, "no such video", 5, set(ids.values())) == []
