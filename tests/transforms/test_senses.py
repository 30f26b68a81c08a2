"""Further senses: their frames come from the one decode pass, and what goes wrong in one costs its own columns only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reelbeam.models.preprocessing import Preprocessing
from reelbeam.schemas.elements import Decoded, Grid, Unit, UnitFeatures, Video
from reelbeam.schemas.senses import Column, FrameNeed, Reader, Record, Sense, SenseInput
from reelbeam.schemas.tables import RowShape, validate_windows
from reelbeam.transforms.align import align
from reelbeam.transforms.decode import DecodeLimits, decode_unit
from reelbeam.transforms.discover import plan_units
from reelbeam.transforms.ffmpeg import file_url
from reelbeam.transforms.probe import probe_file
from reelbeam.transforms.run_senses import run_sense

GRID = Grid(Fraction(2), 10)
PIXELS = Preprocessing((64, 64))
SMALL, LARGE = FrameNeed(96), FrameNeed(640)


def whole_unit(path: Path, grid: Grid) -> Unit:
    video = Video("0" * 16, str(path), path.stat().st_size, "")
    [unit] = plan_units(video, probe_file(path), grid, 1000)
    return unit


def decoded(path: Path, *needs: FrameNeed) -> Decoded:
    found, failures = decode_unit(whole_unit(path, GRID), file_url(path), GRID, PIXELS, DecodeLimits(), needs)
    assert found is not None
    assert not failures
    return found


def test_frames_of_several_sizes_come_from_one_pass_and_agree(make_video: Callable[..., Path]) -> None:
    path = make_video("sizes.mp4", seconds=6, size="800x600")
    alone, found = decoded(path), decoded(path, SMALL, LARGE)
    np.testing.assert_array_equal(alone.frames, found.frames)
    np.testing.assert_array_equal(alone.samples, found.samples)
    for need, size in ((SMALL, (72, 96)), (LARGE, (480, 640))):
        frames = found.for_senses[need]
        np.testing.assert_array_equal(frames.ticks, alone.ticks)
        np.testing.assert_array_equal(frames.pts_ms, alone.pts_ms)
        assert frames.pixels(0).shape == (*size, 3)
        shown = Image.fromarray(frames.pixels(5)).resize((96, 72), Image.Resampling.BICUBIC)
        small = found.for_senses[SMALL].pixels(5)
        assert np.abs(np.asarray(shown, np.int16) - small).mean() < 3, "the same picture, but for JPEG and rounding"


def test_frames_are_never_enlarged(make_video: Callable[..., Path]) -> None:
    frames = decoded(make_video("little.mp4", size="128x96"), LARGE).for_senses[LARGE]
    assert frames.pixels(0).shape == (96, 128, 3)


def test_only_changed_frames_are_given_where_a_sense_wants_those(make_video: Callable[..., Path]) -> None:
    extra = "-vf drawbox=c=blue:t=fill,drawbox=x=10:y=10:w=30:h=30:c=white:t=fill:enable='between(t,2,3.9)'"
    path = make_video("still.mp4", seconds=6, extra=extra)
    changed = replace(LARGE, only_changed=True)
    frames = decoded(path, changed).for_senses[changed]
    assert frames.ticks.tolist() == [0, 4, 8]


@dataclass(frozen=True)
class Loud(Sense):
    """A sense of the tests: the largest sample of each window."""

    name = "loud"
    version = 1
    samples = True

    def columns(self) -> tuple[Column, ...]:
        return (
            Column("peak", "largest sample", "float32"),
            Column("peaks", "the same for each tick", "tensor", dtype="float32", shape=("T",)),
            Column("notes", "remarks", "list", fields=(("text", "string"), ("start_ms", "int32"))),
        )

    def load(self, device: str) -> Reader:
        return lambda seen: [
            {
                "peak": float(np.abs(seen.samples).max()),
                "peaks": np.ones(seen.grid.window_ticks, np.float32),
                "notes": [{"text": "loud", "start_ms": 0}],
            }
            for _ in seen.windows
        ]


def unit_with_sense(path: Path, reader: Reader) -> tuple[Any, UnitFeatures]:
    shape = RowShape(10, 8, 5, 6, senses=(Loud().stored(10),))
    features = UnitFeatures(whole_unit(path, GRID), decoded(path))
    assert features.decoded is not None
    embedded = np.tile(np.eye(8, dtype=np.float32)[0], (len(features.decoded.ticks), 1))
    read = run_sense(replace(features, frame_embeddings=embedded), Loud(), reader, GRID)
    table = align(read, GRID, shape).table
    validate_windows(table, shape)
    return table, read


def test_a_sense_fills_its_columns_and_its_status(make_video: Callable[..., Path]) -> None:
    table, _ = unit_with_sense(make_video(seconds=4), Loud().load("cpu"))
    assert table["loud_status"].to_pylist() == ["ok"]
    assert table["peak"][0].as_py() > 0.05
    assert table["notes"].to_pylist() == [[{"text": "loud", "start_ms": 0}]]


def test_a_video_without_what_a_sense_wants_is_absent_and_null(make_video: Callable[..., Path]) -> None:
    table, read = unit_with_sense(make_video(seconds=4, sound=False), Loud().load("cpu"))
    assert table["loud_status"].to_pylist() == ["absent"]
    assert table["peak"].null_count == table["peaks"].null_count == table["notes"].null_count == 1
    assert not read.failures


def raises(seen: SenseInput) -> Sequence[Record | None]:
    raise KeyError("no such layer")


@pytest.mark.parametrize(
    ("reader", "reason"),
    [
        (raises, "KeyError: 'no such layer'"),
        (lambda seen: [], "0 records for 1 windows"),
        (lambda seen: [{"peek": 1.0}], "a value for peek, which it does not declare"),
        (lambda seen: [{"peaks": np.ones(3, np.float32)}], "peaks is float32 [3], declared is float32 [10]"),
        (lambda seen: [{"peaks": np.full(10, np.nan, np.float32)}], "peaks holds values that are not finite"),
        (lambda seen: [{"peak": float("nan")}], "peak is nan, wanted is a finite number"),
        (lambda seen: [{"peak": "high"}], "peak: "),
        (lambda seen: [{"notes": [{"text": "a"}]}], "notes: "),
    ],
)
def test_what_a_sense_does_wrong_costs_its_own_columns_only(
    reader: Reader, reason: str, make_video: Callable[..., Path]
) -> None:
    table, read = unit_with_sense(make_video(seconds=4), reader)
    [status] = table["loud_status"].to_pylist()
    assert status.startswith("failed: loud: ")
    assert reason in status
    assert table["peak"].null_count == 1
    assert table["frame_status"].to_pylist() == table["audio_status"].to_pylist() == ["ok"]
    [failure] = read.failures
    assert (failure.stage, failure.kind) == ("senses", "sense_failed")


def test_running_out_of_memory_is_not_taken_for_a_fault_of_the_input(make_video: Callable[..., Path]) -> None:
    def greedy(seen: SenseInput) -> Sequence[Record | None]:
        raise MemoryError

    with pytest.raises(MemoryError):
        unit_with_sense(make_video(seconds=4), greedy)
