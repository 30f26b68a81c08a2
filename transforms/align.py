"""AlignToWindows: puts all features of a unit on one clock and makes its rows.

In:  groups of units with frame embeddings, passages, speech spans, speech states and audio features.
Out: `UnitRows`: one row per window that has a frame or sound. Text embeddings are still null.
Bad: the status column of a failed modality holds the reason. A window without frames and sound gives no row.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from ..schemas.elements import Decoded, Grid, Group, Passage, Unit, UnitFeatures, UnitRows, Word
from ..schemas.switched_off import turned_off
from ..schemas.tables import ABSENT, FAILED, OK, RowShape, windows_schema
from ..schemas.tensors import tensor_array
from .decode import covered_windows
from .metrics import StageMetrics
from .quality import chars_a_second, flags, repetition
from .run_senses import SENSES, sense_columns


def window_of(word: Word, grid: Grid) -> int:
    """The window that contains a word's midpoint: the word belongs to it.

    >>> window_of(Word("a", 9_900, 10_098, 1.0), Grid()), window_of(Word("a", 9_900, 10_100, 1.0), Grid())
    (0, 1)
    """
    middle_ms = (word.start_ms + word.end_ms) // 2
    return int(middle_ms * grid.tick_hz / 1000 / grid.window_ticks)


def overlap_ms(span: tuple[int, int], others: Sequence[tuple[int, int]]) -> int:
    """Length in ms of the part of a span that `others` cover. They must not overlap each other.

    >>> overlap_ms((0, 100), [(-50, 10), (90, 200)])
    20
    """
    return sum(max(0, min(span[1], end) - max(span[0], start)) for start, end in others)


def align(features: UnitFeatures, grid: Grid, shape: RowShape) -> UnitRows:
    """The rows of one unit."""
    unit, decoded = features.unit, features.decoded
    if decoded is None:
        return UnitRows(unit, windows_schema(shape).empty_table(), 0, features.failures)
    windows = covered_windows(unit, decoded, grid)
    frames = _frame_columns(features, decoded, windows, grid, shape)
    sound = _sound_columns(features, decoded, windows, grid, shape)
    heard: np.ndarray = np.asarray(sound["tick_sound"].any(axis=1))
    kept = np.flatnonzero(heard | frames["tick_valid"].any(axis=1))
    spoken = [_spoken(features, windows[at], grid, bool(heard[at])) for at in kept]
    spans = [grid.window_ms(windows[at]) for at in kept]
    losses = [failure for failure in features.failures if failure.stage != SENSES]
    reason = next((f"{FAILED}: {failure.message}" for failure in losses), ABSENT)
    schema = windows_schema(shape)
    columns = {
        "video_id": [unit.video.video_id] * len(kept),
        "uri": [unit.video.uri] * len(kept),
        "window": [windows[at] for at in kept],
        "start_ms": [span[0] for span in spans],
        "end_ms": [span[1] for span in spans],
        **{name: tensor_array(values[kept]) for name, values in {**frames, **sound}.items()},
        **{name: [row[name] for row in spoken] for name in (spoken[0] if spoken else ())},
        **{
            name: pa.nulls(len(kept), schema.field(name).type)
            for name in ("text_embedding", "fused_embedding")
            if name in schema.names
        },
        "speech_source": [features.speech_source or None if heard[at] else None for at in kept],
        **_heard_columns(features, kept, shape),
        **sense_columns(features.senses, kept, shape),
        "frame_status": _statuses(frames["tick_valid"][kept], unit.probe.video_stream is not None, reason),
        "audio_status": _statuses(sound["tick_sound"][kept], unit.probe.audio_stream is not None, reason),
    }
    table = (
        pa.table({name: columns[name] for name in schema.names}, schema=schema) if len(kept) else schema.empty_table()
    )
    if shape.off:
        table = turned_off(table, shape)
    return UnitRows(unit, table, len(_new_shots(unit, decoded)), features.failures)


def _statuses(present: np.ndarray, has_stream: bool, reason: str) -> list[str]:
    """Status per window: ok where `present`; otherwise absent without a stream, or `reason` when a stream gave nothing."""
    return [OK if row.any() else (reason if has_stream else ABSENT) for row in present]


def _frame_columns(
    features: UnitFeatures, decoded: Decoded, windows: range, grid: Grid, shape: RowShape
) -> dict[str, np.ndarray]:
    """Frame tensors [windows, T, ...] with each frame at its tick."""
    ticks = len(windows) * shape.ticks
    first = windows.start * shape.ticks
    places = decoded.ticks - first
    valid = np.zeros(ticks, np.uint8)
    pts_ms = np.full(ticks, -1, np.int32)
    embeddings = np.zeros((ticks, shape.frame_dim), np.float16)
    valid[places] = 1
    pts_ms[places] = decoded.pts_ms
    if features.frame_embeddings is not None:
        embeddings[places] = features.frame_embeddings.astype(np.float16)
    instants = np.where(valid, pts_ms, [grid.tick_ms(first + at) for at in range(ticks)])
    starts = _new_shots(features.unit, decoded)
    shots = np.array([bisect_right(starts, at) for at in instants], np.int32)
    each = (len(windows), shape.ticks)
    return {
        "tick_pts_ms": pts_ms.reshape(each),
        "tick_valid": valid.reshape(each),
        "shot": shots.reshape(each),
        "frame_embedding": embeddings.reshape(*each, shape.frame_dim),
    }


def _new_shots(unit: Unit, decoded: Decoded) -> list[int]:
    """Times in ms of the cuts in a unit. The first frame of a video starts shot 0 and is not a cut."""
    return [int(at) for at in decoded.cuts_ms if at > 0]


def _sound_columns(
    features: UnitFeatures, decoded: Decoded, windows: range, grid: Grid, shape: RowShape
) -> dict[str, np.ndarray]:
    """Sound tensors [windows, T, ...]. A tick has sound when the sound stream covers any part of it."""
    first, each = windows.start * shape.ticks, (len(windows), shape.ticks)
    edges = np.array([grid.tick_ms(first + at) for at in range(len(windows) * shape.ticks + 1)])
    sounds = (edges[:-1] < decoded.sound_end_ms) & (edges[1:] > decoded.sound_start_ms)
    measures = np.zeros((len(sounds), shape.audio_dim), np.float16)
    if features.audio_features is not None:
        measures[sounds] = features.audio_features[sounds].astype(np.float16)
    return {
        "tick_sound": sounds.astype(np.uint8).reshape(each),
        "audio_feature": measures.reshape(*each, shape.audio_dim),
    }


def _heard_columns(features: UnitFeatures, kept: np.ndarray, shape: RowShape) -> dict[str, pa.Array]:
    """`audio_embedding` of the kept windows: the sum of their states, scaled to unit length; null without states.

    Empty when the dataset does not store this column.
    """
    if not shape.audio_embedding_dim:
        return {}
    sums = np.zeros((len(kept), shape.audio_embedding_dim), np.float32)
    if features.speech_states is not None:
        sums = features.speech_states[kept]
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return {"audio_embedding": tensor_array((sums / np.maximum(lengths, 1e-12)).astype(np.float16), lengths[:, 0] > 0)}


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _spoken(features: UnitFeatures, window: int, grid: Grid, has_sound: bool) -> dict[str, Any]:
    """The speech columns of one window."""
    span = grid.window_ms(window)
    here: list[tuple[Word, Passage]] = [
        (word, passage)
        for passage in features.passages or ()
        for word in passage.words
        if window_of(word, grid) == window
    ]
    here.sort(key=lambda pair: (pair[0].start_ms, pair[0].end_ms))
    passages = list({id(passage): passage for _, passage in here}.values())
    speech_ratio = overlap_ms(span, features.speech_spans_ms) / (span[1] - span[0])
    repeated = repetition([word.word for word, _ in here])
    pace = chars_a_second([(word.word.strip(), word.start_ms, word.end_ms) for word, _ in here])
    sureness = {
        "avg_logprob": min(_known(passage.avg_logprob for passage in passages), default=None),
        "no_speech_prob": max(_known(passage.no_speech_prob for passage in passages), default=None),
        "compression_ratio": max(_known(passage.compression_ratio for passage in passages), default=None),
    }
    return {
        "text": " ".join("".join(word.word for word, _ in here).split()),
        "words": [
            {
                "word": word.word.strip(),
                "start_ms": word.start_ms,
                "end_ms": word.end_ms,
                "probability": word.probability,
            }
            for word, _ in here
        ],
        "language": passages[0].language if passages else "",
        "speech_ratio": speech_ratio,
        **sureness,
        "repetition": repeated,
        "chars_per_s": pace,
        "speech_flags": flags(
            len(here),
            speech_ratio,
            repeated,
            pace,
            **sureness,
            doubts={name for word, _ in here for name in word.doubts},
        ),
        "speech_status": OK if has_sound else ABSENT,
        "text_status": OK if here else ABSENT,
    }


class _AlignToWindows(beam.DoFn):
    def __init__(self, grid: Grid, shape: RowShape):
        self.grid, self.shape = grid, shape

    def setup(self) -> None:
        self.metrics = StageMetrics("align")

    def process(self, group: Group) -> Iterator[tuple[UnitRows, ...]]:
        with self.metrics.busy():
            rows = tuple(align(features, self.grid, self.shape) for features in group)
        self.metrics.add(windows=sum(len(unit.table) for unit in rows), units=len(rows))
        self.metrics.flush()
        yield rows


class AlignToWindows(beam.PTransform):
    """Groups of units with features -> groups of `UnitRows`."""

    def __init__(self, grid: Grid, shape: RowShape):
        super().__init__()
        self.do = _AlignToWindows(grid, shape)

    def expand(self, groups: beam.PCollection) -> beam.PCollection:
        return groups | beam.ParDo(self.do)
