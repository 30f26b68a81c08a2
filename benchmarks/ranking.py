"""How lists of moments are best joined: over made queries with truth, chosen on one half, reported on the other.

    python -m benchmarks.ranking [--quick]

Videos of drawings, speech, writing and titles (`ranking_collection.py`), embedded by the offline models and indexed as any others. The
queries are of seven kinds: shown, said, written, titled, exact names, misspelt, and mixed, which need two sources at once. A query
is right when the first moment lies in a right window. Intervals are bootstrap percentiles over the queries of a kind.
Needs npm once, for the drawings. The power and the weights of `--in all` are those that the validation half chose, rounded.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks.measure import WORK
from benchmarks.ranking_collection import TICKS, WINDOWS_A_VIDEO, Query, compose, store
from benchmarks.results import Figure, finish
from reelbeam.pipeline.dataset import Dataset
from reelbeam.pipeline.search import Searches
from reelbeam.pipeline.search.frames import Moment
from reelbeam.pipeline.search.hybrid import POWER, WEIGHTS
from reelbeam.pipeline.words import plain_query
from reelbeam.schemas.vector_sources import FRAMES, FUSED, SPEECH

DEPTH = 100
LISTS = ("words", "frames", "speech", "titles")
POWERS = (2, 3, 4, 5)
METHODS = (
    "rank fusion, constant 60",
    "scores between least and best of the list",
    *(f"cosines above the mean, to the power {power}" for power in POWERS),
)
TRIES, STEPS, BOOTSTRAPS = 120, 160, 2000
MOST_LOSS = 2.0
"""Percentage points that a joined list may lose on a single kind."""


@dataclass(frozen=True)
class Answered:
    """A query with its lists, and the lists as votes per window for each method: float64 [methods, lists, windows]."""

    query: Query
    firsts: dict[str, Moment | None]
    votes: np.ndarray
    right: np.ndarray
    """bool [windows]"""


def answered(searches: Searches, query: Query, videos: int) -> Answered:
    """Asks every list."""
    evidence = searches.evidence(query.text, DEPTH)
    raw = {
        "frames": searches.single(FRAMES, query.text, DEPTH),
        "speech": searches.single(SPEECH, query.text, DEPTH),
        "titles": searches.titles(query.text, DEPTH),
        "words": [found.moment for found in searches.words.found(plain_query(query.text), DEPTH)],
    }
    fused = searches.single(FUSED, query.text, 1)
    firsts = {name: found[0] if found else None for name, found in {**raw, "fused": fused}.items()}
    votes = np.zeros((len(METHODS), len(LISTS), videos * WINDOWS_A_VIDEO))
    for at, name in enumerate(LISTS):
        ranks = [1 / (60 + rank) for rank in range(1, len(raw[name]) + 1)]
        scores = np.array([one.score for one in raw[name]])
        spans = (scores - scores.min(initial=0)) / max(float(np.ptp(scores)) if len(scores) else 0.0, 1e-9)
        excess = np.array([one.score for one in evidence[name]]) ** (1 / POWER)
        given = [(raw[name], ranks), (raw[name], spans), *((evidence[name], excess**power) for power in POWERS)]
        for method, (moments, values) in enumerate(given):
            for moment, value in zip(moments, values, strict=True):
                windows = places(moment, whole=name == "titles")
                votes[method, at, windows] = np.maximum(votes[method, at, windows], value)
    right = np.zeros(votes.shape[2], bool)
    right[[video * WINDOWS_A_VIDEO + window for video, window in query.right]] = True
    return Answered(query, firsts, votes, right)


def places(moment: Moment, whole: bool) -> list[int]:
    """The windows of a moment among all: that of its best frame, or all of its video."""
    first = int(moment.video_id, 16) * WINDOWS_A_VIDEO
    if whole:
        return [*range(first, first + WINDOWS_A_VIDEO)]
    return [first + min(WINDOWS_A_VIDEO - 1, int(moment.best_ms // (TICKS * 1000)))]


def first_right(found: Sequence[Answered], method: int, weights: np.ndarray) -> np.ndarray:
    """Whether each query's best window is right: bool [queries]."""
    best = [int(np.einsum("lw,l->w", one.votes[method], weights).argmax()) for one in found]
    return np.array([one.right[at] for one, at in zip(found, best, strict=True)], bool)


def single_right(found: Sequence[Answered], name: str) -> np.ndarray:
    """The same for one list alone."""
    firsts = [(one, one.firsts[name]) for one in found]
    return np.array(
        [moment is not None and bool(one.right[places(moment, False)].all()) for one, moment in firsts], bool
    )


def shares(found: Sequence[Answered], right: np.ndarray) -> dict[str, float]:
    """Right-first share per kind."""
    kinds = np.array([one.query.kind for one in found])
    return {str(kind): float(right[kinds == kind].mean()) for kind in dict.fromkeys(kinds.tolist())}


def best_single(found: Sequence[Answered]) -> dict[str, float]:
    """The best single list's share per kind."""
    every = [shares(found, single_right(found, name)) for name in (*LISTS, "fused")]
    return {kind: max(one[kind] for one in every) for kind in every[0]}


def choose(found: Sequence[Answered], method: int) -> tuple[float, np.ndarray]:
    """The weights with the most right mixed queries, where no other kind loses more than MOST_LOSS: (objective, float64 [lists])."""
    rng, single = np.random.default_rng(0), best_single(found)

    def worth(weights: np.ndarray) -> float:
        got = shares(found, first_right(found, method, weights))
        lost = sum(max(0.0, single[kind] - got[kind] - MOST_LOSS / 100) for kind in got if kind != "mixed")
        return got["mixed"] - 2 * lost

    tops = [np.median([one.votes[method, at].max() for one in found]) or 1.0 for at in range(len(LISTS))]
    tried = [rng.dirichlet(np.ones(len(LISTS))) / tops for _ in range(TRIES)]
    best = max(((worth(weights), tuple(weights)) for weights in tried), key=lambda one: one[0])
    for _ in range(STEPS):
        near = np.array(best[1]) * np.exp(rng.normal(0, 0.35, len(LISTS)) * (rng.random(len(LISTS)) < 0.5))
        value = worth(near)
        best = max(best, (value, tuple(near)), key=lambda one: one[0])
    weights = np.array(best[1])
    return best[0], weights / weights[1]


def interval(right: np.ndarray) -> tuple[float, float]:
    """95% bootstrap interval of a share, in percent."""
    rng = np.random.default_rng(0)
    means = rng.choice(right, (BOOTSTRAPS, len(right))).mean(axis=1) if len(right) else np.zeros(1)
    low, high = np.percentile(100 * means, [2.5, 97.5])
    return float(low), float(high)


def painter(quick: bool) -> tuple[list[str], object]:
    """The names that can be drawn, and the function that draws a frame of one."""
    if quick:
        names = [f"{colour}{number}" for colour in ("rubra", "verda", "blua") for number in range(20)]
        return names, lambda name, rng: np.full((64, 64, 3), hash(name) % 255, np.uint8)
    from reelbeam.models.mini_clip.drawings import fetch_drawings, load_drawings, render
    from reelbeam.models.mini_clip.evaluate import video_frame

    drawings = load_drawings(fetch_drawings(WORK / "drawings"))

    @lru_cache(maxsize=2000)
    def rendered(name: str, designer: str) -> np.ndarray:
        return render(drawings[name][designer], 256)

    def draw(name: str, rng: np.random.Generator) -> np.ndarray:
        designers = [*drawings[name]]
        return np.asarray(video_frame(rendered(name, designers[int(rng.integers(len(designers)))]), rng))

    return [*drawings], draw


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    names, draw = painter(options.quick)
    videos = 12 if options.quick else 200
    made = compose(names, seed=7, videos=videos)
    queries = made.queries[:: len(made.queries) // 40] if options.quick else made.queries
    with tempfile.TemporaryDirectory(prefix="reelbeam-bench-ranking-") as folder:
        searches = Searches(Dataset.open(store(made, Path(folder), draw)), device="cpu")  # type: ignore[arg-type]
        started = time.monotonic()
        found = [answered(searches, query, videos) for query in queries]
        print(f"{len(found)} queries asked in {time.monotonic() - started:.0f} s", flush=True)
    validation, test = found[::2], found[1::2]
    lines, chosen = [], {}
    for method, what in enumerate(METHODS):
        worth, weights = choose(validation, method)
        chosen[what] = (worth, weights, method)
        print(what, round(worth, 3), dict(zip(LISTS, weights.round(3).tolist(), strict=True)), flush=True)
    used = np.array([WEIGHTS[name] for name in LISTS])
    rows = {name: single_right(test, name) for name in (*LISTS, "fused")}
    rows |= {f"joined: {what}": first_right(test, method, weights) for what, (_, weights, method) in chosen.items()}
    rows["joined as `--in all` does"] = first_right(test, 2 + POWERS.index(POWER), used)
    kinds = np.array([one.query.kind for one in test])
    order = [*dict.fromkeys(kinds.tolist())]
    lines = [
        f"| list | {' | '.join(f'{kind} ({(kinds == kind).sum()})' for kind in order)} |",
        "|---" * (len(order) + 1) + "|",
    ]
    for name, right in rows.items():
        cells = []
        for kind in order:
            low, high = interval(right[kinds == kind])
            cells.append(f"{100 * right[kinds == kind].mean():.0f}% ({low:.0f} to {high:.0f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    single, joined = best_single(test), shares(test, rows["joined as `--in all` does"])
    losses = {kind: 100 * (single[kind] - joined[kind]) for kind in order if kind != "mixed"}
    figures = [
        Figure.of("queries", "queries asked, half of them to choose, half to report", len(found), at_least=600),
        Figure.of("mixed", "mixed queries whose first moment is right, joined, %", 100 * joined["mixed"]),
        Figure.of(
            "mixed_gain",
            "points by which the joined list beats the best single one on mixed queries",
            100 * (joined["mixed"] - single["mixed"]),
            at_least=0.1,
        ),
        Figure.of(
            "most_lost",
            "points lost to the best single list on the worst kind",
            round(max(losses.values()), 6),
            at_most=MOST_LOSS,
        ),
    ]
    weights_chosen = {what: [round(float(one), 4) for one in weights] for what, (_, weights, _) in chosen.items()}
    missed = finish("ranking", figures, options.quick, table="\n".join(lines), weights=weights_chosen, losses=losses)
    return 0 if options.quick else int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
