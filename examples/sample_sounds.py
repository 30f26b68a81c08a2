"""Adds background sounds to a voice: music, places and a slide whistle, all synthesised from waves and noise.

In:   int16 [n] and its `Sound`s. The seed chooses notes, keys and noise, which are not labels.
Out:  int16 [n], the sum.
Bad:  a kind that is not in `KINDS` raises KeyError.
"""

import random
from collections.abc import Callable, Sequence

import numpy as np
from sample_video import Sound

FADE_S = 0.05


def with_sounds(track: np.ndarray, rate_hz: int, sounds: Sequence[Sound], seed: str) -> np.ndarray:
    """Adds each sound to its part of the track. Samples that would be too loud are clipped."""
    mixed = track.astype(np.float64)
    for number, sound in enumerate(sounds):
        first, stop = (round(s * rate_hz) for s in (sound.start_s, sound.start_s + sound.seconds))
        t = np.arange(min(stop, len(track)) - first) / rate_hz
        noise = np.random.default_rng(random.Random(f"sound {number} {seed}").getrandbits(64))
        fade = np.minimum(1, np.minimum(t, t[-1] - t) / FADE_S)
        mixed[first : first + len(t)] += KINDS[sound.kind](t, noise) * fade * sound.level * 32767
    return np.clip(mixed, -32768, 32767).astype(np.int16)


def _notes(t: np.ndarray, noise: np.random.Generator, note_s: float, decay_s: float) -> np.ndarray:
    """Plucked notes of one chord."""
    root = noise.choice((196.0, 220.0, 246.9, 261.6))
    number = (t / note_s).astype(int)
    since = t - number * note_s
    pitch = root * noise.choice((1, 5 / 4, 3 / 2, 2), number[-1] + 1)[number]
    return np.sin(2 * np.pi * pitch * since) * np.exp(-since / decay_s) * np.minimum(1, since / 0.005)


def _strikes(t: np.ndarray, noise: np.random.Generator, step_s: float, decay_s: float) -> np.ndarray:
    """Loudness envelope of short sounds, about one per `step_s`."""
    starts = np.arange(0, t[-1], step_s) + noise.uniform(0, step_s / 3, len(np.arange(0, t[-1], step_s)))
    last = np.searchsorted(starts, t, "right") - 1
    since = np.where(last >= 0, t - starts[last], np.inf)
    return np.exp(-since / decay_s)


def _smooth(values: np.ndarray, samples: int) -> np.ndarray:
    """A running mean, which removes high frequencies, scaled to a standard deviation of 1/3."""
    summed = np.cumsum(np.concatenate([np.zeros(samples), values]))
    mean = summed[samples:] - summed[:-samples]
    return mean / (3 * mean.std())


def _waves(t: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * (t / noise.uniform(3, 5) + noise.random()))
    return _smooth(noise.normal(size=len(t)), 12) * swell


def _engine(t: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    phase = 2 * np.pi * noise.uniform(60, 95) * t
    hum = sum(np.sin(phase * n) / n for n in range(1, 9))
    return 0.4 * hum * (0.8 + 0.2 * np.sin(2 * np.pi * 11 * t))


def _knocks(t: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    return _smooth(noise.normal(size=len(t)), 4) * _strikes(t, noise, 0.4, 0.03)


def _chirps(t: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    loud = _strikes(t, noise, 0.35, 0.05)
    return np.sin(2 * np.pi * (2500 + 1500 * loud) * t) * loud


def _sizzle(t: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    hiss = np.diff(noise.normal(size=len(t) + 1)) / 4
    return hiss * (0.4 + 0.6 * _strikes(t, noise, 0.07, 0.01))


def _organ(t: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    root = noise.choice((262.0, 294.0, 330.0, 349.0))
    vibrato = 0.004 * np.sin(2 * np.pi * 5.5 * t) / 5.5
    chord = sum(np.sin(2 * np.pi * root * r * n * (t + vibrato)) / n for r in (1, 5 / 4, 3 / 2) for n in (1, 2, 3))
    return 0.25 * chord


def _glide(t: np.ndarray, noise: np.random.Generator, up: bool) -> np.ndarray:
    """A slide whistle over two octaves, with the frequency low * 4 ** (share of the time)."""
    low, share = noise.uniform(380, 520), t / t[-1]
    turns = low * t[-1] / np.log(4) * 4**share
    return np.sin(2 * np.pi * (turns if up else -turns[::-1]))


KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "lively": lambda t, noise: _notes(t, noise, 0.25, 0.08),
    "quiet": lambda t, noise: _notes(t, noise, 2.5, 2.0),
    "waves": _waves,
    "engine": _engine,
    "knocks": _knocks,
    "chirps": _chirps,
    "sizzle": _sizzle,
    "organ": _organ,
    "rising": lambda t, noise: _glide(t, noise, True),
    "falling": lambda t, noise: _glide(t, noise, False),
}
"""(seconds float64 [n] from 0, generator) -> float64 [n], about -1 to 1."""
