"""What a tick sounds like, against librosa, against closed forms, and in silence."""

from __future__ import annotations

import time
import timeit
from fractions import Fraction

import numpy as np
import pytest
from scipy.signal import sosfilt, sosfreqz

from reelbeam.models.audio import FEATURES, HOP, N_FFT, AudioMeter, AudioSpec, loudness, tick_bounds
from reelbeam.models.k_weighting import filtered, k_weighting
from reelbeam.schemas.elements import SAMPLE_RATE_HZ

NAMES = [name for name, _, _ in FEATURES]


@pytest.fixture(scope="module")
def meter() -> AudioMeter:
    return AudioSpec().load("cpu")


def sound(seconds: float = 4.0) -> np.ndarray:
    """Chords, noise, a silent stretch and clicks."""
    count = int(seconds * SAMPLE_RATE_HZ)
    at = np.arange(count) / SAMPLE_RATE_HZ
    samples = 0.2 * np.sin(2 * np.pi * 440 * at) + 0.1 * np.sin(2 * np.pi * 1318.5 * at * (1 + 0.1 * at))
    samples += np.random.default_rng(7).normal(0, 0.02, count)
    samples[count // 2 : count * 5 // 8] = 0
    samples[::4001] += 0.5
    return samples.astype(np.float32)


def tone(hz: float, seconds: float = 2.0, peak: float = 1.0) -> np.ndarray:
    return (peak * np.sin(2 * np.pi * hz * np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ)).astype(
        np.float32
    )


def column(measured: np.ndarray, name: str) -> np.ndarray:
    return measured[:, NAMES.index(name)]


def test_there_are_41_named_features_and_every_one_is_described() -> None:
    assert len(FEATURES) == len(set(NAMES)) == 41
    assert all(name and unit and doc for name, unit, doc in FEATURES)


def test_spectral_features_equal_those_of_librosa(meter: AudioMeter) -> None:
    librosa = pytest.importorskip("librosa")
    samples = sound()
    spectrum = np.abs(librosa.stft(samples, n_fft=N_FFT, hop_length=HOP))
    settings = {"sr": SAMPLE_RATE_HZ, "n_fft": N_FFT, "hop_length": HOP}
    mel = librosa.power_to_db(librosa.feature.melspectrogram(S=spectrum**2, **settings), top_db=None)
    expected = [
        (librosa.feature.spectral_centroid(S=spectrum, sr=SAMPLE_RATE_HZ) / 1000, 1e-4),
        (librosa.feature.spectral_bandwidth(S=spectrum, sr=SAMPLE_RATE_HZ) / 1000, 1e-4),
        (librosa.feature.spectral_rolloff(S=spectrum, sr=SAMPLE_RATE_HZ) / 1000, 0.016),  # one bin, at a tie
        (librosa.feature.spectral_flatness(S=spectrum), 1e-4),
        (librosa.onset.onset_strength(S=mel, sr=SAMPLE_RATE_HZ, center=False)[None], 1e-3),
        (librosa.feature.mfcc(S=mel, n_mfcc=20), 5e-3),
        (librosa.feature.chroma_stft(S=spectrum**2, tuning=0.0, **settings), 1e-4),
    ]
    found = meter.frame_features(samples)
    assert found.shape == (1 + len(samples) // HOP, 37)
    first = 0
    for values, tolerance in expected:
        np.testing.assert_allclose(found[:, first : first + len(values)], values.T, atol=tolerance, rtol=1e-4)
        first += len(values)
    assert first == 37


def test_zero_crossings_equal_those_of_librosa(meter: AudioMeter) -> None:
    librosa = pytest.importorskip("librosa")
    samples = sound()
    crossings = librosa.zero_crossings(samples, pad=False).reshape(4, SAMPLE_RATE_HZ).mean(axis=1)
    measured = meter.measure(samples, Fraction(1), 4, [])
    np.testing.assert_allclose(column(measured, "zero_crossing_rate"), crossings, atol=1e-6)


def test_a_tick_is_the_mean_of_the_frames_whose_middle_it_holds(meter: AudioMeter) -> None:
    samples = sound()
    frames = meter.frame_features(samples)
    middles = np.arange(len(frames)) * HOP
    bounds = tick_bounds(Fraction(3), 12)
    measured = meter.measure(samples, Fraction(3), 12, [])
    for tick in range(12):
        inside = (middles >= bounds[tick]) & (middles < bounds[tick + 1])
        np.testing.assert_allclose(measured[tick, 3:40], frames[inside].mean(axis=0), rtol=1e-4, atol=1e-5)


def test_a_full_scale_sine_reads_minus_three_decibels_on_both_meters(meter: AudioMeter) -> None:
    measured = meter.measure(tone(997), Fraction(1), 2, [])
    np.testing.assert_allclose(column(measured, "level"), -3.01, atol=0.01)
    np.testing.assert_allclose(column(measured, "loudness"), -3.01, atol=0.05)


def test_the_k_weighting_is_that_of_the_standard_as_far_as_16_khz_can_carry_it() -> None:
    """BS.1770-5, annex 1, tables 1 and 2, at 48 kHz. Towards 8 kHz the bilinear transform bends the plateau a little."""
    standard = np.array(
        [
            [1.53512485958697, -2.69169618940638, 1.19839281085285, 1, -1.69065929318241, 0.73248077421585],
            [1, -2, 1, 1, -1.99004745483398, 0.99007225036621],
        ]
    )
    at_hz = np.geomspace(20, 7000, 50)
    decibels = [
        20 * np.log10(np.abs(sosfreqz(sections, at_hz, fs=rate)[1]))
        for sections, rate in ((standard, 48_000), (k_weighting(), SAMPLE_RATE_HZ))
    ]
    np.testing.assert_allclose(decibels[1], decibels[0], atol=0.25)


def test_loudness_is_that_of_the_loudest_400_milliseconds(meter: AudioMeter) -> None:
    samples = np.zeros(3 * SAMPLE_RATE_HZ, np.float32)
    samples[20_000 : 20_000 + 6400] = tone(997, 0.4)
    loud = column(meter.measure(samples, Fraction(1), 3, []), "loudness")
    assert loud[1] == pytest.approx(-3.01, abs=0.7)
    assert loud[0] < -90


@pytest.mark.parametrize("length", [1, 159, 160, 161, 16_000, 163_201])
def test_the_block_filter_equals_the_filter_that_goes_sample_by_sample(length: int) -> None:
    sound = np.random.default_rng(length).normal(size=length)
    np.testing.assert_allclose(filtered(sound), sosfilt(k_weighting(), sound), atol=1e-11)


def test_a_filter_that_fades_into_silence_costs_no_more_than_one_in_sound() -> None:
    sound = np.random.default_rng(0).normal(size=10 * SAMPLE_RATE_HZ) * 0.1
    faded = np.where(np.arange(len(sound)) < len(sound) // 2, sound, 0)
    bounds = tick_bounds(Fraction(1), 10)

    def cost_s(samples: np.ndarray) -> float:
        return min(timeit.repeat(lambda: loudness(samples, bounds), number=1, repeat=5, timer=time.thread_time))

    assert cost_s(faded) < 2 * cost_s(sound) + 0.002


def test_digital_silence_is_finite_and_sits_on_the_floor(meter: AudioMeter) -> None:
    measured = meter.measure(np.zeros(0, np.float32), Fraction(1), 3, [])
    assert measured.shape == (3, 41)
    assert measured.dtype == np.float32
    assert np.isfinite(measured).all()
    np.testing.assert_allclose(column(measured, "level"), -100, atol=1e-3)
    np.testing.assert_allclose(column(measured, "loudness"), -100, atol=1e-3)
    assert not column(measured, "centroid").any()


@pytest.mark.parametrize("samples", [sound(), np.ones(64_000, np.float32), 1e-6 * sound(), np.sign(tone(100, 4))])
def test_every_value_fits_float16(meter: AudioMeter, samples: np.ndarray) -> None:
    measured = meter.measure(samples.astype(np.float32), Fraction(1), 4, [(0, 64_000)])
    half = measured.astype(np.float16)
    assert np.isfinite(half).all()
    np.testing.assert_allclose(half, measured, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("tick_hz", [Fraction(1, 7), Fraction(1), Fraction(30_000, 1001), Fraction(100)])
def test_any_grid_gives_a_row_a_tick(meter: AudioMeter, tick_hz: Fraction) -> None:
    ticks = int(4 * tick_hz) + 2
    measured = meter.measure(sound(), tick_hz, ticks, [])
    assert measured.shape == (ticks, 41)
    assert np.isfinite(measured).all()


def test_the_note_a_lights_the_pitch_class_a(meter: AudioMeter) -> None:
    measured = meter.measure(tone(440, peak=0.3), Fraction(1), 2, [])
    chroma = measured[0, NAMES.index("chroma_c") : NAMES.index("chroma_b") + 1]
    assert NAMES[NAMES.index("chroma_c") + int(chroma.argmax())] == "chroma_a"
    assert column(measured, "centroid")[0] == pytest.approx(0.44, abs=0.05)


def test_speech_ratio_is_the_share_that_spans_cover(meter: AudioMeter) -> None:
    measured = meter.measure(sound(), Fraction(1), 4, [(-100, 8_000), (20_000, 36_000), (60_000, 90_000)])
    np.testing.assert_allclose(column(measured, "speech_ratio"), [0.5, 0.75, 0.25, 0.25])
