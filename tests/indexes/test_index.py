"""An index finds what brute force finds, under ids that mean the same frame for life."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from reelbeam.pipeline.search.frames import Hit, merge_hits
from reelbeam.schemas.elements import Grid
from reelbeam.schemas.index_manifest import OperatingPoint
from reelbeam.transforms import build_index
from reelbeam.transforms.build_index import (
    exact_search,
    fill,
    index_search,
    kmeans_on_gpu,
    lists_of,
    new_index,
    sample,
)
from reelbeam.transforms.index_kinds import choose_kind
from reelbeam.transforms.index_recall import recall, recall_of, tune, wilson


def clustered(count: int, dimension: int = 16, seed: int = 0) -> np.ndarray:
    """float32 [count, dimension], unit length, around 20 centres."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(20, dimension))[rng.integers(0, 20, count)] + 0.4 * rng.normal(size=(count, dimension))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def pieces(values: np.ndarray, ids: np.ndarray, size: int = 700) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for at in range(0, len(values), size):
        yield ids[at : at + size], values[at : at + size]


VALUES = clustered(3000)
IDS = np.arange(3000) * 7 + 11
QUERIES = clustered(40, seed=5)


def test_exact_search_in_pieces_is_brute_force() -> None:
    scores, ids = exact_search(QUERIES, pieces(VALUES, IDS), 10)
    by_hand = QUERIES @ VALUES.T
    order = np.argsort(-by_hand, axis=1)[:, :10]
    assert np.allclose(scores, np.take_along_axis(by_hand, order, 1), atol=1e-5)
    assert np.array_equal(ids, IDS[order])


def test_a_query_s_own_vector_does_not_count() -> None:
    picked, queries = sample(pieces(VALUES, IDS), len(VALUES), 50)
    _, ids = exact_search(queries, pieces(VALUES, IDS), 10, picked)
    assert not (ids == picked[:, None]).any()
    _, with_own = exact_search(queries, pieces(VALUES, IDS), 1)
    assert np.array_equal(with_own[:, 0], picked)


@pytest.mark.parametrize("kind", ["Flat", "IVF16,Flat", "IVF16,SQfp16"])
def test_an_index_that_looks_everywhere_answers_exactly(kind: str) -> None:
    index = new_index(kind, 16, VALUES)
    fill(index, pieces(VALUES, IDS))
    if lists := lists_of(index):
        lists.nprobe = 16
    exact = exact_search(QUERIES, pieces(VALUES, IDS), 10)
    assert recall(*index_search(index, QUERIES, 10), *exact).recall > 0.99


def test_recall_is_the_share_of_the_exact_best_that_was_found() -> None:
    exact_ids = np.array([[1, 2, 3, 4]])
    exact_scores = np.array([[0.9, 0.8, 0.7, 0.6]])
    assert recall(np.array([[0.9, 0.8, 0.1, 0.1]]), np.array([[1, 2, 8, 9]]), exact_scores, exact_ids).recall == 0.5
    assert recall(np.array([[0.9, 0.8, 0.6, 0.6]]), np.array([[1, 2, 8, 9]]), exact_scores, exact_ids).recall == 1
    assert recall(np.array([[0.9, -1, -1, -1]]), np.array([[1, -1, -1, -1]]), exact_scores, exact_ids).recall == 0.25


def test_nprobe_is_the_smallest_that_clears_the_gate_with_room() -> None:
    def measured(nprobe: int | None) -> OperatingPoint:
        return OperatingPoint(
            nprobe, 0.0, 0.0, {"frames": {10: recall_of({1: 0.6, 2: 0.7, 4: 0.8, 8: 0.9}[nprobe or 0], 10)}}
        )

    best, points = tune(measured, 16, 0.7)
    assert (best.nprobe, best.worst(10)) == (8, 0.9)
    assert [point.nprobe for point in points] == [1, 2, 4, 8]
    assert tune(measured, 2, 0.7)[0].nprobe == 2, "no more than there are lists"


def test_the_interval_of_a_share_holds_the_truth_nineteen_times_of_twenty() -> None:
    rng = np.random.default_rng(0)
    for share in (0.5, 0.9, 0.99):
        seen = rng.binomial(200, share, 2000) / 200
        held = [low <= share <= high for low, high in (wilson(one, 200) for one in seen)]
        assert np.mean(held) > 0.93


def test_kinds_grow_with_the_number_of_vectors() -> None:
    assert choose_kind(10) == "Flat"
    assert choose_kind(1_000_000) == "IVF4096,SQfp16"


def test_a_factory_string_that_faiss_does_not_know_is_named() -> None:
    with pytest.raises(ValueError, match="Nonsense12"):
        new_index("Nonsense12", 16, VALUES)


def test_a_sample_is_drawn_from_everywhere_once() -> None:
    ids, values = sample(pieces(VALUES, IDS), len(VALUES), 500)
    assert len(set(ids.tolist())) == 500
    assert np.array_equal(values, VALUES[(ids - 11) // 7])
    assert ids.max() > 15_000


def hit(score: float, tick: int, shot: int = 0, video: str = "a") -> Hit:
    row = {"video_id": video, "uri": video, "words": [], "tick_pts_ms": np.arange(1000) * 1000}
    return Hit(score, tick, shot, row, tick)


def test_hits_that_touch_in_one_shot_are_one_moment() -> None:
    hits = [hit(0.9, 10), hit(0.8, 11), hit(0.7, 13), hit(0.6, 30), hit(0.5, 14, shot=1), hit(0.4, 10, video="b")]
    moments = merge_hits(hits, 10, Grid())
    assert [(moment.video_id, moment.start_ms, moment.end_ms, moment.score) for moment in moments] == [
        ("a", 10_000, 12_000, 0.9), ("a", 30_000, 31_000, 0.6), ("a", 14_000, 15_000, 0.5), ("b", 10_000, 11_000, 0.4)
    ]  # fmt: skip


def test_a_moment_grows_through_good_hits_in_whatever_order_they_score() -> None:
    moments = merge_hits([hit(0.9, 16), hit(0.88, 13), hit(0.85, 15), hit(0.8, 14), hit(0.3, 17)], 10, Grid())
    assert [(moment.start_ms, moment.end_ms) for moment in moments] == [(13_000, 17_000)]


def test_no_more_moments_than_wanted() -> None:
    assert len(merge_hits([hit(0.9 - at / 100, 10 * at) for at in range(20)], 3, Grid())) == 3


def test_lists_found_on_a_gpu_are_as_good_as_those_of_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same arithmetic runs on a CPU, through torch; the sum of cosines to the nearest centre is what k-means raises."""
    found = kmeans_on_gpu(VALUES, 16, 10, "cpu")
    by_faiss = new_index("IVF16,Flat", 16, VALUES)
    reference = lists_of(by_faiss).quantizer.reconstruct_n(0, 16)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert (VALUES @ found.T).max(axis=1).mean() > 0.98 * (VALUES @ reference.T).max(axis=1).mean()
    monkeypatch.setattr(build_index, "kmeans_on_gpu", lambda values, centres, rounds, device: found)
    for kind in ("IVF16,SQfp16", "PCA8,IVF16,SQ8"):
        if kind.startswith("PCA"):
            monkeypatch.setattr(
                build_index, "kmeans_on_gpu", lambda values, *given: kmeans_on_gpu(values, 16, 10, "cpu")
            )
        index = new_index(kind, 16, VALUES, device="cuda")
        assert index.is_trained
        assert lists_of(index).quantizer.ntotal == 16
