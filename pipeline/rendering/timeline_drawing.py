"""Draws one video on one time axis: frames, shots, words, sound and speech, aligned as in the dataset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...models.audio import FEATURES
from ...schemas.elements import Grid
from ...schemas.errors import UsageError
from ...schemas.tensors import tensor
from ..answers import FramePictures, described
from ..dataset import Dataset
from ..views import clock
from .drawing import Box, Label, Mark, Picture, colour_of

TICK_PX = 72
LEFT_PX = 70
FRAME_PX = 54
LANES = {"frames": 30, "shots": 92, "words": 116, "sound": 176, "speech": 240}
"""Name of each lane and its top, in pixels."""
LEVEL_DB = (-80.0, 0.0)
"""Range of levels in the sound lane, from bottom to top, in dBFS."""
SOUND_COLOUR = "#b0a0cc"

COLUMNS = ["video_id", "uri", "window", "tick_pts_ms", "tick_valid", "tick_sound", "shot", "audio_feature", "words"]


def find_video(dataset: Dataset, asked: str) -> dict[str, Any]:
    """The row of a video, by id, uri or file name. Raises UsageError when no video or several videos match."""
    rows = [row for row in dataset.videos.values() if row["windows"]]
    found = [row for row in rows if asked in (row["video_id"], row["uri"])] or [
        row for row in rows if row["uri"].rpartition("/")[2] == asked
    ]
    if len(found) != 1:
        known = ", ".join(sorted(row["uri"].rpartition("/")[2] for row in rows)[:8])
        seen = "no video" if not found else f"{len(found)} videos"
        raise UsageError(
            f"{seen} {asked!r} in {dataset.storage.root}; {f'there are {known}' if known else 'it holds no windows'}; or give its video_id"
        )
    return found[0]


def rows_of(dataset: Dataset, video_id: str) -> pa.Table:
    """All live windows of a video, in order."""
    parts = []
    for shard in dataset.snapshot.shards:
        if shard.first_key[0] <= video_id <= shard.last_key[0] and video_id not in shard.removed:
            for _, batch in dataset.shard_batches(shard, COLUMNS):
                kept = batch.filter(pc.equal(batch["video_id"], video_id))
                if len(kept):
                    parts.append(pa.Table.from_batches([kept]))
    if not parts:
        raise UsageError(f"{dataset.storage.root} holds no windows of {video_id}")
    return pa.concat_tables(parts).combine_chunks()


def timeline(rows: pa.Table, grid: Grid, frame: Callable[[int], bytes | None]) -> list[Mark]:
    """The marks of a video's windows. `frame` gives the picture of a frame, a JPEG or WebP file, by its time in ms, or None."""
    per_ms = TICK_PX * float(grid.tick_hz) / 1000
    windows = rows["window"].to_numpy()
    ticks = (windows[:, None] * grid.window_ticks + np.arange(grid.window_ticks)).ravel()
    valid = tensor(rows, "tick_valid").ravel().astype(bool)
    sounds = tensor(rows, "tick_sound").ravel().astype(bool)
    pts_ms, shots = tensor(rows, "tick_pts_ms").ravel(), tensor(rows, "shot").ravel()

    def x(at_ms: float) -> float:
        return LEFT_PX + at_ms * per_ms

    marks: list[Mark] = [Label(4, top + 2, name, 12, "#777777") for name, top in LANES.items()]
    for tick in ticks.tolist():
        marks.append(Box(x(grid.tick_ms(tick)), 20, 1, LANES["speech"] + 10, "#e8e8e8"))
        if tick % 5 == 0:
            marks.append(Label(x(grid.tick_ms(tick)), 4, clock(grid.tick_ms(tick)), 11, "#777777"))
    for at_ms in pts_ms[valid].tolist():
        picture = frame(at_ms)
        place = (x(at_ms), LANES["frames"], TICK_PX - 4, FRAME_PX)
        marks.append(Picture(*place, picture) if picture else Box(*place, "#cccccc"))
    for shot in np.unique(shots[valid]).tolist():
        inside = ticks[valid & (shots == shot)]
        start, end = grid.tick_ms(int(inside[0])), grid.tick_ms(int(inside[-1]) + 1)
        marks.append(Box(x(start), LANES["shots"], x(end) - x(start) - 1, 14, colour_of(shot)))
    words = [word for row in rows["words"].to_pylist() for word in row or ()]
    for at, word in enumerate(words):
        top = LANES["words"] + 14 * (at % 4)
        marks.append(Box(x(word["start_ms"]), top, x(word["end_ms"]) - x(word["start_ms"]), 13, "#dbe7f5"))
        marks.append(Label(x(word["start_ms"]) + 1, top, word["word"], 11))
    if rows["audio_feature"].null_count:  # sound is off
        return marks
    names = [name for name, _, _ in FEATURES]
    features = tensor(rows, "audio_feature").astype(np.float32).reshape(len(ticks), -1)
    marks += _sound(ticks[sounds], features[sounds, names.index("level")], x, grid)
    spoken = features[:, names.index("speech_ratio")]
    for tick, share in zip(ticks[sounds].tolist(), spoken[sounds].tolist(), strict=True):
        height = 14 * min(1.0, max(0.0, share))
        top = LANES["speech"] + 14 - height
        marks.append(Box(x(grid.tick_ms(tick)), top, TICK_PX - 2, height, "#6a9f58"))
    return marks


def _sound(ticks: np.ndarray, level_db: np.ndarray, x: Callable[[float], float], grid: Grid) -> list[Mark]:
    """One step per tick with sound; its height is the level."""
    low, high = LEVEL_DB
    shares = np.clip((level_db - low) / (high - low), 0, 1).tolist()
    bottom = LANES["sound"] + 56
    return [
        Box(x(grid.tick_ms(tick)), bottom - 56 * share, TICK_PX - 2, 56 * share, SOUND_COLOUR)
        for tick, share in zip(ticks.tolist(), shares, strict=True)
    ]


def draw_timeline(dataset: Dataset, asked: str) -> tuple[list[Mark], str]:
    """The marks of a video with its frames, where the video is at hand, and its name."""
    video = find_video(dataset, asked)
    rows = rows_of(dataset, video["video_id"])
    pictures = FramePictures.of(dataset)
    frames = described(dataset, pictures.places, video, most=None).frames_shown
    place = {frame.at_ms: (frame.row, frame.tick) for frame in frames}
    marks = timeline(rows, dataset.snapshot.grid, lambda at_ms: pictures.picture(*place[at_ms]))
    return marks, video["uri"].rpartition("/")[2]
