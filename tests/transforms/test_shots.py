"""Shots start where a person would cut: not at flashes, shakes, pans and noise, and at slow changes once."""

from __future__ import annotations

import numpy as np
import pytest

from reelbeam.transforms.shots import CONTEXT_MS, adaptive, hard_cuts
from reelbeam.transforms.small_pictures import HEIGHT, LUMA_BYTES, PICTURE_BYTES, WIDTH, Picture, distance


def scene(seed: int, x: int = 0, y: int = 0) -> np.ndarray:
    """A picture of blobs, moved by whole pixels: float32 [PICTURE_BYTES], as small pictures are laid out."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(30, 220, (14, 20)).astype(np.float32)
    large = np.kron(coarse, np.ones((6, 6), np.float32))
    luma = large[20 + y : 20 + y + HEIGHT, 24 + x : 24 + x + WIDTH]
    chroma = np.full(PICTURE_BYTES - LUMA_BYTES, random.uniform(90, 160), np.float32)
    return np.concatenate([luma.ravel(), chroma])


def film(*frames: np.ndarray, noise: float = 0.5) -> np.ndarray:
    """Pictures uint8 [n, PICTURE_BYTES] with sensor noise."""
    stacked = np.stack(frames)
    return np.clip(stacked + np.random.default_rng(7).normal(0, noise, stacked.shape), 0, 255).astype(np.uint8)


def times(count: int, fps: float = 25) -> np.ndarray:
    return (np.arange(count) * 1000 / fps).astype(np.int64)


@pytest.mark.parametrize("fps", [12, 25, 60])
def test_a_hard_cut_is_found_at_its_first_frame(fps: int) -> None:
    length = 2 * fps
    pictures = film(*[scene(1)] * length, *[scene(2)] * length)
    assert adaptive(pictures, times(2 * length, fps)).tolist() == [length]


def test_a_flash_is_no_cut() -> None:
    bright = np.clip(scene(1) + 120, 0, 255)
    pictures = film(*[scene(1)] * 50, *[bright] * 4, *[scene(1)] * 50)
    assert not len(adaptive(pictures, times(104)))


def test_a_shaking_hand_and_a_pan_are_no_cuts() -> None:
    random = np.random.default_rng(3)
    shaken = [scene(1, *random.integers(-3, 4, 2)) for _ in range(75)]
    panned = [scene(1, round(at * 0.5) - 20) for at in range(80)]
    assert not len(adaptive(film(*shaken), times(75)))
    assert not len(adaptive(film(*panned), times(80)))


def test_noise_is_no_cut() -> None:
    assert not len(adaptive(film(*[scene(1)] * 100, noise=12), times(100)))


def test_other_lines_on_the_same_page_are_a_new_shot() -> None:
    """As on slides: little of the picture changes, and nothing else moves."""
    page = np.concatenate([np.full(LUMA_BYTES, 240, np.float32), np.full(PICTURE_BYTES - LUMA_BYTES, 128, np.float32)])
    first, second = page.copy(), page.copy()
    first[:LUMA_BYTES].reshape(HEIGHT, WIDTH)[10:12, 8:40:2] = 60
    second[:LUMA_BYTES].reshape(HEIGHT, WIDTH)[16:18, 8:44:2] = 60
    assert adaptive(film(*[first] * 60, *[second] * 60), times(120)).tolist() == [60]


@pytest.mark.parametrize("seconds", [0.6, 1.2, 1.9])
@pytest.mark.parametrize("how", ["dissolve", "fade", "wipe"])
def test_a_slow_change_is_one_new_shot_that_starts_within_it(how: str, seconds: float) -> None:
    one, two, steps = scene(1), scene(2), round(25 * seconds)

    def way(share: float) -> np.ndarray:
        if how == "dissolve":
            return one * (1 - share) + two * share
        if how == "fade":
            return one * max(0.0, 1 - 2.2 * share) + two * max(0.0, 2.2 * share - 1.2)
        mixed = two.copy()
        left = np.arange(LUMA_BYTES) % WIDTH >= share * WIDTH
        mixed[:LUMA_BYTES][left] = one[:LUMA_BYTES][left]
        return mixed

    pictures = film(*[one] * 75, *[way(at / steps) for at in range(steps)], *[two] * 75)
    [found] = adaptive(pictures, times(150 + steps)).tolist()
    assert 75 <= found <= 75 + steps


@pytest.mark.parametrize("count", [0, 1, 2])
def test_no_frame_and_hardly_any_start_no_new_shot(count: int) -> None:
    assert not len(adaptive(film(scene(1), scene(1))[:count], times(2)[:count]))


def test_what_is_found_depends_only_on_frames_nearby() -> None:
    """So units that are decoded with CONTEXT_MS around them agree."""
    random = np.random.default_rng(5)
    frames: list[np.ndarray] = []
    for shot in range(12):
        if frames and shot % 2:
            last = frames[-1]
            frames += [last * (1 - at / 20) + scene(shot) * at / 20 for at in range(20)]
        frames += [scene(shot)] * int(random.integers(30, 70))
    pictures = film(*frames)
    at_ms = np.cumsum(random.integers(20, 70, len(pictures))).astype(np.int64)  # an uneven rate
    whole = at_ms[adaptive(pictures, at_ms)]
    assert len(whole) > 8
    for start in range(0, int(at_ms[-1]), 3_000):
        seen = (at_ms >= start - CONTEXT_MS) & (at_ms < start + 3_000 + CONTEXT_MS)
        part = at_ms[seen][adaptive(pictures[seen], at_ms[seen])]
        inside = [at for at in part.tolist() if start <= at < start + 3_000]
        assert inside == [at for at in whole.tolist() if start <= at < start + 3_000]


def test_a_repeated_frame_hides_no_cut_and_makes_none() -> None:
    """A film at 24 frames per second in a stream of 60 shows each frame two or three times."""
    frames = [scene(1, at // 4) for at in range(40)] + [scene(2, at // 4) for at in range(40)]
    repeated = [frame for at, frame in enumerate(frames) for _ in range(2 + at % 2)]
    assert hard_cuts(film(*repeated), times(len(repeated), 60)).tolist() == [100]


def test_distance_counts_a_shift_for_nothing_and_another_picture_for_all() -> None:
    here, moved, other = (Picture.of(film(one, noise=0)[0]) for one in (scene(1), scene(1, 4, 2), scene(2)))
    assert distance(here, moved) < 1
    assert distance(here, other) > 20
