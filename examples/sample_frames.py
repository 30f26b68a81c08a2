"""Draws the frames of one video: drawings that drift and rock before moving backgrounds, scene by scene.

In:   scenes (a drawing as SVG text, first frame, stop frame) and the time of each frame.
Out:  uint8 [height, width, 3] RGB frames, one at a time; the same for the same arguments.

A drawing is `SMALLEST` to `LARGEST` of the frame's shorter side and stays in its central square.
"""

import colorsys
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from reelbeam.models.mini_clip.drawings import render

SMALLEST, LARGEST = 0.45, 0.68
TURN_DEG = 12.0
COARSE = 2  # backgrounds are smooth: drawn at a half of the size

Background = Callable[[float], np.ndarray]


@dataclass(frozen=True)
class Scene:
    """Frames `first` to `stop` (half-open) show the drawing `name` of the set `drawn_by`, or nothing (None).

    `move`: how the drawing moves, one of `MOVES`; with "" it drifts.
    """

    name: str | None
    drawn_by: str | None
    svg: str | None
    first: int
    stop: int
    move: str = ""


MOVES = {
    "comes closer": ((0, 0.5), (0, 1.2)),
    "goes away": ((0, 1.2), (0, 0.5)),
    "moves right": ((-1.4, 0.8), (1.4, 0.8)),
    "moves left": ((1.4, 0.8), (-1.4, 0.8)),
}
"""(x, size) at the start and at the end. Drifting keeps x within -1 to 1, inside the central square, and size in 0.66 to 1.06."""


def draw_frames(
    scenes: Sequence[Scene], times_s: Sequence[float], width: int, height: int, seed: str
) -> Iterator[np.ndarray]:
    """Yields uint8 [height, width, 3], one frame per time in `times_s`. Each scene has its own background."""
    rng = random.Random(seed)
    kinds = list(BACKGROUNDS)
    rng.shuffle(kinds)
    for i, scene in enumerate(scenes):
        paint = BACKGROUNDS[kinds[i % len(kinds)]](rng, width, height)
        sprite = None if scene.svg is None else Sprite(scene.svg, min(width, height), rng)
        times = times_s[scene.first : scene.stop]
        for t in times:
            frame = Image.fromarray(paint(t)).resize((width, height), Image.Resampling.BILINEAR)
            if sprite is not None:
                path = along(scene.move, (t - times[0]) / max(times[-1] - times[0], 1e-9)) if scene.move else None
                sprite.paste(frame, t, path)
            yield np.asarray(frame)


def along(move: str, share: float) -> tuple[float, float]:
    """(x, size) of a move after a share of its time.

    >>> along("moves right", 0.5)
    (0.0, 0.8)
    """
    (from_x, from_size), (to_x, to_size) = MOVES[move]
    return from_x + (to_x - from_x) * share, from_size + (to_size - from_size) * share


class Sprite:
    """One drawing with its own random movement."""

    def __init__(self, svg: str, side_px: int, rng: random.Random) -> None:
        self._side_px = side_px
        drawn = render(svg, round(side_px * LARGEST))
        margin = drawn.shape[0] // 5  # so that corners stay in when it turns
        self._image = Image.fromarray(np.pad(drawn, ((margin, margin), (margin, margin), (0, 0))))
        self._scale = rng.uniform(SMALLEST + 0.05, LARGEST) / LARGEST
        self._phases = [rng.uniform(0, 2 * math.pi) for _ in range(4)]
        self._periods_s = [rng.uniform(4, 9) for _ in range(4)]

    def paste(self, frame: Image.Image, t: float, path: tuple[float, float] | None = None) -> None:
        """Pastes the drawing onto `frame` with its pose at `t` seconds, or at the position and size of `path` (x, size)."""
        x, y, turn, zoom = (
            math.sin(2 * math.pi * t / period + phase)
            for period, phase in zip(self._periods_s, self._phases, strict=True)
        )
        scale = max(SMALLEST / LARGEST, self._scale * (1 + 0.06 * zoom))
        if path is not None:
            x, scale = path
        size_px = round(self._image.width * scale)
        # Bilinear: Pillow's bicubic leaves a faint square where a drawing is transparent.
        sprite = self._image.resize((size_px, size_px), Image.Resampling.BILINEAR)
        sprite = sprite.rotate(TURN_DEG * turn, Image.Resampling.BILINEAR)
        reach_px = 0.85 * max(0.0, 1 - LARGEST * scale) / 2 * self._side_px
        left = round((frame.width - size_px) / 2 + x * reach_px)
        top = round((frame.height - size_px) / 2 + y * reach_px)
        frame.paste(sprite, (left, top), sprite)


def _colours(rng: random.Random, n: int) -> np.ndarray:
    """Random colours float32 [n, 3] in 0..255: neighbours on the colour wheel, not too vivid."""
    hue, saturation = rng.random(), rng.uniform(0.15, 0.55)
    rows = [colorsys.hsv_to_rgb((hue + 0.09 * i) % 1, saturation, rng.uniform(0.35, 0.95)) for i in range(n)]
    return np.array(rows, np.float32) * 255


def _grid(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates x and y, float32 [h, w], at the coarse size. The shorter side spans -1..1."""
    w, h = width // COARSE, height // COARSE
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    return (x - w / 2) / (min(w, h) / 2), (y - h / 2) / (min(w, h) / 2)


def _blend(a: np.ndarray, b: np.ndarray, mix: np.ndarray) -> np.ndarray:
    """Mixes two colours with weights float32 [h, w], clipped to 0..1, into uint8 [h, w, 3]."""
    return (a + (b - a) * mix.clip(0, 1)[..., None]).astype(np.uint8)


def _gradient(rng: random.Random, width: int, height: int) -> Background:
    """A gradient between two colours that rotates slowly."""
    (x, y), (a, b) = _grid(width, height), _colours(rng, 2)
    start, speed = rng.uniform(0, 2 * math.pi), rng.choice((-1, 1)) * rng.uniform(0.15, 0.4)

    def paint(t: float) -> np.ndarray:
        angle = start + speed * t
        return _blend(a, b, 0.5 + 0.35 * (x * math.cos(angle) + y * math.sin(angle)))

    return paint


def _stripes(rng: random.Random, width: int, height: int) -> Background:
    """Diagonal stripes that move across."""
    (x, y), (a, b) = _grid(width, height), _colours(rng, 2)
    angle, waves, speed = rng.uniform(0, math.pi), rng.uniform(5, 11), rng.uniform(0.8, 2)
    across = x * math.cos(angle) + y * math.sin(angle)
    return lambda t: _blend(a, b, 0.5 + 2 * np.sin(across * waves + speed * t))


def _checks(rng: random.Random, width: int, height: int) -> Background:
    """A chessboard that slides."""
    (x, y), (a, b) = _grid(width, height), _colours(rng, 2)
    waves, vx, vy = rng.uniform(4, 8), rng.uniform(-0.25, 0.25), rng.uniform(-0.25, 0.25)
    return lambda t: _blend(a, b, 0.5 + 4 * np.sin((x + vx * t) * waves) * np.sin((y + vy * t) * waves))


def _clouds(rng: random.Random, width: int, height: int) -> Background:
    """Soft clouds: a sum of slow waves in many directions."""
    (x, y), (a, b) = _grid(width, height), _colours(rng, 2)
    waves = [
        (rng.uniform(-1, 1) * f, rng.uniform(-1, 1) * f, rng.uniform(0.3, 0.9), rng.uniform(0, 6), 1 / f)
        for f in (1.5, 2, 3, 4, 6, 8)
    ]

    def paint(t: float) -> np.ndarray:
        mix = np.zeros_like(x)
        for fx, fy, speed, at, size in waves:
            mix += size * np.sin(fx * x + fy * y + speed * t + at)
        return _blend(a, b, 0.5 + 0.45 * mix)

    return paint


def _bubbles(rng: random.Random, width: int, height: int) -> Background:
    """Soft discs that rise."""
    (x, y), (a, b) = _grid(width, height), _colours(rng, 2)
    wide, high = float(x.max()) + 0.4, float(y.max()) + 0.4
    discs = [
        (rng.uniform(-wide, wide), rng.uniform(0, 2 * high), rng.uniform(0.12, 0.35), rng.uniform(0.1, 0.35))
        for _ in range(9)
    ]

    def paint(t: float) -> np.ndarray:
        mix = np.zeros_like(x)
        for cx, start, radius, speed in discs:
            cy = high - (start + speed * t) % (2 * high)
            mix = np.maximum(mix, (1.15 - np.hypot(x - cx, y - cy) / radius) * 4)
        return _blend(a, b, mix.clip(0, 0.8))

    return paint


def _hills(rng: random.Random, width: int, height: int) -> Background:
    """Three rows of hills that pass by, the nearer the faster, under a sky."""
    (x, y), colours = _grid(width, height), _colours(rng, 5)
    rows = [(rng.uniform(0, 6), rng.uniform(1.2, 2.5), 0.1 + 0.35 * i) for i in range(3)]

    def paint(t: float) -> np.ndarray:
        image = _blend(colours[0], colours[1], 0.5 + 0.5 * y)
        for i, (at, waves, low) in enumerate(rows):
            edge = low + 0.16 * np.sin(waves * (x + 0.15 * (i + 1) * t) + at)
            cover = ((y - edge) * 40).clip(0, 1)[..., None]
            image = (image + (colours[2 + i] - image) * cover).astype(np.uint8)
        return image

    return paint


def _rings(rng: random.Random, width: int, height: int) -> Background:
    """Rings that spread from a point."""
    (x, y), (a, b) = _grid(width, height), _colours(rng, 2)
    radius = np.hypot(x - rng.uniform(-1, 1), y - rng.uniform(-0.6, 0.6))
    waves, speed = rng.uniform(6, 12), rng.uniform(1, 2.5)
    return lambda t: _blend(a, b, 0.5 + 0.5 * np.sin(radius * waves - speed * t))


BACKGROUNDS: dict[str, Callable[[random.Random, int, int], Background]] = {
    "gradient": _gradient,
    "stripes": _stripes,
    "checks": _checks,
    "clouds": _clouds,
    "bubbles": _bubbles,
    "hills": _hills,
    "rings": _rings,
}
