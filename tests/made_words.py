"""Datasets of made-up speech, titles and descriptions, stored as the pipeline stores them, for tests and benchmarks of words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from made_vectors import CLIP, blank

from reelbeam.models.screen_text import ScreenText
from reelbeam.models.subtitles import Subtitles
from reelbeam.pipeline.dataset.commit import without
from reelbeam.pipeline.dataset.compact import rewrite_shards, with_rewrites
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.schemas import snapshot as snapshots
from reelbeam.schemas.elements import Grid
from reelbeam.schemas.file_records import ShardInfo, TableInfo
from reelbeam.schemas.snapshot import Snapshot, shard_path
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.tables import RowShape, videos_schema, windows_schema
from reelbeam.schemas.tensors import tensor_array
from reelbeam.transforms.shard_files import put_table, write_windows

WORD_MS = 300
Said = tuple[int, int, str, str]
"""(number of the video, number of the window, language, what is said)."""

Written = Mapping[tuple[int, int], Sequence[Any]]
"""(number of the video, number of the window) -> lines on the screen (text, start_ms, end_ms), or captions (language, text,
start_ms, end_ms)."""

SENSES = {"ocr": ScreenText(), "subtitles": Subtitles()}


def video_id(number: int) -> str:
    return f"{number:016x}"


class MadeWords:
    """A dataset of windows that say something; each window is 10 s, each word 0.3 s."""

    def __init__(self, root: Path | str, *senses: str):
        """`senses` are names of SENSES."""
        self.storage = Storage.at(root)
        self.shape = self.shape_of(senses)
        grid = Grid(window_ticks=10)
        models = {"clip": CLIP, "whisper": {"weights": "made"}}
        snapshots.commit(self.storage, Snapshot(1, None, "made", snapshots.now(), {}, models, "made", grid, self.shape))
        self.runs = 0

    def shape_of(self, senses: Iterable[str]) -> RowShape:
        return RowShape(1, 2, 1, 2, senses=tuple(SENSES[name].stored(1) for name in senses))

    @property
    def root(self) -> str:
        return self.storage.root

    @property
    def data(self) -> Dataset:
        return Dataset.open(self.root)

    def say(
        self,
        *shards: Sequence[Said],
        rows_only: bool = False,
        screen: Written = MappingProxyType({}),
        subtitles: Written = MappingProxyType({}),
        tops: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """One snapshot with a shard for each list of windows, sorted by video and window. `tops` places lines on the screen elsewhere."""
        self.screen, self.subtitles, self.tops = screen, subtitles, tops
        self.runs += 1
        infos = [self._shard(said, number, rows_only) for number, said in enumerate(shards)]

        def grown(parent: Snapshot) -> Snapshot:
            held, next_row = parent.add_shards(infos)
            return replace(parent, shards=held, next_row=next_row)

        self._commit(grown)

    def title(self, rows: Iterable[tuple[int, str, str]], status: str = "ok") -> None:
        """One snapshot with these titles and descriptions: (number of the video, title, description)."""
        self.runs += 1
        schema = videos_schema(self.shape.text_dim)
        given = [*rows]
        columns = {
            "video_id": [video_id(number) for number, _, _ in given],
            "uri": [f"/videos/{number}.mp4" for number, _, _ in given],
            "title": [title for _, title, _ in given],
            "description": [text for _, _, text in given],
            "status": [status] * len(given),
        }
        table = pa.table(
            {
                field.name: pa.array(columns[field.name], field.type)
                if field.name in columns
                else blank(field, len(given))
                for field in schema
            },
            schema=schema,
        )
        path = f"videos/made-{self.runs:04d}.parquet"
        info = put_table(self.storage, path, table)
        one = TableInfo(path, info.rows, info.bytes, info.sha256)
        self._commit(lambda parent: replace(parent, videos=(*parent.videos, one)), rows_change=False)

    def remove(self, *numbers: int) -> None:
        """One snapshot in which some videos' rows no longer count."""
        ids = {video_id(number) for number in numbers}
        self._commit(lambda parent: replace(parent, shards=tuple(without(self.storage, parent.shards, ids))))

    def tidy(self) -> None:
        """One snapshot in which all rows that count lie in one new shard, as after a compaction."""
        self.runs += 1
        done = rewrite_shards(
            self.storage, [*snapshots.load(self.storage).shards], shard_path(f"tidy-{self.runs}", 0, 1)
        )
        self._commit(
            lambda parent: replace(parent, shards=tuple(with_rewrites(parent.shards, [done]))), rows_change=False
        )

    def _commit(self, change: object, rows_change: bool = True) -> None:
        def made(parent: Snapshot | None) -> Snapshot:
            assert parent is not None
            number = parent.number + 1
            changed: Snapshot = change(parent)  # type: ignore[operator]
            return replace(
                changed,
                number=number,
                parent=parent.number,
                rows_changed=number if rows_change else parent.rows_changed,
            )

        snapshots.commit_next(self.storage, made)

    def _shard(self, said: Sequence[Said], number: int, rows_only: bool) -> ShardInfo:
        rows = len(said)
        spoken = np.array([bool(text) for _, _, _, text in said])
        ids, window = [video_id(video) for video, _, _, _ in said], np.array([at for _, at, _, _ in said])
        columns = {
            "video_id": ids,
            "uri": [f"/videos/{video}.mp4" for video, _, _, _ in said],
            "window": window,
            "start_ms": window * 10_000,
            "end_ms": (window + 1) * 10_000,
            "tick_pts_ms": tensor_array(np.full((rows, 1), -1, np.int32)),
            "text": [text for _, _, _, text in said],
            "words": [[] if rows_only else timed(text, at * 10_000) for _, at, _, text in said],
            "language": [language for _, _, language, _ in said],
            "text_embedding": tensor_array(np.tile(np.array([1, 0], np.float16), (rows, 1)), spoken),
            "speech_status": np.where(spoken, "ok", "absent").tolist(),
            "text_status": np.where(spoken, "ok", "absent").tolist(),
        }  # fmt: skip
        keys = [(video, at) for video, at, _, _ in said]
        columns["screen_text"] = [lines(self.screen[key], self.tops) if key in self.screen else None for key in keys]
        columns["subtitles"] = [captions(self.subtitles[key]) if key in self.subtitles else None for key in keys]
        schema = windows_schema(self.shape)
        table = pa.table(
            {field.name: columns[field.name] if field.name in columns else blank(field, rows) for field in schema},
            schema=schema,
        )
        path = f"windows/made-{self.runs:04d}/windows-{number:05d}.parquet"
        info = put_table(self.storage, path, table, write_windows)
        return ShardInfo(path, info.rows, info.bytes, info.sha256, (ids[0], int(window[0])), (ids[-1], int(window[-1])))


def lines(shown: Sequence[tuple[str, int, int]], tops: Mapping[str, float]) -> list[dict[str, object]]:
    """Lines as the screen_text column has them."""
    placed = []
    for text, start_ms, end_ms in shown:
        top = tops.get(text, 0.1)
        place = {"left": 0.1, "top": top, "right": 0.9, "bottom": top + 0.1, "confidence": 0.9}
        placed.append({"text": text, **place, "start_ms": start_ms, "end_ms": end_ms})
    return placed


def captions(shown: Sequence[tuple[str, str, int, int]]) -> list[dict[str, object]]:
    """Captions as the subtitles column has them."""
    return [
        {"language": language, "text": text, "start_ms": start, "end_ms": end, "source": f"stream of {language}"}
        for language, text, start, end in shown
    ]


def timed(text: str, start_ms: int) -> list[dict[str, object]]:
    """The words of a text with times, as the words column has them."""
    return [
        {"word": word, "start_ms": start_ms + at * WORD_MS, "end_ms": start_ms + (at + 1) * WORD_MS, "probability": 1.0}
        for at, word in enumerate(text.split())
    ]
