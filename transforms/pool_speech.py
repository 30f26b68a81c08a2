"""`audio_embedding`: Whisper's encoder states pooled over each window, from the same pass that gives the words.

Let h_cp be the encoder state (after its last norm) for the 20 ms [320 p, 320 p + 320) samples of chunk c, and n_cp(w) the number
of these samples that come from window w. Then

    audio_embedding(w) = v / |v|,   v = sum over c and p of n_cp(w) h_cp

A chunk is speech with the pauses cut out, so each state counts for the windows that its samples come from. States of the
padding after a chunk count for none. A window without voice activity has no embedding. A unit's windows are pooled only from the
unit's own chunks, and sound beyond the unit's edges is ignored.
"""

from __future__ import annotations

import numpy as np

from ..models.speech import Chunk
from ..models.whisper_decoding import STATE_SAMPLES
from ..schemas.elements import SAMPLE_RATE_HZ, Decoded, Grid, Unit
from .decode import covered_windows


def window_edges(unit: Unit, decoded: Decoded, grid: Grid) -> np.ndarray:
    """int64 [windows + 1]: starts of a unit's windows and the end of the last one, in samples of its decoded sound."""
    windows = covered_windows(unit, decoded, grid)
    edges_ms = [grid.tick_ms(at * grid.window_ticks) for at in range(windows.start, windows.stop + 1)]
    return (np.array(edges_ms, np.int64) - decoded.samples_start_ms) * (SAMPLE_RATE_HZ // 1000)


def pool_weights(chunk: Chunk, edges: np.ndarray) -> np.ndarray:
    """float32 [windows, states]: n_cp(w), the number of samples of each 20 ms of a chunk that come from each window.

    >>> pool_weights(Chunk(((0, 400), (1000, 1500))), np.array([0, 300, 1200, 1400])).astype(int).tolist()
    [[300, 0, 0], [20, 280, 0], [0, 40, 160]]
    """
    states = -(-chunk.length // STATE_SAMPLES)
    weights = np.zeros((len(edges) - 1, states), np.float32)
    before = 0  # samples of the chunk before the span
    for start, end in chunk.spans:
        first, last = np.searchsorted(edges, [start, end - 1], side="right") - 1
        one, other = before // STATE_SAMPLES, -(-(before + end - start) // STATE_SAMPLES)
        marks = np.arange(one, other + 1) * STATE_SAMPLES + start - before  # where the states' samples lie in the unit
        lows, highs = np.maximum(marks[:-1], start), np.minimum(marks[1:], end)
        for window in range(max(0, first), min(last, len(edges) - 2) + 1):
            shared = np.minimum(highs, edges[window + 1]) - np.maximum(lows, edges[window])
            weights[window, one:other] += np.maximum(shared, 0)
        before += end - start
    return weights
