"""What is stored: every column of every table, declared once, with its doc and its unit.

Tensors are `fixed_size_binary`, little-endian; `dtype` and `shape` stand in the field's metadata, so one
`numpy.frombuffer` opens them without anything of ours (see `tensor`). Writers, readers, tests and the README's
tables derive from here; nobody else spells a column name.
"""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .errors import CorruptOutput
from .row_shape import MODALITIES as MODALITIES
from .row_shape import RowShape as RowShape
from .tensors import column, tensor, tensor_column

SCHEMA_VERSION = 2
OLDEST_SCHEMA_VERSION = 1
"""Datasets from this version on open: every column added since then may be null, and reads as null where it is not stored."""

OK, ABSENT, FAILED, OFF = "ok", "absent", "failed", "off"
"""Statuses of a modality; `failed` is followed by `: ` and the reason, and `off` is a built-in sense that is off. Of a video: ok,
partial (some of it is lost, the failures table says what), failed, removed (no longer in the bucket)."""
PARTIAL, REMOVED = "partial", "removed"


WORDS = pa.list_(
    pa.field(
        "element",
        pa.struct(
            [
                pa.field("word", pa.string(), False),
                pa.field("start_ms", pa.int32(), False),
                pa.field("end_ms", pa.int32(), False),
                pa.field("probability", pa.float32(), False),
            ]
        ),
    )
)
"""The list's field has the name that Parquet gives it, so that a schema survives the round trip."""

FLAG_LIST = pa.list_(pa.field("element", pa.string()))


def windows_schema(shape: RowShape) -> pa.Schema:
    """One row is one window of one video. T is `shape.ticks`."""
    t = shape.ticks
    status = "ok, absent (the video has none here), or failed: with the reason"
    schema = pa.schema(
        [
            column("video_id", pa.string(), "id of the video for life: a hash of its uri"),
            column("uri", pa.string(), "where the video lies"),
            column("window", pa.int32(), "number of the window in its video", "windows"),
            column("start_ms", pa.int32(), "start of the window's half-open span, on the presentation clock", "ms"),
            column("end_ms", pa.int32(), "end of the span", "ms"),
            tensor_column(
                "tick_pts_ms",
                "int32",
                (t,),
                "true presentation time of each tick's frame; -1 where there is none",
                "ms",
            ),
            tensor_column("tick_valid", "uint8", (t,), "1 where the tick has a frame of its own"),
            tensor_column("tick_sound", "uint8", (t,), "1 where the tick has sound"),
            tensor_column("shot", "int32", (t,), "number of the shot in its video that the tick lies in"),
            tensor_column(
                "frame_embedding",
                "float16",
                (t, shape.frame_dim),
                "CLIP embedding, unit length; zeros where tick_valid is 0",
            ),
            tensor_column(
                "audio_feature",
                "float16",
                (t, shape.audio_dim),
                "sound measures, in the order of models/audio.py; zeros where tick_sound is 0",
            ),
            column("text", pa.string(), "what is said: the words whose midpoint lies in the window"),
            column(
                "words", WORDS, "the same words with times on the presentation clock and the model's probability", "ms"
            ),
            column("language", pa.string(), "language of the speech, as Whisper names it; empty without words"),
            column("speech_ratio", pa.float32(), "share of the window with voice activity", "0..1"),
            column(
                "avg_logprob",
                pa.float32(),
                "lowest mean token log probability of the passages heard here",
                "nats",
                True,
            ),
            column("no_speech_prob", pa.float32(), "highest no-speech probability of those passages", "0..1", True),
            column(
                "compression_ratio",
                pa.float32(),
                "highest zlib ratio of those passages' text: above 2.4 it repeats itself",
                "",
                True,
            ),
            column("repetition", pa.float32(), "share of the words that lie in a phrase said over and over", "0..1"),
            column("chars_per_s", pa.float32(), "characters a second while words are spoken; 0 without words", "1/s"),
            column(
                "speech_flags", FLAG_LIST, "why the transcript may be wrong, see transforms/quality.py; empty: nothing"
            ),
            tensor_column(
                "text_embedding",
                "float16",
                (shape.text_dim,),
                "sentence embedding of text, unit length; null without words",
                "",
                True,
            ),
            *(
                [
                    column(
                        "speech_source",
                        pa.string(),
                        "where the words come from, whisper or subtitles, and why, with --speech; null without sound",
                        "",
                        True,
                    )
                ]
                if shape.speech_source
                else []
            ),
            *(
                [
                    tensor_column(
                        "audio_embedding",
                        "float16",
                        (shape.audio_embedding_dim,),
                        "mean state of Whisper's encoder over the speech here, unit length, with --audio-embedding; null without speech",
                        "",
                        True,
                    )
                ]
                if shape.audio_embedding_dim
                else []
            ),
            *(
                [
                    tensor_column(
                        "fused_embedding",
                        "float16",
                        (shape.fused_dim,),
                        "frames, words and sound as one vector, unit length, see transforms/fuse.py; null where there is none",
                        "",
                        True,
                    )
                ]
                if shape.fused_dim
                else []
            ),
            *(column(f"{modality}_status", pa.string(), status) for modality in MODALITIES),
            *(field for sense in shape.senses for field in sense.fields(shape.text_dim)),
        ],
        {"reelbeam_schema": str(SCHEMA_VERSION), "shape": json.dumps(shape.to_json())},
    )
    off = [name for name in schema.names if name in shape.off_columns and not name.endswith("_status")]
    for at in map(schema.get_field_index, off):
        schema = schema.set(at, schema.field(at).with_nullable(True))
    return schema


TITLE_EMBEDDINGS = {"title": "title_embedding", "description": "description_embedding"}
"""The texts of a video, and the columns of their embeddings."""


def videos_schema(text_dim: int) -> pa.Schema:
    """One row is one video as one run saw it. The newest row of a video counts."""
    return pa.schema(
        [
            column("video_id", pa.string(), "id of the video for life"),
            column("uri", pa.string(), "where it lies"),
            column("title", pa.string(), "as the input list gave it; empty where it gave none"),
            column("description", pa.string(), "as the input list gave it; empty where it gave none"),
            column("size_bytes", pa.int64(), "size of the object", "bytes"),
            column(
                "etag",
                pa.string(),
                "the store's etag, or mtime and size on a local disk: unchanged means unchanged bytes",
            ),
            column(
                "content_sha256",
                pa.string(),
                "hash of the bytes; empty when they could not be read, or were read by range",
            ),
            column("status", pa.string(), "ok, partial (the failures table says what is lost), failed or removed"),
            column("attempts", pa.int32(), "runs that have tried this version of it"),
            column("windows", pa.int32(), "rows it has in the windows table"),
            column("frames", pa.int32(), "ticks with a frame"),
            column("words", pa.int32(), "words heard"),
            column("duration_ms", pa.int64(), "presentation length as the headers say", "ms"),
            column("container", pa.string(), "ffmpeg's name of the container format"),
            column("video_codec", pa.string(), "empty without a video stream"),
            column("audio_codec", pa.string(), "empty without an audio stream"),
            column("width", pa.int32(), "as displayed", "pixels"),
            column("height", pa.int32(), "as displayed", "pixels"),
            column("rotation", pa.int32(), "clockwise", "degrees"),
            column("fps", pa.float32(), "average frame rate", "1/s"),
            column("run", pa.string(), "the run that tried it last; its name begins with the time"),
            column(
                "missing_since_ms",
                pa.int64(),
                "when it was first not listed any more, since 1970; 0: it is there",
                "ms",
            ),
            column(
                "sidecars",
                pa.string(),
                "subtitle files beside it, as JSON: name, bytes and etag of each; null without the sense subtitles, and without one",
                "",
                True,
            ),
            *(
                tensor_column(
                    name,
                    "float16",
                    (text_dim,),
                    f"sentence embedding of {text}, unit length; null without one",
                    "",
                    True,
                )
                for text, name in TITLE_EMBEDDINGS.items()
            ),
        ],
        {"reelbeam_schema": str(SCHEMA_VERSION)},
    )


def failures_schema() -> pa.Schema:
    """One row is one thing that went wrong with one video."""
    return pa.schema(
        [
            column("video_id", pa.string(), "id of the video"),
            column("uri", pa.string(), "where it lies"),
            column("stage", pa.string(), "stage, probe, decode or senses"),
            column("kind", pa.string(), "a short stable word to count by"),
            column("message", pa.string(), "what happened, with ffmpeg's own words"),
            column("retryable", pa.bool_(), "whether trying again can help"),
            column("start_ms", pa.int64(), "start of what is lost", "ms"),
            column("end_ms", pa.int64(), "end of what is lost; 0, 0 is the whole video", "ms"),
            column("run", pa.string(), "the run that saw it"),
        ],
        {"reelbeam_schema": str(SCHEMA_VERSION)},
    )


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A stored table with the columns of `schema`: those that may be null are null where an older version lacks them."""
    missing = [field for field in schema if field.name not in table.schema.names and field.nullable]
    for field in missing:
        table = table.append_column(field, pa.nulls(len(table), field.type))
    return table.select(schema.names) if missing else table


def validate_windows(table: pa.Table, shape: RowShape, embedded: bool = True) -> None:
    """Raises CorruptOutput when rows break what the format promises: schema, order, spans, unit lengths, statuses.

    `embedded` is False for rows that CLIP did not fill, of which other columns are carried over.
    """
    if not table.schema.equals(windows_schema(shape)):
        raise CorruptOutput(
            f"windows: columns are {table.schema.names}, wanted {windows_schema(shape).names} for {shape}"
        )
    keys = list(zip(table["video_id"].to_pylist(), table["window"].to_pylist(), strict=True))
    if keys != sorted(set(keys)):
        raise CorruptOutput("windows: rows are not sorted by video_id and window, each once")
    if pc.any(pc.greater_equal(table["start_ms"], table["end_ms"])).as_py():
        raise CorruptOutput("windows: a span ends before it starts")
    valid = tensor(table, "tick_valid").astype(bool)
    if ((tensor(table, "tick_pts_ms") >= 0) != valid).any():
        raise CorruptOutput("windows: tick_pts_ms and tick_valid disagree")
    lengths = np.linalg.norm(tensor(table, "frame_embedding").astype(np.float32), axis=2)
    embedded = embedded and "frames" not in shape.off
    if (np.abs(lengths - (valid if embedded else 0)) > 0.01).any():
        raise CorruptOutput("windows: a frame embedding is not of unit length, or a tick without a frame has one")
    for modality in shape.modalities:
        states = set(table[f"{modality}_status"].to_pylist())
        allowed = (OFF,) if f"{modality}_status" in shape.off_columns else (OK, ABSENT, FAILED)
        if bad := [state for state in states if state.partition(": ")[0] not in allowed]:
            raise CorruptOutput(f"windows: {modality}_status holds {bad[0]!r}")
    for name in [name for name in table.schema.names if name in shape.off_columns and not name.endswith("_status")]:
        if table[name].null_count < len(table):
            raise CorruptOutput(f"windows: {name} holds values, but its sense is off")
