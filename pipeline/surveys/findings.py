"""What repeats, what is odd, and which labels fit: the retrieval jobs, bounded, with a frame to show for each moment found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ...schemas.errors import UsageError
from ..dataset import Dataset, RowLocations
from ..search import Frames, near_duplicates, outliers, tag

MOST_NEIGHBOUR_FRAMES = 200_000
"""Frames up to which repeats and outliers are looked for by a page: each frame is one query to the index."""

MOST_TAGGED_ROWS = 100_000
MOST_SHOWN = 100
MOST_LABELS = 50
LABEL_LETTERS = 80
SHOWN_PER_LABEL = 8

LABELS = (
    "a person speaking to the camera",
    "a crowd of people",
    "a landscape",
    "a city street",
    "an animal",
    "a screen with text",
    "a drawing or an animation",
    "the inside of a room",
    "food",
    "a vehicle",
    "sports",
    "a dark or empty picture",
)
"""Labels that are tried when nobody names any."""


@dataclass(frozen=True)
class Place:
    """A moment of a video, and the frame that shows it."""

    video_id: str
    uri: str
    start_ms: int
    end_ms: int
    row: int
    tick: int


@dataclass(frozen=True)
class Repeat:
    """Two spans that show the same."""

    first: Place
    second: Place
    frames: int
    """Pairs of frames that match."""
    score: float
    """Their mean cosine."""


@dataclass(frozen=True)
class Repeats:
    """Pairs of spans, those of most frames first, at most MOST_SHOWN."""

    found: int
    threshold: float
    """Cosine from which on two frames count as copies."""
    clarity: float
    """How clearly the threshold separates copies from others, 0 to 1; 1 when it was given."""
    pairs: list[Repeat]


@dataclass(frozen=True)
class Outlier:
    """A moment unlike the rest, and the most similar one of another scene."""

    place: Place
    score: float
    """1 less the mean cosine to the nearest frames of other scenes."""
    nearest: Place | None
    nearest_score: float | None


@dataclass(frozen=True)
class LabelFit:
    """A window that a label fits best."""

    place: Place
    score: float
    """Cosine of the label and the window's mean frame."""
    probability: float
    """Softmax over all labels."""


@dataclass(frozen=True)
class Tagged:
    """The windows of one label: those that it fits better than any other label, highest cosine first."""

    label: str
    windows: int
    shown: list[LabelFit]


class Places:
    """Finds the row and the tick of a moment that is given by uri and time."""

    def __init__(self, dataset: Dataset):
        self.where = RowLocations(dataset)
        self._videos = {uri: at for at, uri in enumerate(self.where.uris)}
        known = np.flatnonzero(self.where.video >= 0)
        order = np.lexsort((self.where.window[known], self.where.video[known]))
        self._rows = known[order]
        self._keys = self._key(self.where.video[self._rows], self.where.window[self._rows])

    @staticmethod
    def _key(video: np.ndarray, window: np.ndarray) -> np.ndarray:
        return (video.astype(np.int64) << 32) + window

    def at(self, uri: str, start_ms: int, end_ms: int) -> Place | None:
        """The place of a moment; None where its window has no row."""
        tick = self._tick(start_ms)
        video = self._videos[uri]
        key = self._key(np.array(video), np.array(tick // self.where.ticks))
        found = int(np.searchsorted(self._keys, key))
        if found == len(self._keys) or self._keys[found] != key:
            return None
        return Place(
            self.where.video_ids[video], uri, start_ms, end_ms, int(self._rows[found]), tick % self.where.ticks
        )

    def _tick(self, ms: int) -> int:
        """The tick that `RowLocations.ms` rounds to a time."""
        near = round(ms * float(self.where.dataset.snapshot.grid.tick_hz) / 1000)
        return next(
            (tick for tick in (near, near - 1, near + 1) if tick >= 0 and self.where.ms(tick) == ms), max(0, near)
        )

    def next_ms(self, ms: int) -> int:
        """The time of the tick after the one at `ms`."""
        return self.where.ms(self._tick(ms) + 1)


def check_size(frames: Frames) -> None:
    """Raises UsageError for an index that is too large to compare each of its frames while people wait."""
    if len(frames) > MOST_NEIGHBOUR_FRAMES:
        output = frames.dataset.storage.root
        raise UsageError(
            f"the index holds {len(frames)} frames, and this page compares at most {MOST_NEIGHBOUR_FRAMES}; "
            f"cure: run reelbeam near-duplicates {output} or reelbeam outliers {output}"
        )


def _records(table: pa.Table, most: int) -> list[dict[str, Any]]:
    return table.slice(0, most).to_pylist()


def repeats_of(frames: Frames, threshold: float = 0.0) -> Repeats:
    """Spans that repeat. A threshold of 0 is chosen from the distribution; raises UsageError when that shows no copies."""
    check_size(frames)
    table, used, clarity = near_duplicates(frames, threshold)
    places = Places(frames.dataset)
    pairs = []
    for one in _records(table, MOST_SHOWN):
        first = places.at(one["uri"], one["start_ms"], one["end_ms"])
        second = places.at(one["other_uri"], one["other_start_ms"], one["other_end_ms"])
        if first and second:
            pairs.append(Repeat(first, second, one["frames"], round(one["score"], 4)))
    return Repeats(len(table), round(used, 4), round(clarity, 3), pairs)


def outliers_of(frames: Frames, k: int = 60) -> list[Outlier]:
    """The k moments that are most unlike the rest, most unusual first."""
    check_size(frames)
    places = Places(frames.dataset)
    found = []
    for one in _records(outliers(frames, min(k, MOST_SHOWN)), MOST_SHOWN):
        place = places.at(one["uri"], one["ms"], places.next_ms(one["ms"]))
        nearest = one["nearest_uri"]
        near = places.at(nearest, one["nearest_ms"], places.next_ms(one["nearest_ms"])) if nearest else None
        if place:
            score = round(one["nearest_score"], 4) if nearest else None
            found.append(Outlier(place, round(one["score"], 4), near, score))
    return found


def labels_of(text: str) -> tuple[str, ...]:
    """The labels of a text, one a line; LABELS for an empty one. Raises UsageError for too many or too long ones.

    >>> labels_of(" a dog \\n\\na cat\\na dog")
    ('a dog', 'a cat')
    """
    found = tuple(dict.fromkeys(" ".join(line.split()) for line in text.splitlines() if line.strip())) or LABELS
    if len(found) > MOST_LABELS or max(map(len, found)) > LABEL_LETTERS:
        raise UsageError(
            f"{len(found)} labels, the longest of {max(map(len, found))} letters; "
            f"give at most {MOST_LABELS}, each of at most {LABEL_LETTERS} letters"
        )
    return found


def tags_of(dataset: Dataset, labels: Sequence[str], device: str = "auto") -> list[Tagged]:
    """The windows that each label fits better than the others; labels with most windows first."""
    rows = sum(shard.rows for shard in dataset.snapshot.shards)
    if rows > MOST_TAGGED_ROWS:
        raise UsageError(
            f"the snapshot has {rows} windows, and this page labels at most {MOST_TAGGED_ROWS}; "
            f"cure: run reelbeam tag {dataset.storage.root} LABELS.txt"
        )
    table = tag(dataset, labels, device, 1)
    places = Places(dataset)
    grouped: dict[str, list[dict[str, Any]]] = {label: [] for label in labels}
    for one in table.to_pylist():
        grouped[one["label"]].append(one)
    found = []
    for label, fits in grouped.items():
        shown = []
        for one in sorted(fits, key=lambda one: -one["score"])[:SHOWN_PER_LABEL]:
            place = places.at(one["uri"], one["start_ms"], one["end_ms"])
            if place:
                shown.append(LabelFit(place, round(one["score"], 4), round(one["probability"], 4)))
        found.append(Tagged(label, len(fits), shown))
    return sorted(found, key=lambda one: -one.windows)
