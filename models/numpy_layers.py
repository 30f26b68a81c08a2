"""The layers of a transformer for one text, in numpy: what a query needs, without the seconds that importing torch takes.

Everything is float32, as torch computes it on a CPU; results differ from torch's by rounding.
Source: Vaswani et al. 2017, "Attention Is All You Need"; Hendrycks and Gimpel 2016, "Gaussian Error Linear Units".
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from functools import lru_cache

import numpy as np
from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=1)
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[object]:
    """Keeps numpy's matrix products to one thread: those of one text are small, and on a busy machine threads that wait for
    each other take twenty times the processor time."""
    found: AbstractContextManager[object] = _threads().limit(limits=1, user_api="blas")
    return found


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """float32 [n, i] -> [n, o]; weight [o, i], as torch stores it, bias [o]."""
    return x @ weight.T + bias


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, epsilon: float) -> np.ndarray:
    """Rows of float32 [n, w] to mean 0 and variance 1, scaled and shifted.

    >>> layer_norm(np.float32([[1, 3]]), np.float32([1, 1]), np.float32([0, 5]), 0.0)
    array([[-1.,  6.]], dtype=float32)
    """
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + np.float32(epsilon)) * weight + bias


def erf(x: np.ndarray) -> np.ndarray:
    """The error function of float32 [...], to 2e-7: numpy has none, and Python's takes a tenth of a query's time.

    Source: Abramowitz and Stegun 1964, "Handbook of Mathematical Functions", 7.1.26.

    >>> bool(np.abs(erf(np.float32([-5, -0.3, 0, 1])) - [-1, -0.328627, 0, 0.842701]).max() < 2e-6)
    True
    """
    t = 1 / (1 + 0.3275911 * np.abs(x).astype(np.float64))
    series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    found: np.ndarray = np.copysign(1 - series * np.exp(-np.square(x, dtype=np.float64)), x).astype(np.float32)
    return found


def gelu(x: np.ndarray) -> np.ndarray:
    """x times the normal distribution's cumulative probability of x, by the error function."""
    return x * (0.5 * (1 + erf(x * np.float32(math.sqrt(0.5)))))


def quick_gelu(x: np.ndarray) -> np.ndarray:
    """OpenAI's approximation of gelu: x * sigmoid(1.702 x)."""
    return x / (1 + np.exp(np.minimum(-1.702 * x, np.float32(80))))


def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray, heads: int, is_causal: bool) -> np.ndarray:
    """Attention of one text: float32 [n, w] each, w = heads * d -> [n, w]; causal: a token sees none after it."""
    count, width = query.shape
    query, key, value = (
        part.reshape(count, heads, width // heads).transpose(1, 0, 2) for part in (query, key, value)
    )  # [heads, n, d]
    scores = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(width // heads))
    if is_causal:
        scores = np.where(np.tril(np.ones((count, count), bool)), scores, np.float32(-np.inf))
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return (shares @ value).transpose(1, 0, 2).reshape(count, width)


def unit(x: np.ndarray) -> np.ndarray:
    """A vector float32 [w] at length 1; torch divides by 1e-12 at least, and so does this."""
    return x / np.maximum(np.linalg.norm(x), np.float32(1e-12))
