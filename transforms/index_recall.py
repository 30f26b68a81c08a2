"""Recall of an index: the share of the exact k nearest that it finds, the confidence interval, and the nprobe needed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..schemas.index_manifest import OperatingPoint, Recall

RECALL_AT = (1, 10, 100)
RECALL_K = 10
"""The k of the recall that nprobe is tuned for and that the gate checks."""

TIE = 1e-5
"""Scores that differ by less are a tie: near-duplicate frames of a still scene tie, and each of them is a correct result."""

TARGET_ABOVE_GATE = 0.5
"""nprobe is tuned to a recall halfway between the gate and 1, so that new rows do not push it below the gate at once."""

CONFIDENCE_Z = 1.96
"""Standard deviations of a 95% interval."""

LATENCY_QUERIES = 50
"""Number of queries that are timed one by one."""

Search = Callable[[np.ndarray, int, int], tuple[np.ndarray, np.ndarray]]
"""(queries float32 [q, D], k, nprobe) -> scores float32 [q, k], ids int64 [q, k]."""


@dataclass(frozen=True)
class Truth:
    """Queries and their exact answers. `own` is the id of the query itself, which is not an answer; -2 for none."""

    name: str
    vectors: np.ndarray
    own: np.ndarray
    scores: np.ndarray
    ids: np.ndarray

    @property
    def queries(self) -> int:
        return len(self.vectors)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95% confidence interval of a share observed in `count` trials.

    Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927), 209-212.

    >>> [round(bound, 3) for bound in wilson(1.0, 100)], [round(bound, 3) for bound in wilson(0.5, 100)]
    ([0.963, 1.0], [0.404, 0.596])
    """
    if not count:
        return 0.0, 1.0
    z2 = CONFIDENCE_Z**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = CONFIDENCE_Z / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))  # rounding may cross the share


def recall_of(share: float, queries: int, k: int = RECALL_K) -> Recall:
    """A recall with its Wilson interval. Trials are queries, because the hits of one query are not independent."""
    low, high = wilson(share, queries)
    return Recall(recall=share, low=low, high=high, queries=queries, k=k)


def drop_own(scores: np.ndarray, ids: np.ndarray, k: int, without: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Removes each query's own id (`without` int64 [q]) from its results and keeps the k best."""
    if without is None:
        return scores[:, :k], ids[:, :k]
    own = np.argsort(ids == without[:, None], axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, own, 1), np.take_along_axis(ids, own, 1)


def recall(found_scores: np.ndarray, found_ids: np.ndarray, exact_scores: np.ndarray, exact_ids: np.ndarray) -> Recall:
    """recall@k. A found vector is a hit when it is among the exact k best, or ties with the last of them."""
    hits = wanted = 0
    for scores, ids, true_scores, true_ids in zip(found_scores, found_ids, exact_scores, exact_ids, strict=True):
        real = true_ids >= 0
        wanted += int(real.sum())
        worst = true_scores[real].min() if real.any() else np.inf
        right = (ids >= 0) & (np.isin(ids, true_ids) | (scores >= worst - TIE))
        hits += min(int(right.sum()), int(real.sum()))
    return recall_of(hits / wanted if wanted else 1.0, len(found_ids), exact_ids.shape[1])


def recalls(truth: Truth, found_scores: np.ndarray, found_ids: np.ndarray) -> dict[int, Recall]:
    """recall@1, @10 and @100 of search results for the queries of `truth`."""
    return {k: recall(found_scores[:, :k], found_ids[:, :k], truth.scores[:, :k], truth.ids[:, :k]) for k in RECALL_AT}


def measure(search: Search, truths: list[Truth], nprobe: int | None) -> OperatingPoint:
    """Recall and latency at one nprobe (None for an index without lists)."""
    found, seconds, singles = {}, 0.0, []
    for truth in truths:
        started = time.perf_counter()
        scores, ids = search(truth.vectors, max(RECALL_AT) + 1, nprobe or 1)
        seconds += time.perf_counter() - started
        found[truth.name] = recalls(truth, *drop_own(scores, ids, max(RECALL_AT), truth.own))
        for at in range(min(LATENCY_QUERIES, truth.queries)):
            started = time.perf_counter()
            search(truth.vectors[at : at + 1], RECALL_K, nprobe or 1)
            singles.append(1000 * (time.perf_counter() - started))
    queries = sum(truth.queries for truth in truths)
    return OperatingPoint(
        nprobe, float(np.median(singles)) if singles else 0.0, 1000 * seconds / max(1, queries), found
    )


def target_of(gate: float) -> float:
    """The recall that nprobe is tuned to: the gate plus a margin.

    >>> target_of(0.9)
    0.95
    """
    return gate + (1 - gate) * TARGET_ABOVE_GATE


def tune(
    measured: Callable[[int | None], OperatingPoint], lists: int, gate: float, first: int = 1
) -> tuple[OperatingPoint, list[OperatingPoint]]:
    """The smallest nprobe (a power of two) at which every recall@10 reaches `target_of(gate)`, and all measured points."""
    if not lists:
        point = measured(None)
        return point, [point]
    points, nprobe = [], min(first, lists)
    while True:
        points.append(measured(nprobe))
        if points[-1].worst(RECALL_K) >= target_of(gate) or nprobe >= lists:
            return points[-1], points
        nprobe = min(nprobe * 2, lists)
