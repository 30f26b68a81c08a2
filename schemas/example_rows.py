"""Example rows of the windows table, for tests and for readers who want to see the format."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa

from .elements import Grid
from .tables import ABSENT, OK, RowShape, windows_schema
from .tensors import tensor_array

EXAMPLE_SHAPE = RowShape(4, 8, 5, 6)


def example_windows(rows: int, seed: int, shape: RowShape = EXAMPLE_SHAPE, grid: Grid | None = None) -> pa.Table:
    """A valid windows table of random rows: two windows per video, the second without words."""
    grid = grid or Grid(window_ticks=shape.ticks)
    rng = np.random.default_rng(seed)
    frames = rng.normal(size=(rows, shape.ticks, shape.frame_dim))
    frames /= np.linalg.norm(frames, axis=2, keepdims=True)
    valid = (rng.random((rows, shape.ticks)) < 0.9).astype(np.uint8)
    number = np.arange(rows) % 2
    spans = np.array([grid.window_ms(int(at)) for at in number], np.int32).reshape(rows, 2)
    ticks = np.array(
        [[grid.tick_ms(int(at) * shape.ticks + tick) for tick in range(shape.ticks)] for at in number], np.int32
    )
    said = number == 0
    words = [[{"word": "hello", "start_ms": 100, "end_ms": 400, "probability": 0.9}] if here else [] for here in said]
    texts = rng.normal(size=(rows, shape.text_dim))
    fused = rng.normal(size=(rows, shape.fused_dim)) / math.sqrt(shape.fused_dim or 1)
    voices = rng.normal(size=(rows, shape.audio_embedding_dim)) / math.sqrt(shape.audio_embedding_dim or 1)
    return pa.table(
        {
            "video_id": [f"{at // 2:016x}" for at in range(rows)],
            "uri": [f"/videos/{at // 2}.mp4" for at in range(rows)],
            "window": number,
            "start_ms": spans[:, 0],
            "end_ms": spans[:, 1],
            "tick_pts_ms": tensor_array(np.where(valid, ticks.reshape(rows, shape.ticks), -1).astype(np.int32)),
            "tick_valid": tensor_array(valid),
            "tick_sound": tensor_array(np.ones_like(valid)),
            "shot": tensor_array(np.zeros((rows, shape.ticks), np.int32)),
            "frame_embedding": tensor_array((frames * valid[..., None]).astype(np.float16)),
            "audio_feature": tensor_array(rng.normal(size=(rows, shape.ticks, shape.audio_dim)).astype(np.float16)),
            "text": ["hello" if here else "" for here in said],
            "words": words,
            "language": ["en" if here else "" for here in said],
            "speech_ratio": said * 0.5,
            "avg_logprob": [-0.3 if here else None for here in said],
            "no_speech_prob": [0.1 if here else None for here in said],
            "compression_ratio": [1.0 if here else None for here in said],
            "repetition": [0.0] * rows,
            "chars_per_s": said * 12.5,
            "speech_flags": [[] for _ in said],
            "text_embedding": tensor_array(
                (texts / np.linalg.norm(texts, axis=1, keepdims=True)).astype(np.float16), said
            ),
            **({"audio_embedding": tensor_array(voices.astype(np.float16), said)} if shape.audio_embedding_dim else {}),
            **({"fused_embedding": tensor_array(fused.astype(np.float16))} if shape.fused_dim else {}),
            **{f"{modality}_status": [OK] * rows for modality in ("frame", "audio")},
            **{f"{modality}_status": [OK if here else ABSENT for here in said] for modality in ("speech", "text")},
        },
        schema=windows_schema(shape),
    )
