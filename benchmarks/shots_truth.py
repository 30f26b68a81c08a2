"""Makes videos whose shot boundaries are known: nine classes, 12 to 60 frames per second, everything from a seed.

A clip is a row of scenes (textures with moving patches, or slides) joined by transitions. `make_clip` is pure and gives
frames; `write_clip` encodes them with x264, so that detectors see a codec's errors too. Even seeds are for choosing
thresholds, odd seeds are the unseen half.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WIDTH, HEIGHT = 320, 180
MARGIN = 80
"""Pixels that a texture is larger than the picture on each side, for pans and shake."""

CLASSES = ("cut", "dissolve", "fade", "wipe", "slide", "flash", "shake", "pan", "noise")
RATES = (12, 15, 24, 25, 30, 50, 60)
SHOTS = 6
"""Scenes per clip: one boundary fewer."""


@dataclass(frozen=True)
class Boundary:
    """A change of shot: its first changed frame and the first frame that is wholly new, in seconds."""

    start_s: float
    end_s: float


def texture(random: np.random.Generator, smooth: float) -> np.ndarray:
    """A picture with the spectrum of photographs, amplitude 1 / frequency ** smooth: float32 [h, w, 3] in 0..255."""
    h, w = HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN
    falls = np.hypot(np.fft.fftfreq(h)[:, None] * h, np.fft.rfftfreq(w)[None] * w)
    falls[0, 0] = 1e9

    def field() -> np.ndarray:
        made = np.fft.irfft2(np.fft.rfft2(random.normal(size=(h, w))) / falls**smooth, s=(h, w))
        return (made / made.std()).astype(np.float32)

    luma = random.uniform(70, 180) + random.uniform(25, 50) * field()
    tint = random.normal(0, 22, 3).astype(np.float32)
    return np.stack([luma + tint[c] + 12 * field() for c in range(3)], -1)


class Scene:
    """A textured place seen by a camera, with patches that move through it."""

    def __init__(self, random: np.random.Generator, kind: str):
        self.back = texture(random, random.uniform(1.0, 1.6))
        self.patches = [
            (texture(random, 1.3)[: int(random.integers(25, 70)), : int(random.integers(20, 70))], random.uniform(0, 1, 2),
             random.normal(0, 18, 2))
            for _ in range(int(random.integers(0, 3)))
        ]  # fmt: skip
        turn = random.uniform(0, 2 * np.pi)
        speed = {"pan": random.uniform(15, 140), "shake": 0.0}.get(kind, float(random.choice([0, 0, 3, 8])))
        self.move = speed * np.array([np.cos(turn), 0.4 * np.sin(turn)])
        strength = random.uniform(3, 9) if kind == "shake" else 0.0
        self.waves = [
            (strength * random.normal(0, 1, 2) / (1 + at), random.uniform(0.5, 1.8) * (1 + at), random.uniform(0, 6, 2))
            for at in range(4)
        ]

    def at(self, second: float) -> np.ndarray:
        """The view at a time since the scene began: float32 [h, w, 3]."""
        offset = self.move * (second - 1.5)
        for size, hz, phase in self.waves:
            offset = offset + size * np.sin(2 * np.pi * hz * second + phase)
        x, y = (MARGIN + np.round(np.asarray(offset))).astype(int)
        columns, lines = np.arange(x, x + WIDTH), np.arange(y, y + HEIGHT)
        view = self.back.take(lines, 0, mode="wrap").take(columns, 1, mode="wrap")
        for patch, place, velocity in self.patches:
            left, top = (place * (WIDTH, HEIGHT) + velocity * second).astype(int)
            left, top = int(left) % (WIDTH - 80), int(top) % (HEIGHT - 80)
            view[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
        return view


class Slide:
    """A page of a talk: the same template on each, other lines; a speaker in the corner of every second talk."""

    def __init__(self, random: np.random.Generator, look: int, before: Slide | None):
        template = np.random.default_rng(look)
        dark = template.random() < 0.3
        page, ink = (30.0, 220.0) if dark else (245.0, 40.0)
        self.inset = texture(template, 1.3)[:50, :64] if template.random() < 0.5 else None
        self.page = np.full((HEIGHT, WIDTH, 3), page, np.float32)
        self.page[:24] = template.uniform(0, 255, 3)
        self.lines: list[tuple[int, int, int]] = list(before.lines) if before else []
        if not before or random.random() < 0.5:  # another page
            self.lines = [(34 + 14 * at, 0, int(random.integers(60, 200))) for at in range(int(random.integers(2, 9)))]
            self.lines = [(y, int(random.integers(0, 2**31)), length) for y, _, length in self.lines]
        else:  # a few lines of the same page are others
            for at in random.permutation(len(self.lines))[: max(2, len(self.lines) // 2)]:
                self.lines[at] = (self.lines[at][0], int(random.integers(0, 2**31)), int(random.integers(60, 200)))
        for y, seed, length in self.lines:
            letters = np.random.default_rng(seed).random(length // 2).repeat(2)[:length] < 0.6
            self.page[y : y + 8, 20 : 20 + len(letters)][:, letters] = ink

    def at(self, second: float) -> np.ndarray:
        view = self.page.copy()
        if self.inset is not None:
            x, y = int(4 * np.sin(2.1 * second)), int(2 * np.sin(3.3 * second))
            view[126 + y : 176 + y, 248 + x : 312 + x] = self.inset
        return view


def joined(one: np.ndarray, two: np.ndarray, share: float, how: str, turn: int) -> np.ndarray:
    """A frame of a transition at `share` 0..1 of its way."""
    if how == "dissolve":
        return one * (1 - share) + two * share
    if how == "fade":
        return one * max(0.0, 1 - 2.2 * share) + two * max(0.0, 2.2 * share - 1.2)
    if how == "wipe":
        axis = np.arange(WIDTH)[None, :, None] / WIDTH if turn % 2 else np.arange(HEIGHT)[:, None, None] / HEIGHT
        return np.where((axis if turn < 2 else 1 - axis) < share, two, one)
    return one


def make_clip(kind: str, seed: int) -> tuple[int, list[Boundary], Iterator[np.ndarray]]:
    """A clip of a class: (frames per second, its boundaries, its frames uint8 [180, 320, 3])."""
    random = np.random.default_rng([CLASSES.index(kind), seed])
    fps = int(random.choice(RATES))
    lengths = random.uniform(2.2, 4.2, SHOTS)
    how = kind if kind in ("dissolve", "fade", "wipe") else ""
    spans = random.uniform(0.5, 2.0, SHOTS - 1) if how else np.zeros(SHOTS - 1)
    turns = random.integers(0, 4, SHOTS - 1)
    look, scenes = int(random.integers(0, 2**31)), list[Scene | Slide]()
    for _ in range(SHOTS):
        before = scenes[-1] if scenes else None
        scenes.append(Slide(random, look, before) if kind == "slide" else Scene(random, kind))  # type: ignore[arg-type]
    begins = np.concatenate([[0.0], np.cumsum(lengths[:-1] + spans)])
    firsts = [int(np.ceil(at * fps - 1e-9)) for at in begins]
    boundaries = [
        Boundary(np.ceil((at - span) * fps - 1e-9) / fps, first / fps)
        for at, span, first in zip(begins[1:], spans, firsts[1:], strict=True)
    ]
    sigma = random.uniform(8, 22) if kind == "noise" else random.uniform(0, 3)
    flashes = []
    if kind == "flash":
        for at, length in zip(begins, lengths, strict=True):
            flashes.append((at + random.uniform(0.5, length - 0.6), random.uniform(0.03, 0.2), random.uniform(60, 200)))

    def frames() -> Iterator[np.ndarray]:
        for number in range(int((begins[-1] + lengths[-1]) * fps)):
            second = number / fps
            shot = max(at for at in range(SHOTS) if firsts[at] <= number)
            view = scenes[shot].at(second - begins[shot])
            if shot + 1 < SHOTS and how and second > (start := begins[shot + 1] - spans[shot]):
                coming = scenes[shot + 1].at(second - begins[shot + 1])
                view = joined(view, coming, (second - start) / spans[shot], how, int(turns[shot]))
            for at, length, light in flashes:
                if at <= second < at + max(length, 1 / fps):
                    view = view + light
            if sigma:
                view = view + random.normal(0, sigma, (HEIGHT, WIDTH, 1)).astype(np.float32)
            yield np.clip(view, 0, 255).astype(np.uint8)

    return fps, boundaries, frames()


def write_clip(kind: str, seed: int, path: Path) -> list[Boundary]:
    """Encodes a clip and gives its boundaries. Raises CalledProcessError where ffmpeg fails."""
    fps, boundaries, frames = make_clip(kind, seed)
    command = f"ffmpeg -v error -y -f rawvideo -pix_fmt rgb24 -s {WIDTH}x{HEIGHT} -r {fps} -i - -threads 1".split()
    command += "-c:v libx264 -preset ultrafast -crf 26 -g 250 -pix_fmt yuv420p".split()
    process = subprocess.Popen([*command, str(path)], stdin=subprocess.PIPE)
    assert process.stdin is not None
    for frame in frames:
        process.stdin.write(frame.tobytes())
    process.stdin.close()
    if process.wait(120):
        raise subprocess.CalledProcessError(process.returncode, command)
    return boundaries
