"""Sounds in which nobody speaks, made from a seed: what a speech model is tempted to invent words for.

Each maker takes (seconds, random) and gives float64 [seconds * 16000]. Nothing is recorded or downloaded; `babble` needs
espeak-ng, which speaks sentences that are then reversed and laid over each other.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from reelbeam.schemas.elements import SAMPLE_RATE_HZ

Random = np.random.Generator

SENTENCES = (
    "The last train leaves from platform nine at a quarter past eleven.",
    "She put the letters back into the drawer and locked it twice.",
    "Most of the houses along the river were built after the flood.",
    "Could you bring two more chairs from the room upstairs, please?",
    "We measured the temperature every hour and wrote it on the board.",
    "My brother never liked mushrooms, but he picks them every autumn.",
)
VOICES = ("en-us", "en-gb", "en-us+f3", "en-gb+m5", "de", "fr-fr+f2", "es+m2", "it+f4")
FORMANTS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (250, 1000, 2200))
"""a, i, u, e (Peterson and Barney 1952, men), and a closed mouth."""


def shaped(samples: int, random: Random, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """float64 [samples]: Gaussian noise with a spectrum, given as gain over Hz; peak amplitude 1."""
    spectrum = np.fft.rfft(random.normal(size=samples))
    noise: np.ndarray = np.fft.irfft(spectrum * gain(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE_HZ)), samples)
    return noise / np.abs(noise).max()


def band(low_hz: float, high_hz: float) -> Callable[[np.ndarray], np.ndarray]:
    """A band with soft edges, for `shaped`."""
    return lambda hz: 1 / (1 + (low_hz / np.maximum(hz, 1)) ** 4) / (1 + (hz / high_hz) ** 4)


def slow(samples: int, random: Random, period_s: float, low: float = 0.2) -> np.ndarray:
    """float64 [samples]: a level between `low` and 1 that wanders with about this period."""
    knots = random.uniform(low, 1, max(3, int(samples / SAMPLE_RATE_HZ / period_s) + 2))
    return np.interp(np.linspace(0, len(knots) - 1, samples), np.arange(len(knots)), knots)


def scatter(track: np.ndarray, random: Random, per_s: float, event: Callable[[], np.ndarray]) -> None:
    """Adds `event()` to a track, in place, at random instants, so many per second on average."""
    for start in random.integers(0, len(track), random.poisson(per_s * len(track) / SAMPLE_RATE_HZ)):
        sound = event()[: len(track) - start]
        track[start : start + len(sound)] += sound


def loud(random: Random) -> float:
    """A level between -36 and -8 dB."""
    return float(10 ** (random.uniform(-36, -8) / 20))


def white(seconds: int, random: Random) -> np.ndarray:
    return 0.1 * random.normal(size=seconds * SAMPLE_RATE_HZ)


def pink(seconds: int, random: Random) -> np.ndarray:
    return 0.4 * shaped(seconds * SAMPLE_RATE_HZ, random, lambda hz: 1 / np.sqrt(np.maximum(hz, 20)))


def rain(seconds: int, random: Random) -> np.ndarray:
    """Hiss in gusts, and drops on leaves and sheet metal."""
    samples = seconds * SAMPLE_RATE_HZ
    track = 0.15 * shaped(samples, random, band(800, 6000)) * slow(samples, random, 4)
    scatter(track, random, 40, lambda: struck(random, 0.02, (1500, 6000), 2) * random.uniform(0.01, 0.08))
    scatter(track, random, 1, lambda: struck(random, 0.15, (300, 1500), 4) * random.uniform(0.02, 0.1))
    return track


def struck(random: Random, decay_s: float, hz: tuple[float, float], partials: int) -> np.ndarray:
    """Something struck: partials that are no harmonics, each dying away on its own, after a click."""
    at = np.arange(int(6 * decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    sound = 0.3 * random.normal(size=len(at)) * np.exp(-at / 0.002)
    for tone in random.uniform(*hz, partials):
        dies = decay_s * random.uniform(0.4, 1.2)
        sound += np.sin(2 * np.pi * tone * at + random.uniform(0, 6)) * np.exp(-at / dies) / partials
    return sound


def kitchen(seconds: int, random: Random) -> np.ndarray:
    """A fridge's hum, a tap, pots and plates, a knife on a board, thuds, squeaks of hinges, and scrapes of chairs that
    ring like a vowel: voice activity takes those for a voice."""
    samples = seconds * SAMPLE_RATE_HZ
    at = np.arange(samples) / SAMPLE_RATE_HZ
    track = np.zeros(samples)
    for n in range(1, 9):
        track += 0.008 / n * np.sin(2 * np.pi * 50 * n * at + n)
    track += 0.004 * shaped(samples, random, band(100, 3000))
    running = slow(samples, random, 10, -1.5).clip(0)
    track += 0.1 * running * shaped(samples, random, band(500, 5000)) * slow(samples, random, 0.2, 0.5)
    scatter(track, random, 1.2, lambda: struck(random, random.uniform(0.03, 0.4), (900, 6500), 6) * loud(random))
    scatter(track, random, 0.4, lambda: struck(random, random.uniform(0.05, 0.2), (250, 1200), 5) * loud(random))
    scatter(track, random, 0.2, lambda: struck(random, 0.06, (60, 200), 3) * loud(random))
    scatter(track, random, 0.06, lambda: chopping(random) * loud(random))
    scatter(track, random, 0.12, lambda: squeak(random) * loud(random))
    scatter(track, random, 0.12, lambda: vowels(random, random.uniform(0.2, 0.7)) * loud(random))
    return track


def chopping(random: Random) -> np.ndarray:
    """A knife on a board: 4 to 16 blows, 3 to 6 a second."""
    blows, step = int(random.integers(4, 17)), int(SAMPLE_RATE_HZ / random.uniform(3, 6))
    track = np.zeros(blows * step + SAMPLE_RATE_HZ)
    for blow in range(blows):
        sound = struck(random, 0.04, (180, 900), 4)
        track[blow * step : blow * step + len(sound)] += sound
    return track


def squeak(random: Random) -> np.ndarray:
    """A hinge: a harmonic tone that slides, 0.2 to 0.8 s."""
    length = int(random.uniform(0.2, 0.8) * SAMPLE_RATE_HZ)
    pitch = np.interp(np.linspace(0, 3, length), range(4), random.uniform(150, 900, 4))
    return harmonics(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE_HZ, 5, 1.0) * np.hanning(length)


def harmonics(phase: np.ndarray, count: int, fall: float) -> np.ndarray:
    """float64, as `phase` (radians): a tone of so many partials, each weaker than the first by its number to a power."""
    tone = np.zeros_like(phase)
    for n in range(1, count + 1):
        tone += np.sin(n * phase) / n**fall
    return tone


@lru_cache
def spoken(sentence: str, voice: str) -> np.ndarray:
    """float64 [m] at 16 kHz: a sentence of espeak-ng's."""
    command = ["espeak-ng", "-v", voice, "-s", "165", "--stdout", sentence]
    wav = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    samples = np.frombuffer(wav[44:], np.int16) / 32768
    at = np.arange(int(len(samples) * SAMPLE_RATE_HZ / 22_050)) * 22_050 / SAMPLE_RATE_HZ
    return np.interp(at, np.arange(len(samples)), samples)


def babble(seconds: int, random: Random, voices: int = 8) -> np.ndarray:
    """A crowd: so many voices at a time, near and far, each sentence reversed, so that no word is left."""
    samples = seconds * SAMPLE_RATE_HZ
    track = 0.01 * shaped(samples, random, band(150, 2500))
    for _ in range(voices):
        start = int(random.integers(SAMPLE_RATE_HZ))
        while start < samples:
            sentence = spoken(str(random.choice(SENTENCES)), str(random.choice(VOICES)))[::-1]
            part = sentence[: samples - start] * random.uniform(0.1, 0.5)
            track[start : start + len(part)] += part
            start += len(sentence) + int(random.integers(SAMPLE_RATE_HZ // 2))
    return 0.5 * track


def music(seconds: int, random: Random) -> np.ndarray:
    """A melody, chords, a bass and drums, without a voice."""
    samples = seconds * SAMPLE_RATE_HZ
    at = np.arange(samples) / SAMPLE_RATE_HZ
    track = 0.12 * tune(samples, random, 0.25, 440) * np.exp(-4 * (at % 0.25))
    for ratio in (1, 1.26, 1.5):
        track += 0.05 * tune(samples, np.random.default_rng(7), 2, 220 * ratio)
    track += 0.1 * tune(samples, random, 0.5, 82)
    for beat in range(seconds * 4):
        drum = struck(random, 0.05, (50, 90), 2) * 0.5 if beat % 2 else 0.15 * random.normal(size=800) * np.hanning(800)
        first = beat * SAMPLE_RATE_HZ // 4
        track[first : first + len(drum)] += drum[: samples - first]
    return track


def tune(samples: int, random: Random, note_s: float, base_hz: float) -> np.ndarray:
    """Notes of a major scale, each with four partials."""
    scale = base_hz * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11]) / 12)
    each = int(note_s * SAMPLE_RATE_HZ)
    notes = np.repeat(random.choice(scale, samples // each + 1), each)[:samples]
    return harmonics(2 * np.pi * np.cumsum(notes) / SAMPLE_RATE_HZ, 4, 1.5)


def humming(seconds: int, random: Random) -> np.ndarray:
    """Music with a voice that sings vowels, louder than it. No words."""
    samples = seconds * SAMPLE_RATE_HZ
    track = 0.2 * music(seconds, random)
    start = 0
    while start < samples:
        phrase = vowels(random, random.uniform(1, 4))[: samples - start]
        track[start : start + len(phrase)] += 0.4 * phrase
        start += len(phrase) + int(random.uniform(0.2, 2) * SAMPLE_RATE_HZ)
    return track


def vowels(random: Random, seconds: float) -> np.ndarray:
    """A sung phrase: notes of 0.15 to 0.6 s with vibrato, sums of harmonics weighted by formants; peak amplitude 1."""
    base = random.choice([98, 130, 165, 220])
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * SAMPLE_RATE_HZ:
        length = int(random.uniform(0.15, 0.6) * SAMPLE_RATE_HZ)
        at = np.arange(length) / SAMPLE_RATE_HZ
        hz = base * 2 ** (random.choice([0, 2, 4, 5, 7, 9]) / 12) * (1 + 0.015 * np.sin(2 * np.pi * 5.5 * at))
        phase = 2 * np.pi * np.cumsum(hz) / SAMPLE_RATE_HZ
        formants = FORMANTS_HZ[int(random.integers(len(FORMANTS_HZ)))]
        note = 0.02 * random.normal(size=length)
        for n in range(1, int(4000 / base)):
            note += sum(1 / (1 + ((n * hz - formant) / 90) ** 2) for formant in formants) * np.sin(n * phase) / n
        parts.append(note * np.minimum(1, 12 * np.minimum(at, at[::-1])))
    phrase = np.concatenate(parts)
    return phrase / np.abs(phrase).max()


SOUNDS: dict[str, Callable[[int, Random], np.ndarray]] = {
    maker.__name__: maker for maker in (white, pink, rain, kitchen, babble, music, humming)
}


def made(name: str, seconds: int, seed: int) -> np.ndarray:
    """float32 [seconds * 16000] in -1..1: one of SOUNDS, the same for the same seed."""
    return np.clip(SOUNDS[name](seconds, np.random.default_rng(seed)), -1, 1).astype(np.float32)
