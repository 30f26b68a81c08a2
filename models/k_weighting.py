"""The K-weighting of loudness, block by block: importing scipy for one filter takes 0.6 processor seconds.

A block of samples is a linear function of its samples and of the filter's state before it, and so is the state after it. So all
blocks are filtered by matrix products, and only the states, four numbers each, go from block to block, in steps that double. The
result is that of `scipy.signal.sosfilt` but for rounding (1e-13). In digital silence the states die out at once, where a filter that
goes sample by sample computes for seconds with numbers below 2e-308, each of which costs a hundred others.
"""

from __future__ import annotations

from functools import lru_cache
from math import pi, tan

import numpy as np

from ..schemas.elements import SAMPLE_RATE_HZ
from .torch_modes import one_thread

BLOCK = 160
"""Samples of a block: longer ones cost more in the products, shorter ones in the loop."""


def k_weighting() -> np.ndarray:
    """float64 [2, 6]: BS.1770's shelf and high-pass as second-order sections at 16 kHz.

    Source: BS.1770-5, annex 1, tables 1 and 2 (given for 48 kHz); their analogue prototypes, whose frequency, gain and
    quality libebur128 recovered (`ebur128.c`, ebur128_init_filter), mapped by the bilinear transform.
    """
    k, q, gain = tan(pi * 1681.974450955533 / SAMPLE_RATE_HZ), 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    middle = gain**0.4996667741545416
    norm = 1 + k / q + k * k
    shelf = [
        (gain + middle * k / q + k * k) / norm,
        2 * (k * k - gain) / norm,
        (gain - middle * k / q + k * k) / norm,
        1,
        2 * (k * k - 1) / norm,
        (1 - k / q + k * k) / norm,
    ]
    k, q = tan(pi * 38.13547087602444 / SAMPLE_RATE_HZ), 0.5003270373238773
    norm = 1 + k / q + k * k
    return np.array([shelf, [1, -2, 1, 1, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm]])


def filtered(samples: np.ndarray) -> np.ndarray:
    """float64 [m] -> [m]: K-weighted, from silence on."""
    import torch

    own, carried, fed, kept = (torch.from_numpy(matrix) for matrix in block_matrices(BLOCK))
    padded = np.zeros((-(-len(samples) // BLOCK), BLOCK))
    padded.reshape(-1)[: len(samples)] = samples
    with torch.inference_mode(), one_thread():
        blocks = torch.from_numpy(padded)
        states = torch.zeros((len(blocks) + 1, len(kept)), dtype=torch.float64)  # before each block, and after the last
        states[1:] = blocks @ fed.T
        reach = 1  # each state holds what the last `reach` blocks gave it
        while reach < len(blocks):
            states[reach + 1 :] += states[1:-reach] @ kept.T
            kept, reach = kept @ kept, 2 * reach
        found: np.ndarray = (blocks @ own.T + states[:-1] @ carried.T).numpy().reshape(-1)[: len(samples)]
    return found


@lru_cache
def block_matrices(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What a block of `size` samples and the state [4] before it add to its output [size] and to the state after it.

    (samples to output, state to output, samples to state, state to state).
    """
    step, entry, output, direct = state_space(k_weighting())
    powers = [np.eye(len(step))]
    for _ in range(size):
        powers.append(step @ powers[-1])
    response = np.concatenate([direct[0], [(output @ power @ entry).item() for power in powers[: size - 1]]])
    lag = np.arange(size)[:, None] - np.arange(size)
    own = np.where(lag >= 0, response[np.abs(lag)], 0)
    carried = np.vstack([output @ power for power in powers[:size]])
    fed = np.hstack([power @ entry for power in reversed(powers[:size])])
    return own, carried, fed, powers[size]


def state_space(sections: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A cascade of second-order sections as state matrices A, B, C, D: s' = A s + B x, y = C s + D x."""
    step, entry, output, direct = np.zeros((0, 0)), np.zeros((0, 1)), np.zeros((1, 0)), np.ones((1, 1))
    for b0, b1, b2, _, a1, a2 in sections:
        own, taken = np.array([[-a1, 1.0], [-a2, 0.0]]), np.array([[b1 - a1 * b0], [b2 - a2 * b0]])
        step = np.block([[step, np.zeros((len(step), 2))], [taken @ output, own]])
        entry = np.vstack([entry, taken @ direct])
        output, direct = np.hstack([b0 * output, [[1.0, 0.0]]]), b0 * direct
    return step, entry, output, direct
