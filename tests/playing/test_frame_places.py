"""An instant of a video leads to the row and tick of the frame nearest to it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.made import made_rows, put_snapshot
from reelbeam.models.audio import FEATURES
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.playing import FramePlaces
from reelbeam.schemas.tables import RowShape
from reelbeam.schemas.tensors import tensor

SHAPE = RowShape(ticks=4, frame_dim=8, audio_dim=len(FEATURES), text_dim=6)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("features")
    put_snapshot(folder, [made_rows(6, 3, SHAPE, [2, 2, 2])], SHAPE)
    return Dataset.open(str(folder))


def test_every_stored_frame_is_found_by_its_own_time(dataset: Dataset) -> None:
    places = FramePlaces(dataset)
    asked, wanted = [], []
    for rows, batch in dataset.batches(["video_id", "tick_pts_ms", "tick_valid"]):
        pts_ms, valid = tensor(batch, "tick_pts_ms"), tensor(batch, "tick_valid").astype(bool)
        for at, row in enumerate(rows.tolist()):
            for tick in np.flatnonzero(valid[at]).tolist():
                asked.append((batch["video_id"][at].as_py(), int(pts_ms[at, tick])))
                wanted.append((row, tick))
    found = places.frames_at(asked)
    assert len(asked) > 20
    assert [(one.row, one.tick) for one in found if one] == wanted
    assert [places.frame(*one) for one in wanted] == asked


def test_what_is_not_there_is_none(dataset: Dataset) -> None:
    places = FramePlaces(dataset)
    assert places.frames_at([("no such video", 0)]) == [None]
    assert places.row_at("no such video", 5) is None
    for row, tick in ((-1, 0), (0, -1), (0, 4), (10**9, 0)):
        assert places.frame(row, tick) is None


def test_an_instant_past_the_end_leads_to_the_last_window(dataset: Dataset) -> None:
    places = FramePlaces(dataset)
    video_id = f"{1:016x}"
    windows, rows = places.rows_of(video_id)
    assert windows.tolist() == [0, 1]
    assert places.row_at(video_id, 10**9) == rows[-1]
