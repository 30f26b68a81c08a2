"""Makes many short clips: each a moving test picture of its own in 640x360 at 25 frames a second, with a spoken sentence.

Each is 10 s of H.264 and AAC, about 0.8 MB. Equal numbers give equal clips.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from .measure import WORK

SECONDS = 10

SENTENCES = (
    "the harbour was quiet when the first boats came home this morning",
    "my grandfather used to say that the sea remembers every name",
    "we walked along the old wall and counted the broken windows",
    "most of the water comes from a lake behind the northern hills",
    "the library keeps maps that are older than the town itself",
)


def clips(count: int) -> Path:
    """A folder that holds the first `count` clips, made at the first call and kept."""
    folder = WORK / f"clips-{count}"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"clip_{number:04d}.mp4"
        if not path.exists():
            _clip(path, number)
    return folder


def _clip(path: Path, number: int) -> None:
    sound, partial = path.with_suffix(".wav"), path.with_suffix(".part")
    said = f"This is clip {number}: {SENTENCES[number % len(SENTENCES)]}."
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "160", "-w", str(sound), said], check=True)
    picture = (
        f"testsrc2=s=640x360:r=25:d={SECONDS},rotate={0.01 * (number % 60)}:fillcolor=gray,"
        f"hue=h={number * 37 % 360},noise=alls=5:allf=t:all_seed={number}"
    )
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", picture, "-i", str(sound)]
    command += ["-af", "apad", "-t", str(SECONDS), "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast"]
    command += ["-c:a", "aac", "-b:a", "96k", "-bitexact", "-threads", "1", "-f", "mp4", str(partial)]
    subprocess.run(command, check=True)
    sound.unlink()
    partial.rename(path)
