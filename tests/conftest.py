"""Videos that tests make for themselves, and real ones where they are at hand."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import settings

from reelbeam.pipeline.extraction import run as extraction_run
from reelbeam.schemas.elements import Grid, Probe, Unit, Video

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED_MEDIA = REPOSITORY.parent / "shared" / "media"


@pytest.fixture(scope="session")
def media() -> Path:
    """A folder of real videos from public projects; tests that need it skip where it is not."""
    if not SHARED_MEDIA.is_dir():
        pytest.skip("the folder of real videos is not here")
    return SHARED_MEDIA


@pytest.fixture(scope="session")
def make_video(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a small video with ffmpeg; equal arguments give the same file."""
    made: dict[tuple[object, ...], Path] = {}

    def make(
        name: str = "video.mp4",
        seconds: float = 5,
        size: str = "128x96",
        fps: str = "10",
        sound: bool = True,
        extra: str = "",
    ) -> Path:
        key = (name, seconds, size, fps, sound, extra)
        if key not in made:
            path = tmp_path_factory.mktemp("made") / name
            command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=s={size}:r={fps}:d={seconds}"]
            if sound:
                command += ["-f", "lavfi", "-i", f"sine=f=440:r=16000:d={seconds}"]
            command += ["-pix_fmt", "yuv420p", "-g", "25", *extra.split(), str(path)]
            subprocess.run(command, check=True, timeout=120)
            made[key] = path
        return made[key]

    return make


def frame_times(path: Path) -> list[Fraction]:
    """ffprobe's own list of the presentation times of all frames of the first video stream, in seconds."""
    shown = subprocess.run(
        [
            "ffprobe",
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-show_entries",
            "frame=pts:stream=time_base",
            "-of",
            "csv=p=0",
            str(path),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout.split()
    lines = [line.strip(",") for line in shown]
    [base] = {Fraction(line) for line in lines if "/" in line}
    return sorted({int(line) * base for line in lines if line.lstrip("-").isdigit()})


def made_unit(
    windows: int = 2, grid: Grid | None = None, number: int = 0, video_id: str = "0123456789abcdef", **probe: object
) -> Unit:
    """A unit of a video that does not exist."""
    grid = grid or Grid()
    facts: dict[str, object] = {
        "container": "mp4",
        "duration_ms": grid.window_ms(windows)[0],
        "zero_s": Fraction(0),
        "seek_base_s": Fraction(0),
        "video_stream": 0,
        "video_codec": "h264",
        "time_base": Fraction(1, 1000),
        "width": 64,
        "height": 64,
        "rotation": 0,
        "fps": 10.0,
        "audio_stream": 1,
        "audio_codec": "aac",
        "audio_start_ms": 0,
    }
    video = Video(video_id, f"/videos/{video_id}.mp4", 1000, "etag")
    return Unit(video, Probe(**{**facts, **probe}), number, 0, windows, 0, grid.window_ms(windows)[0], True)  # type: ignore[arg-type]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the videos that go into a pipeline."""
    names: list[str] = []
    real = extraction_run.run_wave

    def counted(videos, job):  # type: ignore[no-untyped-def]
        names.extend(Path(video.uri).name for video in videos)
        return real(videos, job)

    monkeypatch.setattr(extraction_run, "run_wave", counted)
    return names
