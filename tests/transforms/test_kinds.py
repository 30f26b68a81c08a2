"""Every kind of file that the documentation promises gives its flash and its beep at the right time, in the stored rows."""

from __future__ import annotations

import functools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from kinds import KINDS, Kind

from reelbeam.models.audio import FEATURES, AudioSpec
from reelbeam.models.preprocessing import square
from reelbeam.schemas.elements import Decoded, Grid, Unit, UnitFeatures, Video
from reelbeam.schemas.tables import RowShape
from reelbeam.schemas.tensors import tensor
from reelbeam.transforms.align import align
from reelbeam.transforms.decode import DecodeLimits, decode_unit
from reelbeam.transforms.discover import plan_units
from reelbeam.transforms.embed_frames import embed_frames
from reelbeam.transforms.ffmpeg import file_url
from reelbeam.transforms.measure_audio import measure_audio
from reelbeam.transforms.probe import probe_file

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "files.md"
GRID = Grid(Fraction(50), 50)
"""A tick of 20 ms: finer than any frame here."""
LEVEL = [name for name, _, _ in FEATURES].index("level")


class Brightness:
    """Stands for CLIP: how bright a picture is, and how much of it is not."""

    def encode(self, frames: np.ndarray) -> np.ndarray:
        light = frames.mean(axis=(1, 2, 3)) / 255
        return np.stack([light, 1 - light], axis=1).astype(np.float32)


@functools.cache
def meter() -> object:
    return AudioSpec().load("cpu")


def rows_of(path: Path) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """What the rows of a file hold: (time_s, brightness) of each frame, (time_s, level in dB) of each tick with sound."""
    probe = probe_file(path)
    [unit] = plan_units(Video("0" * 16, str(path), path.stat().st_size, ""), probe, GRID, 1000)
    decoded, failures = decode_unit(unit, file_url(path), GRID, square(32), DecodeLimits())
    assert not failures
    [features], _ = embed_frames((UnitFeatures(unit, decoded),), Brightness())
    batch = align(measure_audio(features, meter(), GRID), GRID, RowShape(50, 2, len(FEATURES), 4)).table
    batch = batch.combine_chunks().to_batches()[0]
    shown, heard = tensor(batch, "tick_valid").astype(bool), tensor(batch, "tick_sound").astype(bool)
    tick_s = (batch["window"].to_numpy()[:, None] * 50 + np.arange(50)) / 50
    light = tensor(batch, "frame_embedding")[shown][:, 0].astype(float)
    level = tensor(batch, "audio_feature")[heard][:, LEVEL].astype(float)
    frames = list(zip(tensor(batch, "tick_pts_ms")[shown] / 1000, light, strict=True))
    return frames, list(zip(tick_s[heard], level, strict=True))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kinds")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.file)
def test_the_flash_and_the_beep_are_found_when_a_viewer_meets_them(kind: Kind, folder: Path) -> None:
    frames, sounds = rows_of(kind.make(folder))
    assert bool(frames) == kind.video
    assert bool(sounds) == kind.audio
    if kind.video:
        flashes = [at for at, light in frames if light > 0.75]
        assert min(flashes) == pytest.approx(kind.flash_s, abs=kind.frame_s)
        assert [light for at, light in frames if at < kind.flash_s - kind.frame_s and light > 0.6] == []
    if kind.audio:
        beeps = [at for at, level in sounds if level > -20]
        assert min(beeps) == pytest.approx(kind.beep_s, abs=0.02)


MILLISECONDS = ("matroska,webm", "flv", "asf")
"""Containers whose clock counts milliseconds: a seek finds a sample to half of one, and no better."""

CUT = [kind for kind in KINDS if kind.size != "7680x4320" and kind.file != "negative.mkv"]
QUICK = ("h264.mp4", "h264.ts", "interlaced.ts", "vp9.webm", "resized.ts", "sound_only.mp3")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind.file in QUICK else pytest.mark.slow, id=kind.file) for kind in CUT]
)
def test_units_of_a_long_video_give_the_frames_and_samples_of_the_whole(kind: Kind, folder: Path) -> None:
    path = replace(kind, file=f"long_{kind.file}", length_s=41).make(folder)
    probe, grid = probe_file(path), Grid(Fraction(1), 2)
    video = Video("0" * 16, str(path), path.stat().st_size, "")

    def decoded(unit_windows: int) -> list[tuple[Unit, Decoded]]:
        found = []
        for unit in plan_units(video, probe, grid, unit_windows):
            one, failures = decode_unit(unit, file_url(path), grid, square(32), DecodeLimits())
            assert one is not None
            # a seek into the first part of resized.ts meets the second part's headers, and the decoder complains
            assert not failures or kind.file == "resized.ts"
            found.append((unit, one))
        return found

    [(_, whole)] = decoded(1000)
    for unit_windows in np.random.default_rng(len(kind.file)).integers(1, 15, 2).tolist():
        parts = decoded(unit_windows)
        for name in ("ticks", "pts_ms", "frames", "cuts_ms"):
            assert np.array_equal(np.concatenate([getattr(part, name) for _, part in parts]), getattr(whole, name)), (
                name
            )
        for unit, part in parts:
            first, last = (max(0, at - part.samples_start_ms) * 16 for at in (unit.start_ms, unit.end_ms))
            mine = part.samples[first:last]
            offset = part.samples_start_ms * 16 + first
            theirs = whole.samples[offset : offset + len(mine)]
            if probe.container not in MILLISECONDS:
                assert np.allclose(mine[: len(theirs)], theirs, atol=1e-4)
            else:
                assert abs(_sound_starts(mine) - _sound_starts(theirs)) <= 16
            assert abs(len(mine) - len(theirs)) <= 32


def _sound_starts(samples: np.ndarray) -> int:
    loud = np.flatnonzero(np.abs(samples) > 0.3)
    return int(loud[0]) if len(loud) else 0


def test_the_page_lists_exactly_these_kinds() -> None:
    listed = [line for line in PAGE.read_text().splitlines() if line.startswith("| `") and "| read |" in line]
    assert listed == [f"| `{kind.file}` | {kind.what} | read |" for kind in KINDS]
