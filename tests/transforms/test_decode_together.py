"""Short videos that share a decoder process give what each gives alone, and a broken one costs the others nothing."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kinds import KINDS
from odd_media import plain, tone

from reelbeam.models.preprocessing import square
from reelbeam.schemas.elements import Decoded, Grid, Unit, UnitFeatures, Video
from reelbeam.schemas.errors import Failure
from reelbeam.schemas.senses import FrameNeed, SenseFrames
from reelbeam.transforms import decode_together
from reelbeam.transforms.decode import DecodeLimits, decode_unit
from reelbeam.transforms.decode_command import SCENE, ShotSearch
from reelbeam.transforms.decode_together import MOST_TOGETHER, decode_units, is_short, packed
from reelbeam.transforms.discover import plan_units
from reelbeam.transforms.ffmpeg import file_url
from reelbeam.transforms.probe import probe_file

GRID = Grid(Fraction(2), 4)
SIZE = square(48)
Result = tuple[Decoded | None, tuple[Failure, ...]]


def unit_of(path: Path, windows: int = 1000) -> Unit:
    """The first unit of a file."""
    return plan_units(Video("0" * 16, str(path), path.stat().st_size, ""), probe_file(path), GRID, windows)[0]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and np.array_equal(one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, Decoded | SenseFrames):
        return all(same(value, getattr(other, name)) for name, value in vars(one).items())
    if isinstance(one, tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def check(paths: list[Path], options: DecodeLimits, needs: tuple[FrameNeed, ...] = ()) -> list[Result]:
    """Decodes files together and apart, asserts that the results are the same, and returns them."""
    units, sources = [unit_of(path) for path in paths], [file_url(path) for path in paths]
    found = decode_units(units, sources, GRID, SIZE, options, needs)
    for unit, source, one in zip(units, sources, found, strict=True):
        assert same(one, decode_unit(unit, source, GRID, SIZE, options, needs)), source
    return found


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were run for several units."""
    started: list[list[str]] = []
    real = decode_together.run

    def run(command: list[str], *args: Any, **named: Any) -> Any:
        started.append(command)
        return real(command, *args, **named)

    monkeypatch.setattr(decode_together, "run", run)
    return started


MIXED = ("h264.mp4", "h264.mkv", "h264.ts", "vp9.webm", "mpeg4.avi", "h264.mov")


@pytest.mark.parametrize("shots", [ShotSearch(), ShotSearch(SCENE)], ids=["adaptive", "scene"])
@pytest.mark.parametrize("frames", ["exact", "reference", "key"])
def test_files_of_many_kinds_decoded_together_equal_those_decoded_apart(
    shots: ShotSearch, frames: str, tmp_path: Path, processes: list[list[str]]
) -> None:
    paths = [kind.make(tmp_path) for kind in KINDS if kind.file in MIXED]
    paths.append(tone(tmp_path, "tone.m4a"))
    found = check(paths, DecodeLimits(shots, frames))
    assert all(decoded and len(decoded.samples) and not failures for decoded, failures in found)
    assert len(processes) == 1, "one process for all"


def test_frames_for_a_sense_come_from_the_same_process(tmp_path: Path, processes: list[list[str]]) -> None:
    need = FrameNeed(32)
    found = check([plain(tmp_path, f"{number}.mp4") for number in range(3)], DecodeLimits(), (need,))
    assert all(decoded and len(decoded.for_senses[need]) for decoded, _ in found)
    assert len(processes) == 1


def test_a_broken_file_costs_the_others_nothing(tmp_path: Path) -> None:
    whole, broken = plain(tmp_path, "whole.mp4", 4), plain(tmp_path, "broken.mp4", 4, "-movflags faststart")
    content = bytearray(broken.read_bytes())
    content[len(content) // 2 :] = b"\0" * (len(content) - len(content) // 2)
    broken.write_bytes(content)
    found = check([whole, broken, whole], DecodeLimits())
    assert [bool(failures) for _, failures in found] == [False, True, False]


def test_units_share_a_process_when_they_are_short_whole_small_and_neighbours(tmp_path: Path) -> None:
    short = unit_of(plain(tmp_path))
    long = replace(short, end_ms=600_000)
    large = replace(short, probe=replace(short.probe, width=3840, height=2160))
    part = replace(short, number=1)
    assert [is_short(unit) for unit in (short, long, large, part)] == [True, False, False, False]
    group = tuple(UnitFeatures(unit) for unit in (short, short, long, short, short, large, short))
    assert [len(one) for one in packed(group, 2, DecodeLimits())] == [2, 1, 2, 1, 1]
    assert tuple(one for part in packed(group, 2, DecodeLimits()) for one in part) == group
    assert all(len(one) == 1 for one in packed(group, 2, DecodeLimits(nvdec=True)))


@pytest.mark.parametrize(
    ("units", "decoders", "sizes"), [(12, 2, [6, 6]), (3, 2, [2, 1]), (20, 2, [8, 8, 4]), (2, 4, [1, 1])]
)
def test_every_decoder_gets_a_part_and_none_more_than_the_limit(
    units: int, decoders: int, sizes: list[int], tmp_path: Path
) -> None:
    group = (UnitFeatures(unit_of(plain(tmp_path))),) * units
    assert [len(one) for one in packed(group, decoders, DecodeLimits())] == sizes
    assert max(sizes) <= MOST_TOGETHER
