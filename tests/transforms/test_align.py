"""Frames, words and sound land in the windows that they belong to; a plain loop is the judge."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pyarrow as pa
from conftest import made_unit
from hypothesis import given, settings
from hypothesis import strategies as st

from reelbeam.schemas.elements import Decoded, Grid, Passage, UnitFeatures, UnitRows, Word
from reelbeam.schemas.errors import Failure
from reelbeam.schemas.tables import RowShape, validate_windows
from reelbeam.schemas.tensors import tensor
from reelbeam.transforms.align import align
from reelbeam.transforms.write_shards import shard_table, video_row

GRID = Grid(Fraction(2), 4)
SHAPE = RowShape(4, 3, 2, 5)


def made_features(
    ticks: list[int],
    words: list[Word],
    sound: tuple[int, int] = (0, 0),
    cuts: list[int] | None = None,
    windows: int = 3,
) -> UnitFeatures:
    """A unit of `windows` windows of 2 s with frames at some ticks."""
    chosen = np.array(sorted(ticks), np.int32)
    embeddings = np.eye(3, dtype=np.float32)[chosen % 3].reshape(len(chosen), 3)
    decoded = Decoded(
        np.zeros((0, 2, 2, 3), np.uint8),
        chosen,
        (chosen * 500 + 7).astype(np.int32),
        np.zeros(sound[1] * 16, np.float32),
        0,
        *sound,
        np.array(cuts or [], np.int32),
    )
    passage = Passage(0, 6000, tuple(words), "en", -0.5, 0.1, 1.2)
    measures = np.arange(windows * 8, dtype=np.float32).reshape(-1, 2)
    return UnitFeatures(
        made_unit(windows, GRID), decoded, embeddings, (passage,) if words else (), ((0, 1000),), measures
    )


@given(st.sets(st.integers(0, 11)), st.lists(st.tuples(st.integers(0, 5900), st.integers(0, 800)), max_size=12))
@settings(deadline=None)
def test_rows_are_what_a_plain_loop_makes(ticks: set[int], spans: list[tuple[int, int]]) -> None:
    words = [Word(f" w{at}", start, min(start + length, 6000 - 1), 0.5) for at, (start, length) in enumerate(spans)]
    table = align(made_features(list(ticks), words, (0, 6000)), GRID, SHAPE).table
    validate_windows(table, SHAPE)
    assert table["window"].to_pylist() == [0, 1, 2]
    for row, window in enumerate(table["window"].to_pylist()):
        expected = sorted(
            (word for word in words if window * 2000 <= (word.start_ms + word.end_ms) // 2 < (window + 1) * 2000),
            key=lambda word: (word.start_ms, word.end_ms),
        )
        assert [(word["start_ms"], word["end_ms"]) for word in table["words"][row].as_py()] == [
            (word.start_ms, word.end_ms) for word in expected
        ]
        assert table["text"][row].as_py() == " ".join(word.word.strip() for word in expected)
        for column in range(4):
            tick = window * 4 + column
            assert tensor(table, "tick_valid")[row, column] == (tick in ticks)
            assert tensor(table, "tick_pts_ms")[row, column] == (tick * 500 + 7 if tick in ticks else -1)
            assert np.array_equal(
                tensor(table, "frame_embedding")[row, column], np.eye(3)[tick % 3] if tick in ticks else np.zeros(3)
            )


def test_a_window_with_nothing_in_it_is_no_row() -> None:
    table = align(made_features([0, 9], []), GRID, SHAPE).table
    assert table["window"].to_pylist() == [0, 2]


def test_missing_modalities_say_so() -> None:
    table = align(made_features([0], [], sound=(0, 3000)), GRID, SHAPE).table
    assert table["frame_status"].to_pylist() == ["ok", "absent"]
    assert table["audio_status"].to_pylist() == ["ok", "ok"]
    assert table["speech_status"].to_pylist() == ["ok", "ok"]
    assert table["text_status"].to_pylist() == ["absent", "absent"]
    assert tensor(table, "tick_sound").tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert not tensor(table, "audio_feature")[1, 2:].any()


def test_a_failure_is_the_reason_that_a_row_gives() -> None:
    features = made_features([0], [], sound=(0, 4000))
    failed = UnitFeatures(
        features.unit,
        features.decoded,
        features.frame_embeddings,
        (),
        (),
        features.audio_features,
        (Failure("decode", "damaged", "bad NAL"),),
    )
    assert align(failed, GRID, SHAPE).table["frame_status"].to_pylist() == ["ok", "failed: bad NAL"]


def test_a_unit_that_was_not_decoded_has_no_rows() -> None:
    lost = UnitFeatures(made_unit(3, GRID), failures=(Failure("decode", "timeout", "stopped"),))
    rows = align(lost, GRID, SHAPE)
    assert len(rows.table) == 0
    assert rows.failures == lost.failures


def test_shots_change_with_the_first_frame_after_a_cut() -> None:
    table = align(made_features([0, 1, 2, 3, 4], [], cuts=[0, 1007, 2507]), GRID, SHAPE).table
    assert tensor(table, "shot").tolist() == [[0, 0, 1, 1], [1, 1, 2, 2]]


def unit_rows(video_id: str, number: int, cuts: int, seed: int) -> UnitRows:
    """One row with two shots."""
    rows = align(made_features([0, 1], [], cuts=[507]), GRID, SHAPE)
    unit = made_unit(3, GRID, number, video_id)
    table = rows.table.set_column(0, rows.table.schema.field(0), pa.array([video_id]))
    return UnitRows(unit, table.set_column(2, table.schema.field(2), pa.array([number], pa.int32())), cuts)


def test_shots_count_on_through_the_units_of_a_video() -> None:
    table = shard_table([unit_rows("b", 0, 1, 1), unit_rows("a", 1, 1, 2), unit_rows("a", 0, 3, 3)])
    assert list(zip(table["video_id"].to_pylist(), table["window"].to_pylist(), strict=True)) == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
    ]
    assert tensor(table, "shot")[:, :2].tolist() == [[0, 1], [3, 4], [0, 1]]


def test_a_video_without_rows_is_failed_and_one_with_losses_is_partial() -> None:
    from reelbeam.schemas.elements import UnitOutcome

    unit = made_unit()
    whole = UnitOutcome(unit.video.video_id, 0, 4, 40, 9, ())
    damaged = UnitOutcome(unit.video.video_id, 1, 2, 20, 1, (Failure("decode", "damaged", "x"),))
    assert video_row(unit.video, unit.probe, [whole], "r")[0]["status"] == "ok"
    row, failures = video_row(unit.video, unit.probe, [damaged, whole], "r")
    assert (row["status"], row["windows"], row["frames"], row["words"], len(failures)) == ("partial", 6, 60, 10, 1)
    row, failures = video_row(unit.video, Failure("probe", "not_media", "x"), [], "r")
    assert (row["status"], row["windows"], row["attempts"], len(failures)) == ("failed", 0, 1, 1)
