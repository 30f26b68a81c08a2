"""Analyses nearest neighbours: finds repeated spans, outlier frames and representative frames. Pure functions.

Scores are cosines of unit vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

JOIN_TICKS = 2
"""Matches at most this many ticks apart belong to one span."""

JITTER_TICKS = 1
"""The offset between two copies of a span may change by this much from match to match, because they are sampled separately."""

BINS = 256
SAME_DISTANCE = 0.01
"""Distances (1 - cosine) well below this do not differ meaningfully: they come from compression and float16."""


@dataclass(frozen=True)
class Match:
    """A tick that looks like another one. Videos and ticks are numbers."""

    video: int
    tick: int
    other_video: int
    other_tick: int
    score: float


@dataclass(frozen=True)
class SpanPair:
    """Two spans [first, last] of ticks with the same content, tick by tick."""

    video: int
    first: int
    last: int
    other_video: int
    other_first: int
    other_last: int
    matches: int
    score: float
    """Mean cosine."""


def split_scores(scores: np.ndarray) -> tuple[float, float]:
    """The cosine threshold between copies and merely similar frames, and how clear it is, 0 to 1 (above 0.7: two groups).

    Otsu's threshold over log(1 - cosine): copies have distances of hundredths, similar frames of tenths. The threshold is
    unclear when copies are rare (one in twenty frames or fewer).
    Source: N. Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9 (1979), 62-66.

    >>> cosine, _ = split_scores(np.array([0.99, 0.995, 0.98, 0.5, 0.6, 0.7, 0.55]))
    >>> 0.7 < cosine < 0.98
    True
    """
    values = np.log(SAME_DISTANCE + np.maximum(1 - scores.astype(np.float64), 0))
    if len(values) < 2 or np.ptp(values) == 0:
        return 1.0, 0.0
    counts, edges = np.histogram(values, BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    left = np.cumsum(counts)[:-1]
    right = len(values) - left
    sums = np.cumsum(counts * middles)
    between = left * right * (sums[:-1] / np.maximum(left, 1) - (sums[-1] - sums[:-1]) / np.maximum(right, 1)) ** 2
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))  # empty bins between the groups form one plateau
    cut = edges[1 + best[len(best) // 2]]
    spread = values.var() * len(values) ** 2
    return float(1 + SAME_DISTANCE - np.exp(cut)), float(min(1.0, between.max() / spread))


def span_pairs(matches: list[Match], least: int = 2) -> Iterator[SpanPair]:
    """Spans of matches that advance together in both videos. Each pair of videos comes once, its longest span first."""
    once: dict[tuple[int, int, int, int], float] = {}
    for match in matches:
        one, other = (match.video, match.tick), (match.other_video, match.other_tick)
        once[min(one, other) + max(one, other)] = match.score
    open_runs: dict[tuple[int, int], list[list[tuple[int, int, float]]]] = {}
    for (video, tick, other_video, other_tick), score in sorted(once.items()):
        runs = open_runs.setdefault((video, other_video), [])
        for run in reversed(runs):
            last, other_last, _ = run[-1]
            step, other_step = tick - last, other_tick - other_last
            if 0 < step <= JOIN_TICKS and 0 <= other_step <= JOIN_TICKS + 1 and abs(step - other_step) <= JITTER_TICKS:
                run.append((tick, other_tick, score))
                break
        else:
            runs.append([(tick, other_tick, score)])
    for (video, other_video), runs in sorted(open_runs.items()):
        for run in sorted(runs, key=len, reverse=True):
            if len(run) >= least:
                ticks, others, scores = zip(*run, strict=True)
                yield SpanPair(
                    video, ticks[0], ticks[-1], other_video, others[0], others[-1], len(run), float(np.mean(scores))
                )


def cover(vectors: np.ndarray, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """The `wanted` most representative of vectors float32 [n, D]: (their positions int64 [k], the representative of each
    vector as an index into them, int64 [n]).

    Greedy facility location: each step picks the frame that raises the sum of best cosines most. The sum is at least 1 - 1/e of
    the optimum.
    Source: G. Nemhauser, L. Wolsey, M. Fisher, Mathematical Programming 14 (1978), 265-294.
    """
    likeness = vectors @ vectors.T
    best = np.full(len(vectors), -1.0, np.float32)
    picked: list[int] = []
    for _ in range(min(wanted, len(vectors))):
        gains = np.maximum(likeness - best[None, :], 0).sum(axis=1)
        gains[picked] = -1
        picked.append(int(gains.argmax()))
        best = np.maximum(best, likeness[picked[-1]])
    places = np.sort(np.array(picked, np.int64))
    return places, likeness[places].argmax(axis=0) if len(places) else np.zeros(0, np.int64)


def percentile_of(values: np.ndarray, sorted_all: np.ndarray) -> np.ndarray:
    """For each value, the share of `sorted_all` that is lower.

    >>> percentile_of(np.array([1.0, 3.0]), np.array([0.0, 1.0, 2.0, 3.0])).tolist()
    [0.25, 0.75]
    """
    return np.searchsorted(sorted_all, values) / max(1, len(sorted_all))
