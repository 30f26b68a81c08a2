"""Makes four videos that cost a decoder what real footage costs: 330 s of 720p30 H.264 with AAC speech.

Textures with the spectrum of natural pictures move by fractions of a pixel, turn and zoom; another
texture passes before them; scenes change every few seconds; a little grain covers it all. x264's defaults (preset
medium, CRF 23, GOP 250, three B frames) turn that into about 3 Mbit/s. espeak-ng tells a story over a quiet noise.

    python -m benchmarks.media
"""

from __future__ import annotations

import io
import math
import random
import subprocess
import wave
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from .measure import WORK

FOLDER = WORK / "videos"
LENGTHS_S = (90, 90, 80, 70)
WIDTH, HEIGHT, FPS = 1280, 720, 30
CANVAS = 2048
"""Side of a texture in pixels: a turned and zoomed picture still lies inside it."""
FALL = 1.3
"""Amplitude falls as 1 / frequency ** FALL: photographs have 0.8 to 1.5; a moving camera blurs, so the upper half."""
CONTRAST = 48.0
"""Standard deviation of a texture, of 255: that of ordinary photographs is 40 to 70."""
GRAIN = 5
"""Strength of ffmpeg's temporal noise; 10 is a dark scene on a phone."""
SPEECH_HZ = 22_050
"""What espeak-ng speaks at."""

SENTENCES = (
    "The harbour was quiet when the first boats came home this morning.",
    "Nobody had expected that much fish so early in the year.",
    "My grandfather used to say that the sea remembers every name.",
    "We walked along the old wall and counted the broken windows.",
    "A small dog followed us from the market to the railway station.",
    "She opened the box and found a letter that was never sent.",
    "In the afternoon the wind turned and the rain began to fall.",
    "The engineers checked each cable twice before they closed the gate.",
    "Most of the water comes from a lake behind the northern hills.",
    "He explained how the machine counts the parts and sorts them by weight.",
    "There is a wooden bridge, but it is too narrow for a truck.",
    "Last winter the road was closed for almost seven weeks.",
    "The children painted a large blue whale on the school's front door.",
    "You need three eggs, some butter, a little salt, and a warm kitchen.",
    "After the concert we waited an hour for the last bus.",
    "The library keeps maps that are older than the town itself.",
    "It takes a steady hand to cut glass as thin as this.",
    "They planted apple trees where the factory used to stand.",
    "The pilot reported clear skies and a light wind from the west.",
    "If you listen carefully, you can hear the clock in the tower.",
    "Our neighbours built the boat in their garden over two summers.",
    "The doctor wrote down the answer and looked out of the window.",
    "On Sunday the whole street smells of fresh bread and coffee.",
    "Every evening at six the lamps are lit, one after another.",
)


def videos() -> list[Path]:
    """The four files, made at the first call and kept."""
    return [_video(number, seconds) for number, seconds in enumerate(LENGTHS_S)]


def _video(number: int, seconds: int) -> Path:
    path = FOLDER / f"footage_{number}.mp4"
    if path.exists():
        return path
    FOLDER.mkdir(parents=True, exist_ok=True)
    sound, partial = FOLDER / f"{number}.wav", FOLDER / f"partial_{number}.part"
    sound.write_bytes(speech(number, seconds))
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24", "-r", str(FPS)]
    command += ["-s", f"{WIDTH}x{HEIGHT}", "-i", "pipe:0", "-i", str(sound)]
    command += ["-f", "lavfi", "-i", f"anoisesrc=color=pink:amplitude=0.004:seed={number}:duration={seconds}"]
    command += ["-filter_complex", f"[0:v]noise=alls={GRAIN}:allf=t:all_seed={number}[v];[1:a][2:a]amix=normalize=0[a]"]
    command += ["-map", "[v]", "-map", "[a]", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "128k"]
    command += ["-ar", "48000", "-ac", "2", "-t", str(seconds), "-bitexact", "-movflags", "+faststart"]
    command += ["-f", "mp4", str(partial)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert process.stdin is not None
    for frame in pictures(number, seconds * FPS):
        process.stdin.write(frame.data)
    process.stdin.close()
    if process.wait():
        raise RuntimeError(f"ffmpeg ended with {process.returncode}: {' '.join(command)}")
    sound.unlink()
    return partial.rename(path)


def pictures(seed: int, count: int) -> Iterator[np.ndarray]:
    """uint8 [720, 1280, 3] BGR, one a frame; equal arguments give equal pictures."""
    rng = np.random.default_rng(seed)
    textures = [texture(rng) for _ in range(4)]
    disc = np.zeros((HEIGHT, WIDTH), np.uint8)
    left, scene = 0, 0
    for at in range(count):
        if not left:
            left = int(rng.integers(4 * FPS, 11 * FPS))
            behind, before = textures[scene % 4], textures[(scene + 1 + int(rng.integers(3))) % 4]
            drift, turn, zoom = rng.uniform(-2.2, 2.2, 2), rng.uniform(-0.12, 0.12), rng.uniform(-0.0009, 0.0009)
            path, radius, start, scene = rng.uniform(0.5, 1.5, 4), int(rng.integers(110, 230)), at, scene + 1
        age = at - start
        picture = _seen(behind, drift * age, turn * age, 1.0 + zoom * age)
        x = WIDTH / 2 * (1 + 0.7 * math.sin(path[0] * age / 25 + path[1]))
        y = HEIGHT / 2 * (1 + 0.6 * math.sin(path[2] * age / 30 + path[3]))
        passing = _seen(before, -3 * drift * age, -2 * turn * age, 1.0)
        disc[:] = 0
        cv2.circle(disc, (round(x), round(y)), radius, 255, -1)
        cv2.copyTo(passing, disc, picture)
        left -= 1
        yield picture


def texture(rng: np.random.Generator) -> np.ndarray:
    """uint8 [2048, 2048, 3]: noise with the spectrum of natural pictures, mostly grey.

    Source: Field 1987, "Relations between the statistics of natural images and the response properties of cortical
    cells" (the spectrum).
    """
    frequency = np.hypot(np.fft.fftfreq(CANVAS)[:, None], np.fft.rfftfreq(CANVAS)[None])
    frequency[0, 0] = np.inf
    layers = []
    for _ in range(3):
        phase = rng.uniform(0, 2 * np.pi, frequency.shape)
        layer = np.fft.irfft2(np.exp(1j * phase) / frequency**FALL, (CANVAS, CANVAS))
        layers.append(layer / layer.std())
    grey = layers[0]
    colours = np.stack([grey + 0.3 * layers[at % 2 + 1] * (1 if at else -1) for at in range(3)], axis=-1)
    return np.clip(128 + CONTRAST * colours, 0, 255).astype(np.uint8)


def _seen(canvas: np.ndarray, shift: np.ndarray, degrees: float, zoom: float) -> np.ndarray:
    """The middle 1280 x 720 of a canvas that has moved, turned and grown."""
    matrix = cv2.getRotationMatrix2D((CANVAS / 2, CANVAS / 2), degrees, zoom)
    matrix[:, 2] = matrix[:, 2] + shift - (CANVAS - np.array([WIDTH, HEIGHT])) / 2
    return cv2.warpAffine(canvas, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def speech(seed: int, seconds: int) -> bytes:
    """A WAV file of sentences with pauses of 0.3 to 2.5 s: about three quarters of it is speech."""
    rng = random.Random(seed)
    track: list[np.ndarray] = []
    waiting: list[str] = []
    left = seconds * SPEECH_HZ
    while left > 0:
        waiting = waiting or rng.sample(SENTENCES, len(SENTENCES))
        spoken = _said(waiting.pop(), ("en-us", "en-gb", "en-us+f4", "en-us+m3")[seed % 4])
        pause = np.zeros(int(rng.uniform(0.3, 2.5) * SPEECH_HZ), np.int16)
        track += [pause, spoken] if len(spoken) + len(pause) < left else [np.zeros(left, np.int16)]
        left -= len(pause) + len(spoken)
    samples = np.concatenate(track)[: seconds * SPEECH_HZ]
    file = io.BytesIO()
    with wave.open(file, "wb") as stream:
        stream.setparams((1, 2, SPEECH_HZ, 0, "NONE", ""))
        stream.writeframes(samples.tobytes())
    return file.getvalue()


def _said(sentence: str, voice: str) -> np.ndarray:
    """int16 [n] at 22,050 Hz."""
    done = subprocess.run(
        ["espeak-ng", "-v", voice, "-s", "160", "--stdout", sentence], capture_output=True, check=True
    )
    return np.frombuffer(done.stdout[44:], np.int16)  # espeak-ng writes a header of 44 bytes with a made-up length


if __name__ == "__main__":
    for made in videos():
        print(made, f"{made.stat().st_size * 8e-6 / LENGTHS_S[int(made.stem[-1])]:.2f} Mbit/s")
