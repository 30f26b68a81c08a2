"""Options are checked before anything is done, and say what is allowed."""

from __future__ import annotations

import argparse
from fractions import Fraction

import pytest

from reelbeam.models.profiles import profile
from reelbeam.pipeline.extraction.beam_flags import beam_options
from reelbeam.pipeline.extraction.options import ExtractOptions
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.options import data_options, documented


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"window_ticks": 0}, "--window-ticks 0: allowed is 1 to 600"),
        ({"tick_hz": "often"}, "--tick-hz often"),
        ({"tick_hz": "1000"}, "1/3600 to 240"),
        ({"max_failed": 2.0}, "--max-failed"),
    ],
)
def test_a_bad_value_names_its_flag_and_what_is_allowed(fields: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ExtractOptions(**fields)  # type: ignore[arg-type]


def test_every_option_becomes_a_flag_and_comes_back() -> None:
    parser = argparse.ArgumentParser()
    ExtractOptions.add_to(parser)
    assert ExtractOptions.from_args(parser.parse_args([])) == ExtractOptions()
    assert ExtractOptions.from_args(parser.parse_args(["--tick-hz", "1/3", "--dry-run"])).grid.tick_hz == Fraction(1, 3)


def test_only_what_changes_rows_enters_the_fingerprint() -> None:
    recorded = {"tick_hz", "window_ticks", "shots", "shot_threshold", "still_difference"}
    assert set(data_options(ExtractOptions(shots="adaptive"))) == recorded


def test_datasets_from_before_shots_could_be_chosen_keep_their_fingerprint() -> None:
    old = {"tick_hz": "1", "window_ticks": "10", "shot_threshold": "0.2", "still_difference": "0.0"}
    assert data_options(ExtractOptions(shots="scene")) == old


def test_a_threshold_that_the_chosen_detector_lacks_is_refused() -> None:
    assert ExtractOptions(shots="scene", shot_threshold=0.3).shot_threshold == 0.3
    with pytest.raises(UsageError, match="only --shots scene has a threshold"):
        ExtractOptions(shots="adaptive", shot_threshold=0.3)


def test_every_option_has_a_help_line() -> None:
    assert all(doc.text for _, doc in documented(ExtractOptions))


def test_an_option_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match="--window-tick"):
        beam_options(["--window-tick", "5"])
    assert beam_options(["--direct_num_workers", "1"])


def test_an_unknown_profile_says_which_there_are(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match="offline, standard"):
        profile("nothing")
    (tmp_path / "m.json").write_text(
        '{"clip": {"architecture": "a", "weights": "b", "colour": 1}, "whisper": {"weights": "base"}}'
    )
    with pytest.raises(UsageError, match="colour"):
        profile(str(tmp_path / "m.json"))
