"""Builds a FAISS index over frame embeddings and measures it. Pure functions over streams of vectors; no Beam yet.

A vector's id is `row * T + tick`, where row is the window's global number: 64 bits, for life, no side table.
Vectors have unit length and the metric is the inner product, so a score is a cosine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import faiss
import numpy as np

Vectors = Iterator[tuple[np.ndarray, np.ndarray]]
"""Pieces of (ids int64 [n], vectors float32 [n, D])."""

FLAT_UP_TO = 50_000
"""Vectors below which exact search answers in milliseconds, and nothing else is worth its loss."""

TRAINING_A_LIST = 64
"""Training vectors a list: FAISS asks for at least 39 and uses at most 256."""

RECALL_K = 10
TIE = 1e-5
"""Scores closer than this are the same: near-duplicate frames of a still scene tie, and any of them is right."""

TARGET_ABOVE_GATE = 0.5
"""nprobe is tuned halfway between the gate and 1, so that the next night's rows do not fall under it at once."""


@dataclass(frozen=True)
class Recall:
    """Share of the exact k best that an index finds, over some queries."""

    recall: float
    queries: int
    k: int = RECALL_K


def choose_kind(vectors: int) -> str:
    """A FAISS factory string for so many vectors.

    >>> choose_kind(1000), choose_kind(200_000)
    ('Flat', 'IVF2048,SQfp16')
    """
    if vectors <= FLAT_UP_TO:
        return "Flat"
    lists = 2 ** round(math.log2(4 * math.sqrt(vectors)))
    return f"IVF{lists},SQfp16"


def new_index(kind: str, dimension: int, training: np.ndarray) -> faiss.Index:
    """An empty, trained index that keeps our ids. Raises ValueError for a factory string that FAISS does not know."""
    try:
        index = faiss.index_factory(dimension, kind, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise ValueError(f"FAISS does not know the index {kind!r}: {error}") from error
    if lists := lists_of(index):
        needed = lists.nlist * 39
        if len(training) < lists.nlist:
            raise ValueError(
                f"{kind} has {lists.nlist} lists, which need {needed} vectors to train; there are {len(training)}"
            )
        lists.cp.seed = 1
    index.train(training)
    return index if lists else faiss.IndexIDMap2(index)


def lists_of(index: faiss.Index) -> faiss.IndexIVF | None:
    """The inverted lists inside an index, if it has any."""
    try:
        return faiss.extract_index_ivf(index)
    except RuntimeError:
        return None


def fill(index: faiss.Index, vectors: Vectors) -> None:
    """Adds all vectors under their ids."""
    for ids, values in vectors:
        index.add_with_ids(values, ids)


def sample(vectors: Vectors, total: int, wanted: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`wanted` vectors drawn evenly at random out of `total`, in stream order: (ids, values)."""
    picked = np.sort(np.random.default_rng(seed).choice(total, min(wanted, total), replace=False))
    ids, values, start = [], [], 0
    for some_ids, some in vectors:
        here = picked[np.searchsorted(picked, start) : np.searchsorted(picked, start + len(some_ids))] - start
        ids.append(some_ids[here])
        values.append(some[here])
        start += len(some_ids)
    return np.concatenate(ids), np.concatenate(values)


def exact_search(
    queries: np.ndarray, vectors: Vectors, k: int, without: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of all vectors for each query, by brute force in pieces: scores float32 [q, k], ids int64 [q, k].

    `without` int64 [q] is an id a query that does not count: the query's own.
    """
    spare = 0 if without is None else 1
    best = faiss.ResultHeap(len(queries), k + spare, keep_max=True)
    for ids, values in vectors:
        scores, places = faiss.knn(queries, values, min(k + spare, len(values)), faiss.METRIC_INNER_PRODUCT)
        best.add_result(scores, ids[places])
    best.finalize()
    return drop_own(best.D, best.I, k, without)


def index_search(
    index: faiss.Index, queries: np.ndarray, k: int, without: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The same from an index."""
    scores, ids = index.search(queries, k + (0 if without is None else 1))
    return drop_own(scores, ids, k, without)


def drop_own(scores: np.ndarray, ids: np.ndarray, k: int, without: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Takes each query's own id out of its results, keeping k."""
    if without is None:
        return scores[:, :k], ids[:, :k]
    own = np.argsort(ids == without[:, None], axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, own, 1), np.take_along_axis(ids, own, 1)


def recall(found_scores: np.ndarray, found_ids: np.ndarray, exact_scores: np.ndarray, exact_ids: np.ndarray) -> Recall:
    """recall@k. A found vector counts when it is among the exact k best, or ties with the last of them."""
    hits = wanted = 0
    for scores, ids, true_scores, true_ids in zip(found_scores, found_ids, exact_scores, exact_ids, strict=True):
        real = true_ids >= 0
        wanted += int(real.sum())
        worst = true_scores[real].min() if real.any() else np.inf
        right = (ids >= 0) & (np.isin(ids, true_ids) | (scores >= worst - TIE))
        hits += min(int(right.sum()), int(real.sum()))
    return Recall(hits / wanted if wanted else 1.0, len(found_ids), exact_ids.shape[1])


def tune(index: faiss.Index, measure: Callable[[], list[Recall]], gate: float) -> tuple[int | None, list[Recall]]:
    """The smallest nprobe (a power of two) whose every recall clears the gate with room; None for an index without lists."""
    lists = lists_of(index)
    if lists is None:
        return None, measure()
    target = gate + (1 - gate) * TARGET_ABOVE_GATE
    lists.nprobe = 1
    while True:
        found = measure()
        if all(one.recall >= target for one in found) or lists.nprobe >= lists.nlist:
            return lists.nprobe, found
        lists.nprobe = min(lists.nprobe * 2, lists.nlist)
