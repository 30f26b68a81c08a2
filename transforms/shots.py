"""Detects hard cuts on small pictures: sudden and lasting changes, compared with the usual change between frames.

All detectors follow one contract, `Detector`: they take the pictures of one span of video with their times, and return the
positions of the first frames of new shots. A result depends only on frames at most CONTEXT_MS away, so neighbouring units,
decoded with that much context, agree.

Source: PySceneDetect's AdaptiveDetector compares a frame's change with that of its neighbours
(https://www.scenedetect.com/docs/latest/api/detectors.html). This detector compares pictures on both sides of a candidate
over a third of a second, each pair after the best shift. So it ignores flashes (the old picture comes back), shakes and pans
(they are shifts) and noise (it is as strong without a cut).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from .shots_slow import SLOW_MS, slow_changes
from .small_pictures import Picture, changed_share, changes, distance, modal_share

Detector = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(pictures uint8 [n, PICTURE_BYTES], times int64 [n] in ms on the video's clock, rising) -> int64 [c], rising: the
first frame of each new shot. The first picture starts no new shot."""

OFFSETS_MS = (0, 100, 200, 320)
"""Distances from the cut of the pictures compared on each side. The largest is longer than a flash."""

PEAK_MS = 100
"""A cut is the largest change within this time before and after it."""

AROUND_MS = 250
AROUND_RATIO = 1.25
"""A candidate's change is at least AROUND_RATIO times the median change within AROUND_MS: a cheap filter before the full test."""

LEAST_CHANGE = 0.5
"""Least change of a candidate, of 255."""

CUT_DISTANCE, CUT_RATIO = 6.0, 2.6
"""Least distance between both sides of a cut (of 255), and least ratio of it to the distance within the sides."""

LASTING = 0.4
"""Least share of a cut's change that must last. The rest may be a flash."""

CHANGED, BLOCK_CHANGE = 0.5, 5.0
"""Least share CHANGED of 4 x 4 blocks that change by at least BLOCK_CHANGE of 255. A smaller share is an object that moves."""

PAGE_DISTANCE, PAGE_RATIO = 1.3, 1.4
PAGE_SHARE, PAGE_STILL = 0.35, 1.0
"""The limits for a still page, such as a slide: at least PAGE_SHARE of its pixels have about one luma, and the distance within
the sides is at most PAGE_STILL."""

CONTEXT_MS = 6_000
"""Context before and after an instant that a detector may use."""

assert SLOW_MS + max(OFFSETS_MS) <= CONTEXT_MS


def adaptive(pictures: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
    """The default detector: hard cuts, and slow changes between them."""
    cuts = hard_cuts(pictures, times_ms)
    slow = slow_changes(pictures, times_ms, times_ms[cuts])
    return np.union1d(cuts, slow).astype(np.int64)


def hard_cuts(pictures: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
    """First frames after hard cuts: int64 [c]."""
    cuts = [at for at in candidates(pictures, times_ms) if is_cut(pictures, times_ms, at)]
    return np.array(cuts, np.int64)


def candidates(pictures: np.ndarray, times_ms: np.ndarray) -> list[int]:
    """Frames whose change from the previous frame is larger than the changes around it."""
    change = np.zeros(len(pictures), np.float32)
    change[1:] = changes(pictures[:-1], pictures[1:])
    found = []
    for at in np.flatnonzero(change >= LEAST_CHANGE):
        first, last = np.searchsorted(times_ms, (times_ms[at] - PEAK_MS, times_ms[at] + PEAK_MS + 1))
        if change[at] < change[first:last].max():
            continue
        first, last = np.searchsorted(times_ms, (times_ms[at] - AROUND_MS, times_ms[at] + AROUND_MS + 1))
        first = max(1, first)
        around = np.delete(change[first:last], at - first)
        if not len(around) or change[at] >= AROUND_RATIO * np.median(around):
            found.append(int(at))
    return found


def sides(times_ms: np.ndarray, at: int) -> tuple[list[int], list[int]]:
    """Frames before `at`, and frames from `at` on, nearest first: at OFFSETS_MS, but each at least one frame further.

    >>> sides(np.arange(0, 1000, 40), 12)
    ([11, 9, 6, 3], [12, 14, 17, 20])
    """
    before, after = [], []
    for count, offset in enumerate(OFFSETS_MS):
        early = int(np.searchsorted(times_ms, times_ms[at - 1] - offset))
        late = int(np.searchsorted(times_ms, times_ms[at] + offset, "right")) - 1
        before.append(max(0, min(early, at - 1 - count)))
        after.append(min(len(times_ms) - 1, max(late, at + count)))
    return before, after


def is_cut(pictures: np.ndarray, times_ms: np.ndarray, at: int) -> bool:
    """Whether the picture changes at frame `at`, lastingly and by more than it changes within either side."""
    before, after = sides(times_ms, at)
    made = {place: Picture.of(pictures[place]) for place in {*before, *after}}
    nearest = distance(made[before[0]], made[after[0]])
    if nearest < PAGE_DISTANCE:
        return False
    own = [
        distance(made[one], made[two])
        for side in (before, after)
        for one, two in itertools.pairwise(side)
        if one != two
    ]
    within = float(np.median(own)) if own else 0.0
    page = within <= PAGE_STILL and all(modal_share(made[side[0]].luma) >= PAGE_SHARE for side in (before, after))
    least, ratio = (PAGE_DISTANCE, PAGE_RATIO) if page else (CUT_DISTANCE, CUT_RATIO)
    bar = max(least, ratio * (within + 1))
    if nearest < bar or not (page or changed_share(made[before[0]].luma, made[after[0]].luma, BLOCK_CHANGE) >= CHANGED):
        return False
    bar = max(bar, LASTING * nearest)
    return all(
        distance(made[one], made[two]) >= bar for one in before for two in after if (one, two) != (before[0], after[0])
    )


def transnet(device: str) -> Detector:
    """TransNetV2 as a detector."""

    def cuts(pictures: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
        from .shots_transnet import transnet_cuts

        return transnet_cuts(pictures, times_ms, device)

    return cuts


DETECTORS: dict[str, Callable[[str], Detector]] = {"adaptive": lambda device: adaptive, "transnet": transnet}
"""Detectors on small pictures: name -> (device -> Detector)."""


def detector(name: str, device: str = "cpu") -> Detector:
    """The detector with this name. Raises KeyError for a name that is not in DETECTORS."""
    return DETECTORS[name](device)
