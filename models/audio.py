"""Audio features of each tick: level, loudness, spectral shape, MFCC, chroma and speech, from one short-time spectrum.

    In    float32 [m] at 16 kHz, sample 0 at the start of tick 0; a grid of ticks; spans of speech
    Out   float32 [ticks, 41], in the order of `FEATURES`; every value is finite and fits float16

A tick covers the half-open span from its time to that of the next tick. Spectral values are means over the frames whose
middle lies in the tick (or the next frame's values, when ticks are shorter than the hop). Missing sound at the end counts as
silence. Frames have 1,024 samples (64 ms, Hann) and a hop of 512 (32 ms), zero-padded at both ends.

Spectral definitions are librosa's (https://librosa.org/doc/0.11.0/feature.html; McFee et al., 2015), at these settings:
n_fft 1024, hop_length 512, power_to_db with top_db=None (its default ties each value to the file's loudest moment) and
chroma with tuning=0. Loudness is ITU-R BS.1770-5 with the filters re-derived for 16 kHz, as libebur128 does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np

from ..schemas.elements import SAMPLE_RATE_HZ
from .k_weighting import filtered
from .torch_modes import one_thread

N_FFT = 1024
HOP = 512
N_MELS = 128
N_MFCC = 20
N_CHROMA = 12
ROLL_OFF = 0.85
"""librosa's roll_percent."""
MIN_POWER = 1e-10
"""Lower bound in every logarithm: -100 dB. Digital silence gives -100 dBFS and -100 LUFS."""
BLOCK_FRAMES = 512
"""Frames per block: a block of 1 MB stays in a core's cache, which doubles the speed."""
LOUDNESS_STEP = SAMPLE_RATE_HZ // 10
"""Momentary loudness is measured over 400 ms, every 100 ms (EBU Tech 3341: at least 10 times per second)."""

FEATURES: tuple[tuple[str, str, str], ...] = (
    ("level", "dBFS", "root mean square of the tick's samples; a full-scale square wave is 0, silence -100"),
    ("loudness", "LUFS", "loudest momentary loudness (400 ms, each 100 ms) whose middle lies in the tick; floor -100"),
    ("zero_crossing_rate", "1", "share of the tick's samples whose sign differs from the sample before"),
    ("centroid", "kHz", "mean frequency, weighted by magnitude; 0 in silence"),
    ("bandwidth", "kHz", "standard deviation of frequency around the centroid, weighted by magnitude; 0 in silence"),
    ("roll_off", "kHz", "lowest frequency below which 85% of the magnitude lies; 0 in silence"),
    ("flatness", "1", "geometric over arithmetic mean of power: near 0 for tones, near 0.6 for noise, 1 in silence"),
    ("flux", "dB", "rise of the 128 mel bands since the frame before, mean over bands (librosa's onset strength)"),
    *(
        (f"mfcc_{n}", "dB", f"mel-frequency cepstral coefficient {n} of 20: orthonormal DCT-II over mel bands in dB")
        for n in range(N_MFCC)
    ),
    *(
        (f"chroma_{note}", "1", f"power of the pitch class {note}, over that of the frame's strongest one")
        for note in ("c", "c_sharp", "d", "d_sharp", "e", "f", "f_sharp", "g", "g_sharp", "a", "a_sharp", "b")
    ),
    ("speech_ratio", "1", "share of the tick in which voice activity was found"),
)
"""(name, unit, definition) of each column."""


@dataclass(frozen=True)
class AudioSpec:
    """Spec of the audio features. It has no options: all settings are constants above."""

    def identity(self) -> dict[str, Any]:
        """Everything that determines the values. Change it whenever a definition changes."""
        return {
            "model": "audio",
            "features": [name for name, _, _ in FEATURES],
            "sample_rate_hz": SAMPLE_RATE_HZ,
            "n_fft": N_FFT,
            "hop": HOP,
            "n_mels": N_MELS,
            "roll_off": ROLL_OFF,
            "weights_sha256": "",
        }

    def load(self, device: str) -> AudioMeter:
        """The meter with its filters on "cpu" or "cuda"."""
        return AudioMeter(device)


class AudioMeter:
    """Measures the audio features of samples."""

    def __init__(self, device: str):
        import torch

        self._device = torch.device(device)
        filters = (np.hanning(N_FFT + 1)[:-1], fft_khz(), mel_filters().T, dct_filters().T, chroma_filters().T)
        self._window, self._khz, self._mel, self._dct, self._chroma = (
            torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(self._device) for values in filters
        )

    def measure(
        self, samples: np.ndarray, tick_hz: Fraction, ticks: int, speech_spans: Sequence[tuple[int, int]]
    ) -> np.ndarray:
        """float32 [ticks, 41]. `speech_spans` are half-open, sorted, in samples, and may extend beyond the ticks."""
        bounds = tick_bounds(tick_hz, ticks)
        heard = np.zeros(max(int(bounds[-1]), 1), np.float32)
        heard[: len(samples)] = samples[: len(heard)]
        frames = -(-bounds // HOP)
        return np.column_stack(
            [
                level(heard, bounds),
                loudness(heard, bounds),
                zero_crossing_rate(heard, bounds),
                mean_between(self.frame_features(heard), frames[:-1], frames[1:]),
                speech_ratio(speech_spans, bounds),
            ]
        ).astype(np.float32)

    def frame_features(self, samples: np.ndarray) -> np.ndarray:
        """float32 [1 + m // 512, 37]: the spectral columns (centroid to the last chroma) of each frame of samples float32 [m]."""
        import torch
        from torch.nn.functional import pad

        with torch.inference_mode(), one_thread():
            padded = pad(torch.from_numpy(samples).to(self._device), (N_FFT // 2, N_FFT))
            frames = padded.unfold(0, N_FFT, HOP)[: 1 + len(samples) // HOP]
            parts = []
            before = None  # mel bands of the previous frame
            for block in frames.split(BLOCK_FRAMES):
                columns, decibels = self._columns(block, before)
                before = decibels[-1:]
                parts.append(columns)
            return torch.cat(parts).cpu().numpy()

    def _columns(self, frames: Any, before: Any) -> tuple[Any, Any]:
        """Columns float32 [n, 37] of frames [n, 1024], and their mel bands in dB [n, 128]; `before` is [1, 128]."""
        import torch

        spectrum = torch.view_as_real(torch.fft.rfft(frames * self._window))
        power = spectrum.square().sum(-1)
        magnitude = power.sqrt()
        total = magnitude.sum(1, keepdim=True)
        share = magnitude / total.clamp(min=1e-30)
        centroid = share @ self._khz
        bandwidth = ((self._khz - centroid[:, None]).square_().mul_(share)).sum(1).sqrt()
        below = (magnitude.cumsum(1) < ROLL_OFF * total).sum(1).clamp(max=N_FFT // 2)
        decibels = 10 * (power @ self._mel).clamp(min=MIN_POWER).log10()
        chroma = power @ self._chroma
        chroma /= chroma.amax(1, keepdim=True).clamp(min=1e-30)
        floored = power.clamp_(min=MIN_POWER)
        flatness = floored.log().mean(1).exp() / floored.mean(1)
        rise = torch.cat([decibels[:1] if before is None else before, decibels]).diff(dim=0)
        flux = rise.clamp_(min=0).mean(1)
        return torch.cat(
            [torch.stack([centroid, bandwidth, self._khz[below], flatness, flux], 1), decibels @ self._dct, chroma], 1
        ), decibels


def tick_bounds(tick_hz: Fraction, ticks: int) -> np.ndarray:
    """int64 [ticks + 1]: the first sample of each tick, and the end of the last.

    >>> tick_bounds(Fraction(3), 3).tolist()
    [0, 5334, 10667, 16000]
    """
    return np.array([ceil(tick * SAMPLE_RATE_HZ / tick_hz) for tick in range(ticks + 1)], dtype=np.int64)


def mean_between(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """float64 [n, C]: means of the rows first:last of [rows, C]. An empty range gives row `first`, or the last row.

    >>> mean_between(np.array([[1.], [3.], [8.]]), np.array([0, 2, 3]), np.array([2, 2, 3])).tolist()
    [[2.0], [8.0], [8.0]]
    """
    first = np.minimum(first, len(values) - 1)
    last = np.minimum(np.maximum(last, first + 1), len(values))
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    return (sums[last] - sums[first]) / (last - first)[:, None]


def level(samples: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """float64 [ticks]: RMS level in dBFS."""
    power = [np.dot(samples[start:end], samples[start:end]) / max(end - start, 1) for start, end in pairwise(bounds)]
    return _decibels(np.array(power))


def loudness(samples: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """float64 [ticks]: largest momentary loudness in LUFS. A full-scale sine of 997 Hz gives -3.01."""
    step = LOUDNESS_STEP
    weighted = np.zeros((-(-len(samples) // step) + 4) * step)  # 200 ms of silence on both sides
    weighted[2 * step : 2 * step + len(samples)] = samples
    blocks = np.square(filtered(weighted)).reshape(-1, step).mean(axis=1)
    momentary = np.convolve(blocks, np.full(4, 0.25), mode="valid")  # [n]: the middle of n is at n * 100 ms
    first = np.minimum(-(-bounds[:-1] // step), len(momentary) - 1)
    last = np.maximum(-(-bounds[1:] // step), first + 1)
    loudest = np.array([momentary[low:high].max() for low, high in zip(first, last, strict=True)])
    return np.maximum(-0.691 + _decibels(loudest), 10 * np.log10(MIN_POWER))


def zero_crossing_rate(samples: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """float64 [ticks]: sign changes per sample. Values within 1e-10 of zero count as positive, as in librosa."""
    negative = samples < -1e-10
    crossing = np.append(False, negative[1:] != negative[:-1])
    return np.array([np.count_nonzero(crossing[start:end]) / max(end - start, 1) for start, end in pairwise(bounds)])


def speech_ratio(spans: Sequence[tuple[int, int]], bounds: np.ndarray) -> np.ndarray:
    """float64 [ticks]: the share of each tick that disjoint spans cover.

    >>> speech_ratio([(-5, 8_000), (16_000, 20_000)], np.array([0, 16_000, 32_000])).tolist()
    [0.5, 0.25]
    """
    covered = np.zeros(len(bounds) - 1)
    for start, end in spans:
        covered += np.maximum(np.minimum(bounds[1:], end) - np.maximum(bounds[:-1], start), 0)
    return np.minimum(covered / np.maximum(np.diff(bounds), 1), 1.0)


def fft_khz() -> np.ndarray:
    """float64 [513]: frequency of each bin."""
    return np.fft.rfftfreq(N_FFT, 1000 / SAMPLE_RATE_HZ)


@lru_cache
def mel_filters() -> np.ndarray:
    """float64 [128, 513]: triangles on Slaney's mel scale from 0 to 8 kHz, each of unit area (librosa.filters.mel)."""
    knee, step = 15.0, np.log(6.4) / 27  # linear to 1 kHz at 15 mels, logarithmic above
    mels = np.linspace(0, knee + np.log(8) / step, N_MELS + 2)
    edges = np.where(mels < knee, mels * 200 / 3, 1000 * np.exp(step * (mels - knee)))
    bins = fft_khz()[None] * 1000
    widths = np.diff(edges)[:, None]
    rising, falling = (bins - edges[:-2, None]) / widths[:-1], (edges[2:, None] - bins) / widths[1:]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


@lru_cache
def dct_filters() -> np.ndarray:
    """float64 [20, 128]: the first rows of the orthonormal DCT-II."""
    rows = np.cos(np.pi / N_MELS * np.arange(N_MFCC)[:, None] * (np.arange(N_MELS) + 0.5)) * np.sqrt(2 / N_MELS)
    rows[0] /= np.sqrt(2)
    return rows


@lru_cache
def chroma_filters() -> np.ndarray:
    """float64 [12, 513]: Gaussian bumps around each pitch class, C first (librosa.filters.chroma, tuning 0; Ellis 2007).

    Octaves far from the fifth (A440 lies in octave 4) count less, by a Gaussian two octaves wide.
    """
    pitch = np.empty(N_FFT)
    pitch[1:] = N_CHROMA * np.log2(np.arange(1, N_FFT) * SAMPLE_RATE_HZ / N_FFT / (440 / 16))
    pitch[0] = pitch[1] - 1.5 * N_CHROMA
    width = np.append(np.maximum(np.diff(pitch), 1), 1)
    away = (pitch - np.arange(N_CHROMA)[:, None] + N_CHROMA / 2) % N_CHROMA - N_CHROMA / 2
    bumps = np.exp(-0.5 * (2 * away / width) ** 2)
    bumps /= np.linalg.norm(bumps, axis=0)
    bumps *= np.exp(-0.5 * ((pitch / N_CHROMA - 5) / 2) ** 2)
    return np.roll(bumps, -3, axis=0)[:, : N_FFT // 2 + 1]


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, MIN_POWER))
