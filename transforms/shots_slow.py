"""Detects slow transitions on small pictures: dissolves, fades through black or white, and wipes, of 0.5 to 2 s.

Pictures are averaged over eighths of a second. A transition centred at c with half length h has three properties: the pictures
before c - h and after c + h differ; each side is stable; and in between, each pixel lies between its old and its new value (a
dissolve or wipe), or the picture is empty (a fade). A pan or a person who walks by does not do this.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from .small_pictures import HEIGHT, LUMA_BYTES, PICTURE_BYTES, WIDTH, Picture, changed_share, changes, distance

BIN_MS = 125
"""Length of a bin, over which pictures are averaged: bin k is [k, k + 1) * BIN_MS on the video's clock, in every unit."""

HALVES = (2, 3, 4, 6, 8)
"""Half lengths to try, in bins: transitions of 0.5 to 2 s."""

SIDE = (0, 2, 4)
"""Bins compared on each side, counted outwards from c - h and c + h."""

PEAK = 3
NEAR = 7
"""Bins before and after a change in which it must be the largest of its length, and the most certain of all lengths."""

LEAST_CHANGE = 10.0
"""Least distance between the two sides, of 255."""

RATIO, LAG_RATIO = 2.0, 1.5
"""Least ratio of the distance between the sides to that within them: at a lag of two bins, and at the transition's own length
(at most LAG)."""

LAG = 8
"""Largest lag, in bins."""

OUTSIDE = 0.05
"""Largest deviation of pixels beyond their old and new values during the transition, as a share of the whole change."""

DETOUR = 1.3
"""Largest sum of the steps of a transition, as a multiple of the whole change. Moving objects go back and forth."""

EMPTY = 0.12
"""A picture is empty when its contrast is at most this share of the contrast of both sides."""

HALF_A_FADE = 0.45
"""If the contrast of the two sides differs more than this, the change is one half of a fade: see `settle`."""

WHOLE, OUT, IN = "whole", "out", "in"
HALF_FROM_WHOLE, IN_AFTER_OUT = 10, 12
"""Distances in bins that `settle` uses."""

SUDDEN = 0.55
"""Largest share of the whole change within one bin. More is a hard cut or a flash."""

CHANGED = 0.6
"""Least share of 4 x 4 blocks that change by at least BLOCK_CHANGE. A smaller share is an object that moves."""
BLOCK_CHANGE = 6.0

SLOW_MS = BIN_MS * (2 * HALVES[-1] + LAG + NEAR + max(HALF_FROM_WHOLE, IN_AFTER_OUT) + 2)
"""Context before and after an instant that a decision about it depends on."""


@dataclass
class _Bins:
    """Bin means of a span float32 [n, PICTURE_BYTES], the number of the first bin, and a cache of distances."""

    means: np.ndarray
    first: int
    known: dict[tuple[int, int], float] = field(default_factory=dict)
    made: dict[int, Picture] = field(default_factory=dict)

    def inside(self, at: int) -> int:
        return min(max(at, 0), len(self.means) - 1)

    def apart(self, one: int, two: int) -> float:
        key = (self.inside(one), self.inside(two))
        if key not in self.known:
            for at in key:
                if at not in self.made:
                    self.made[at] = Picture.of(self.means[at])
            self.known[key] = distance(*(self.made[at] for at in key))
        return self.known[key]


def slow_changes(pictures: np.ndarray, times_ms: np.ndarray, cuts_ms: np.ndarray) -> np.ndarray:
    """First frames after the turning point of each slow transition, int64 [c]. None of them lies at a hard cut."""
    if not len(pictures):
        return np.zeros(0, np.int64)
    bins = binned(pictures, times_ms)
    cut_bins = np.asarray(cuts_ms, np.int64) // BIN_MS - bins.first
    found: dict[str, np.ndarray] = {kind: np.zeros(len(bins.means)) for kind in (WHOLE, OUT, IN)}
    for half in HALVES:
        for centre in peaks(bins, half):
            if np.any(np.abs(cut_bins - centre) <= half + 2):
                continue
            if sureness := transition(bins, centre, half):
                turn = centre - half + turning_point(bins.means[centre - half : centre + half + 1])
                kind = fade_half(bins.means[centre - half], bins.means[centre + half])
                found[kind][turn] = max(sureness, found[kind][turn])
    kept = settle(found)
    places = np.searchsorted(times_ms, (np.array(kept, np.int64) + bins.first) * BIN_MS)
    return np.unique(places[(places > 0) & (places < len(times_ms))]).astype(np.int64)


def binned(pictures: np.ndarray, times_ms: np.ndarray) -> _Bins:
    """Averages pictures over bins. A bin without frames repeats the previous picture."""
    numbers = np.asarray(times_ms, np.int64) // BIN_MS
    first, count = int(numbers[0]), int(numbers[-1] - numbers[0]) + 1
    edges = np.searchsorted(numbers - first, np.arange(count + 1))
    means = np.empty((count, PICTURE_BYTES), np.float32)
    for at in range(count):
        here = pictures[edges[at] : edges[at + 1]]
        means[at] = here.mean(0, dtype=np.float32) if len(here) else means[at - 1]
    return _Bins(means, first)


def peaks(bins: _Bins, half: int) -> list[int]:
    """Centres at which the change over 2 * half bins is large, and within 2% of the largest nearby.

    Of consecutive such centres, every second one is kept.
    """
    count = len(bins.means)
    if count <= 2 * half:
        return []
    rounded = bins.means.astype(np.uint8)
    change = np.zeros(count + 2 * PEAK, np.float32)
    change[half + PEAK : count - half + PEAK] = changes(rounded[: -2 * half], rounded[2 * half :])
    around = np.lib.stride_tricks.sliding_window_view(change, 2 * PEAK + 1).max(1)
    own = change[PEAK : PEAK + count]
    top = (own >= LEAST_CHANGE) & (own >= 0.98 * around)
    flanked = np.concatenate([[False], top[:-1]]) & np.concatenate([top[1:], [False]])
    return np.flatnonzero(top & ~(flanked & ((np.arange(count) + bins.first) % 2 == 1))).tolist()


def transition(bins: _Bins, centre: int, half: int) -> float:
    """Certainty of a transition at `centre`: the distance between its sides over that within them; 0 if it is not one."""
    start, end = bins.inside(centre - half), bins.inside(centre + half)
    if not is_way(bins.means[start : end + 1]):
        return 0.0
    if bins.apart(start, end) < LEAST_CHANGE:
        return 0.0
    before, after = ([middle + sign * off for off in SIDE] for middle, sign in ((start, -1), (end, 1)))
    own = [bins.apart(one, two) for side in (before, after) for one, two in itertools.pairwise(side)]
    within = float(np.median(own))
    lagging = min(2 * half, LAG)
    lags = [
        bins.apart(one, two)
        for one, two in ((start - lagging, start), (end, end + lagging))
        if one >= 0 and two < len(bins.means)
    ]
    lag = min(lags, default=within)
    bar = max(LEAST_CHANGE, RATIO * (within + 1), LAG_RATIO * (lag + 1))
    between = float("inf")
    for one in before:
        for two in after:
            between = min(between, bins.apart(one, two))
            if between < bar:
                return 0.0
    return between / (max(within, lag) + 1)


def fade_half(one: np.ndarray, two: np.ndarray) -> str:
    """Classifies a change by its two sides: the first half of a fade, the second half, or a whole change."""
    contrasts = [float(side[:LUMA_BYTES].std()) for side in (one, two)]
    if min(contrasts) > HALF_A_FADE * max(contrasts):
        return WHOLE
    return OUT if contrasts[0] > contrasts[1] else IN


def settle(found: dict[str, np.ndarray]) -> list[int]:
    """Chooses bins from the certainty of each kind, float64 [n]: the most certain one of its kind nearby.

    Half of a fade is kept only when no whole change is near, and a second half only when no first half was found shortly
    before.
    """
    whole, out, back = found[WHOLE], found[OUT], found[IN]
    near_whole = around(whole, HALF_FROM_WHOLE, HALF_FROM_WHOLE) > 0
    out = np.where(near_whole, 0, out)
    back = np.where(near_whole | (around(found[OUT], IN_AFTER_OUT, 0) > 0), 0, back)
    halves = np.maximum(out, back)
    return sorted({*surest(whole), *surest(halves)})


def around(values: np.ndarray, before: int, after: int) -> np.ndarray:
    """The largest of the values from `before` places earlier to `after` places later."""
    padded = np.concatenate([np.zeros(before), values, np.zeros(after)])
    return np.lib.stride_tricks.sliding_window_view(padded, before + after + 1).max(1)


def surest(values: np.ndarray) -> list[int]:
    """Positions whose value is the largest within NEAR bins; the first of equal ones."""
    best = (values > 0) & (values >= around(values, NEAR, NEAR))
    return [int(at) for at in np.flatnonzero(best) if values[max(0, at - NEAR) : at].max(initial=0) < values[at]]


def turning_point(way: np.ndarray) -> int:
    """The first position of a transition whose picture is nearer to the last than to the first."""
    to_start, to_end = (np.abs(way - side).mean(1) for side in (way[0], way[-1]))
    return int(np.argmax(to_end <= to_start))


def is_way(way: np.ndarray) -> bool:
    """Whether the means float32 [2 * half + 1, PICTURE_BYTES] change from first to last like a transition."""
    one, two = way[0], way[-1]
    whole = np.abs(one - two)
    size = float(whole.mean())
    if size < LEAST_CHANGE:
        return False
    first, last = (side[:LUMA_BYTES].reshape(HEIGHT, WIDTH) for side in (one, two))
    if changed_share(first, last, BLOCK_CHANGE) < CHANGED:
        return False
    contrast = way[:, :LUMA_BYTES].std(1)
    if contrast[1:-1].min() <= EMPTY * min(contrast[0], contrast[-1]):
        return True
    steps = np.abs(np.diff(way, axis=0)).mean(1)
    if steps.max() > SUDDEN * size or steps.sum() > DETOUR * size:
        return False
    high, low = np.maximum(one, two) + 2, np.minimum(one, two) - 2
    outside = np.maximum(np.maximum(way[1:-1] - high, low - way[1:-1]), 0).mean(1).max()
    return bool(outside <= OUTSIDE * size)
