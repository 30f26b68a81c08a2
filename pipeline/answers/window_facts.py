"""Windows as rows: those of one video in order, or some by number."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..dataset import Dataset
from ..playing import FramePlaces
from .answer_types import FrameAnswer, RowAnswer, RowsAnswer, frame_address

COLUMNS = ["video_id", "uri", "window", "start_ms", "end_ms", "tick_pts_ms", "tick_valid", "shot", "text", "language"]


def rows_answer(dataset: Dataset, numbers: Sequence[int], present: Collection[str]) -> RowsAnswer:
    """Some rows by global number, in that order; those that the snapshot does not have, and of videos not `present`, are left out."""
    statuses = [f"{name}_status" for name in dataset.snapshot.shape.modalities]
    known = [number for number in dict.fromkeys(numbers) if 0 <= number < dataset.snapshot.next_row]
    held = dataset.take(known, [*COLUMNS, *statuses])
    rows = [(number, held[number]) for number in known if number in held and held[number]["video_id"] in present]
    return RowsAnswer(
        snapshot=dataset.snapshot.number,
        rows=[
            RowAnswer(
                row=number,
                video_id=row["video_id"],
                uri=row["uri"],
                window=row["window"],
                start_ms=row["start_ms"],
                end_ms=row["end_ms"],
                text=row["text"] or "",
                language=row["language"] or "",
                statuses={name: row[f"{name}_status"] or "" for name in dataset.snapshot.shape.modalities},
                frames=[
                    FrameAnswer(
                        row=number,
                        tick=tick,
                        at_ms=int(row["tick_pts_ms"][tick]),
                        shot=int(row["shot"][tick]),
                        thumbnail=frame_address(number, tick),
                    )
                    for tick in range(dataset.snapshot.shape.ticks)
                    if row["tick_valid"][tick]
                ],
            )
            for number, row in rows
        ],
        next_window=None,
    )


def rows_of_video(dataset: Dataset, places: FramePlaces, video_id: str, first: int, most: int) -> RowsAnswer:
    """At most so many rows of a video, from its window number `first` on."""
    windows, numbers = places.rows_of(video_id)
    here = windows >= first
    left = windows[here][most:]
    found = rows_answer(dataset, numbers[here][:most].tolist(), {video_id})
    return found.model_copy(update={"next_window": int(left[0]) if len(left) else None})
