"""What is stored of one video, for its page: frames, shots, texts, sound and failures, all on its presentation clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...models.audio import FEATURES
from ..dataset import Dataset
from ..playing import FramePlaces
from ..words import STORED_IN, fields_of, sense_columns
from .answer_types import (
    FailureAnswer,
    FrameAnswer,
    ShotAnswer,
    SoundAnswer,
    TextAnswer,
    VideoAnswer,
    WindowAnswer,
    frame_address,
)

COLUMNS = [
    "video_id",
    "window",
    "start_ms",
    "end_ms",
    "tick_pts_ms",
    "tick_valid",
    "tick_sound",
    "shot",
    "audio_feature",
]
TEXTS = ["text", "words", "language", "speech_flags"]

WINDOWS_MOST = 360
"""Windows of a video that one answer describes: an hour of windows of 10 s."""

LEVEL, SPEECH = (
    next(at for at, (name, _, _) in enumerate(FEATURES) if name == one) for one in ("level", "speech_ratio")
)

FACTS = (
    *("video_id", "uri", "title", "description", "status", "duration_ms", "container", "video_codec", "audio_codec"),
    *("width", "height", "fps", "size_bytes", "windows", "frames", "words", "attempts", "run"),
)


def described(
    dataset: Dataset, places: FramePlaces, row: dict[str, Any], first: int = 0, most: int | None = WINDOWS_MOST
) -> VideoAnswer:
    """All that a page shows of a video: `most` windows from its window number `first` on; None for all."""
    shape = dataset.snapshot.shape
    numbers, rows = places.rows_of(row["video_id"])
    chosen = rows[numbers >= first][:most].tolist()
    fields = fields_of(shape)
    statuses = [f"{name}_status" for name in shape.modalities]
    held = dataset.take(chosen, [*COLUMNS, *TEXTS, *sense_columns(fields), *statuses])
    windows = [held[number] for number in chosen if number in held]
    frames, sounds = frames_of(chosen, held, dataset.snapshot.grid.tick_ms, shape.ticks)
    left = int((numbers >= first).sum()) - len(chosen)
    return VideoAnswer(
        **{name: row[name] for name in FACTS},
        name=row["uri"].rpartition("/")[2],
        first_window=first,
        next_window=int(numbers[numbers >= first][len(chosen)]) if left > 0 else None,
        frames_shown=frames,
        shots=shots_of(frames),
        sound=sounds,
        texts=texts_of(windows, fields),
        window_spans=[
            WindowAnswer(
                row=number,
                window=held[number]["window"],
                start_ms=held[number]["start_ms"],
                end_ms=held[number]["end_ms"],
                flags=[*(held[number]["speech_flags"] or ())],
                failed=[held[number][name] for name in statuses if (held[number][name] or "").startswith("failed")],
            )
            for number in chosen
            if number in held
        ],
        failures=[
            FailureAnswer(**{name: one[name] for name in FailureAnswer.model_fields})
            for one in dataset.standing_failures()
            if one["video_id"] == row["video_id"]
        ],
    )


def frames_of(
    numbers: Sequence[int], held: dict[int, dict[str, Any]], tick_ms: Any, ticks: int
) -> tuple[list[FrameAnswer], list[SoundAnswer]]:
    """The frames and the sound of some rows, in order."""
    frames: list[FrameAnswer] = []
    sounds: list[SoundAnswer] = []
    for number in numbers:
        if (row := held.get(number)) is None:
            continue
        for tick in range(ticks):
            at = row["window"] * ticks + tick
            if row["tick_valid"][tick]:
                shot, pts_ms = int(row["shot"][tick]), int(row["tick_pts_ms"][tick])
                address = frame_address(number, tick)
                frames.append(FrameAnswer(row=number, tick=tick, at_ms=pts_ms, shot=shot, thumbnail=address))
            if row["tick_sound"][tick] and row["audio_feature"] is not None:
                level, speech = (float(row["audio_feature"][tick][place]) for place in (LEVEL, SPEECH))
                span = (tick_ms(at), tick_ms(at + 1))
                sounds.append(
                    SoundAnswer(start_ms=span[0], end_ms=span[1], level_db=round(level, 1), speech=round(speech, 2))
                )
    return frames, sounds


def shots_of(frames: Sequence[FrameAnswer]) -> list[ShotAnswer]:
    """The shots, each from its first frame to its last one.

    >>> frames = [FrameAnswer(row=0, tick=at, at_ms=at * 500, shot=at // 2, thumbnail="") for at in range(3)]
    >>> [(one.start_ms, one.end_ms) for one in shots_of(frames)]
    [(0, 1000), (1000, 1000)]
    """
    starts = [at for at, one in enumerate(frames) if not at or frames[at - 1].shot != one.shot]
    ends = [frames[at].at_ms for at in starts[1:]] + [one.at_ms for one in frames[-1:]]
    return [
        ShotAnswer(shot=frames[at].shot, start_ms=frames[at].at_ms, end_ms=end)
        for at, end in zip(starts, ends, strict=True)
    ]


def texts_of(windows: Iterable[dict[str, Any]], fields: Sequence[str]) -> list[TextAnswer]:
    """Words of the speech one by one; lines of the screen and of the subtitles once each, also where two windows have them."""
    found: dict[tuple[str, str, str, int], TextAnswer] = {}
    for row in windows:
        for word in row["words"] or ():
            key = ("speech", row["language"] or "", word["word"], word["start_ms"])
            found[key] = TextAnswer(kind="speech", text=key[2], language=key[1], start_ms=key[3], end_ms=word["end_ms"])
        for kind, (_, column) in STORED_IN.items():
            for line in (row[column] or ()) if kind in fields else ():
                key = (kind, line.get("language") or "", line["text"], line["start_ms"])
                found[key] = TextAnswer(kind=kind, text=key[2], language=key[1], start_ms=key[3], end_ms=line["end_ms"])
    return sorted(found.values(), key=lambda one: (one.kind, one.start_ms, one.end_ms))
