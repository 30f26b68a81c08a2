"""A value is computed once per snapshot; whoever asks meanwhile gets a state at once."""

from __future__ import annotations

import threading

from reelbeam.pipeline.surveys.background import MOST_KEPT, MOST_WAITING, Background
from reelbeam.schemas.errors import UsageError


def test_a_value_is_computed_once_and_kept() -> None:
    background, calls = Background(), []
    for _ in range(3):
        found = background.get("map", 1, lambda: calls.append(1) or "points", wait_s=10)
        assert (found.state, found.value) == ("done", "points")
    assert len(calls) == 1


def test_a_slow_value_answers_with_its_state_and_comes_later() -> None:
    background, gate = Background(), threading.Event()
    assert background.get("map", 1, lambda: gate.wait(10)).state == "computing"
    gate.set()
    assert background.get("map", 1, lambda: False, wait_s=10).value is True


def test_a_newer_snapshot_drops_the_values_of_the_older_one() -> None:
    background = Background()
    assert background.get("map", 1, lambda: "with the purged video", wait_s=10).value
    assert background.get("map", 2, lambda: "without it", wait_s=10).value == "without it"
    assert background.get("map", 1, lambda: "computed again", wait_s=10).value == "computed again"


def test_a_value_still_computed_for_an_older_snapshot_is_never_seen() -> None:
    background, gate = Background(), threading.Event()
    background.get("map", 1, lambda: (gate.wait(10), "old")[1])
    assert background.get("map", 2, lambda: "new").state == "computing"
    gate.set()
    assert background.get("map", 2, lambda: "never called", wait_s=10).value == "new"


def test_an_error_of_the_user_shows_its_cure_and_other_errors_show_only_their_type() -> None:
    background = Background()

    def refuse() -> None:
        raise UsageError("too many frames; cure: run reelbeam outliers")

    def crash() -> None:
        raise RuntimeError("/secret/path")

    assert "cure: run" in background.get("a", 1, refuse, wait_s=10).message
    found = background.get("b", 1, crash, wait_s=10)
    assert found.state == "failed"
    assert "RuntimeError" in found.message
    assert "secret" not in found.message


def test_values_that_wait_and_values_that_are_kept_are_bounded() -> None:
    background, gate = Background(), threading.Event()
    states = [background.get(at, 1, lambda: gate.wait(10)).state for at in range(MOST_WAITING + 3)]
    assert states == ["computing"] * MOST_WAITING + ["busy"] * 3
    gate.set()
    assert background.get(MOST_WAITING - 1, 1, lambda: 1, wait_s=10).state == "done"
    for at in range(3 * MOST_KEPT):
        assert background.get(("more", at), 1, lambda: 1, wait_s=10).state == "done"
    assert len(background._values) <= MOST_KEPT
