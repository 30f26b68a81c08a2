"""Search in speech and in fused embeddings is exact; lists join by rank; a phrase is found where it was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from reelbeam.pipeline.search.frames import Moment
from reelbeam.pipeline.search.hybrid import by_likeness, joined, phrase_moments
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.example_rows import example_windows
from reelbeam.schemas.tables import RowShape

SHAPE = RowShape(4, 8, 5, 6, 7)


@dataclass(frozen=True)
class Rows:
    """Stands for a dataset: one table in pieces."""

    table: pa.Table
    piece: int = 7

    def batches(self, columns: Sequence[str]) -> Any:
        for start in range(0, len(self.table), self.piece):
            part = self.table.slice(start, self.piece).select(columns).combine_chunks()
            yield np.arange(start, start + len(part)), part.to_batches()[0]


def moment(video: str, at_ms: int, score: float = 0.5) -> Moment:
    return Moment(f"/{video}", video, at_ms, at_ms + 1000, at_ms, score, "")


ALIKE = {"words": 1.0, "frames": 1.0, "speech": 1.0, "titles": 1.0}


def test_what_two_lists_find_wins_over_what_one_finds_as_high() -> None:
    frames = [moment("a", 1000, 0.6), moment("b", 2000, 0.5), moment("a", 3000, 0.4)]
    speech = [moment("c", 0, 0.6), moment("b", 9000, 0.5)]
    found = joined({"frames": frames, "speech": speech}, 5, 10_000, ALIKE)
    assert [(one.video_id, one.best_ms) for one in found] == [("b", 2000), ("a", 1000), ("c", 0)]
    assert [one.score for one in found] == pytest.approx([1.0, 0.6, 0.6])
    assert joined({"frames": frames, "speech": []}, 1, 10_000, ALIKE)[0].video_id == "a"
    heavy = joined({"frames": frames, "speech": speech}, 1, 10_000, {**ALIKE, "speech": 100.0})
    assert heavy[0].video_id == "c", "weights count"


def test_one_sure_list_is_not_outvoted_by_vague_likenesses_of_others() -> None:
    """Cosines 0.6 above the mean in one list, against 0.3 in each of two others, the mean being 0.2."""
    sure = by_likeness([moment("right", 0, 0.8)], mean=0.2, scale=20)
    vague = by_likeness([moment("wrong", 0, 0.5)], mean=0.2, scale=20)
    found = joined({"frames": vague, "speech": sure, "words": vague}, 2, 10_000, ALIKE)
    assert [one.video_id for one in found] == ["right", "wrong"]
    [nothing] = by_likeness([moment("below", 0, 0.1)], mean=0.2, scale=20)
    assert nothing.score == 0, "less alike than the mean says nothing"


def spoken(windows: Sequence[tuple[str, int, str]]) -> Rows:
    """Windows of (video, number, what is said), a word each 100 ms."""
    table = example_windows(len(windows), 1, SHAPE)
    said = [
        [
            {"word": word, "start_ms": 10_000 * at + 100 * n, "end_ms": 10_000 * at + 100 * n + 90, "probability": 1.0}
            for n, word in enumerate(text.split())
        ]
        for _, at, text in windows
    ]
    columns = {
        "video_id": [video for video, _, _ in windows],
        "window": [at for _, at, _ in windows],
        "text": [text for _, _, text in windows],
        "words": said,
    }
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(name)
        table = table.set_column(place, field, pa.array(values, field.type))
    return Rows(table, 2)


def test_a_batch_of_removed_rows_alone_is_no_obstacle_to_a_phrase() -> None:
    rows = spoken([("a", 0, "old bridge")])

    class Removed(Rows):
        def batches(self, columns: Sequence[str]) -> Any:
            yield np.zeros(0, np.int64), self.table.select(columns).to_batches()[0].slice(0, 0)
            yield from super().batches(columns)

    found = phrase_moments(Removed(rows.table), "old bridge", 5)  # type: ignore[arg-type]
    assert [one.video_id for one in found] == ["a"]


def test_a_phrase_is_found_whatever_its_case_and_punctuation_also_across_windows() -> None:
    rows = spoken(
        [
            ("a", 0, "We came to the Old"),
            ("a", 1, "bridge, and crossed it."),
            ("b", 0, "The bridge is old"),
            ("b", 2, "old bridge"),
            ("c", 3, "An old"),
            ("d", 4, "bridge"),
        ]
    )
    found = phrase_moments(rows, "old bridge", 10)  # type: ignore[arg-type]
    assert [(one.video_id, one.start_ms, one.end_ms) for one in found] == [("a", 400, 10_090), ("b", 20_000, 20_190)]
    assert phrase_moments(rows, "old bridge", 1)[0].video_id == "a"  # type: ignore[arg-type]
    assert phrase_moments(rows, "bridge old", 5) == []  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no word"):
        phrase_moments(rows, "...", 5)  # type: ignore[arg-type]
