"""Filters leave what passes, and look further until there is enough of it or nothing more is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.made import made_rows, put_snapshot
from reelbeam.models.audio import FEATURES
from reelbeam.pipeline.answers import Narrowing
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.playing import FramePlaces
from reelbeam.pipeline.search import Moment
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.switched_off import turned_off
from reelbeam.schemas.tables import RowShape

SHAPE = RowShape(ticks=4, frame_dim=8, audio_dim=len(FEATURES), text_dim=6)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> FramePlaces:
    folder: Path = tmp_path_factory.mktemp("features")
    put_snapshot(folder, [made_rows(6, 3, SHAPE, [2, 2, 2])], SHAPE)
    return FramePlaces(Dataset.open(str(folder)))


def moment(at: int) -> Moment:
    kind = "odd" if at % 2 else "even"
    return Moment(f"/videos/{kind}/{at}.mp4", f"{at % 3:016x}", at * 10, at * 10 + 5, at * 10, 1.0, "")


def every_row(_: Narrowing) -> np.ndarray:
    return np.arange(6)


def hundred(number: int, among: np.ndarray | None = None) -> list[Moment]:
    return [moment(at) for at in range(min(number, 100))]


def test_patterns_and_times_choose(places: FramePlaces) -> None:
    all_of = hundred(10)
    assert Narrowing().passing(all_of, places) == all_of
    assert Narrowing(uri="*/odd/*").passing(all_of, places) == all_of[1::2]
    assert Narrowing(start_ms=20, end_ms=40).passing(all_of, places) == all_of[2:4]


def test_a_filter_on_what_is_off_is_refused_with_the_cure(tmp_path: Path) -> None:
    silent = replace(SHAPE, off=("sound", "speech"))
    put_snapshot(tmp_path, [turned_off(made_rows(6, 3, SHAPE, [2, 2, 2]), silent)], silent)
    places = FramePlaces(Dataset.open(str(tmp_path)))
    assert Narrowing(present="frame").passing(hundred(3), places)
    for wanted, sense in (
        (Narrowing(language="en"), "speech"),
        (Narrowing(present="text"), "speech"),
        (Narrowing(present="audio"), "sound"),
    ):
        with pytest.raises(UsageError, match=f"{sense} is off.*--senses .{sense} --remodel"):
            wanted.passing(hundred(3), places)


def test_language_and_modality_are_those_of_the_window(places: FramePlaces) -> None:
    all_of = hundred(3)
    [(_, batch)] = list(places.dataset.batches(["language", "frame_status"]))
    language, status = batch["language"][0].as_py(), batch["frame_status"][0].as_py()
    if language:
        assert Narrowing(language=language).passing(all_of, places)[0] == all_of[0]
    assert Narrowing(language="klingon").passing(all_of, places) == []
    assert (all_of[0] in Narrowing(present="frame").passing(all_of, places)) == (status == "ok")
    with pytest.raises(UsageError, match="choose from"):
        Narrowing(present="smell").passing(all_of, places)


def test_it_looks_further_until_there_is_enough(places: FramePlaces) -> None:
    asked: list[int] = []

    def look(number: int, among: np.ndarray | None) -> list[Moment]:
        asked.append(number)
        return hundred(number)

    found, more = Narrowing(start_ms=500).best(look, 10, places, lambda _: False, every_row)
    assert [one.best_ms for one in found] == list(range(500, 600, 10))
    assert not more
    assert len(asked) > 1


def test_videos_that_are_gone_leave_no_gap(places: FramePlaces) -> None:
    found, _ = Narrowing().best(hundred, 3, places, lambda video_id: video_id == f"{0:016x}", every_row)
    assert found == [moment(1), moment(2), moment(4)]
