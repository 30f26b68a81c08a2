"""Searches wait in line, but not behind one that is slow."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import HTTPException
from nights import World

from reelbeam.pipeline.explorer import Explorer
from reelbeam.pipeline.explorer.options import ExploreOptions
from reelbeam.pipeline.explorer.serve import SWITCH_S, Served


class Visitor:
    """Stands for a request."""

    def __init__(self, has_left: bool = False):
        self.has_left = has_left

    async def is_disconnected(self) -> bool:
        return self.has_left


@pytest.fixture
def line(first_world: World, explorer: Explorer) -> Explorer:
    """An explorer of its own, since its line belongs to one event loop; the models are those that are loaded already."""
    own = Explorer(str(first_world.output))
    own.models = explorer.models
    return own


def searched(explorer: Explorer, *searches: Callable[[], Any], left: int = -1) -> list[Any]:
    """What each search gives, asked in this order at once; visitor number `left` goes away meanwhile."""

    async def all_at_once() -> list[Any]:
        asked = [explorer.in_turn(Visitor(at == left), one) for at, one in enumerate(searches)]  # type: ignore[arg-type]
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(all_at_once())


def test_a_slow_search_holds_nobody_up(line: Explorer) -> None:
    ended: list[str] = []

    def search(name: str, seconds: float) -> str:
        time.sleep(seconds)
        ended.append(name)
        return name

    assert searched(line, lambda: search("slow", 1.0), lambda: search("fast", 0.0)) == ["slow", "fast"]
    assert ended == ["fast", "slow"]


def test_a_search_that_fails_fails_alone(line: Explorer) -> None:
    def fails() -> None:
        raise ValueError("this one")

    failed, found = searched(line, fails, lambda: 7)
    assert isinstance(failed, ValueError)
    assert found == 7


def test_nothing_is_searched_for_who_has_left_a_long_line(line: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reelbeam.pipeline.explorer.state.LINE_S", -1.0)
    gone, found = searched(line, lambda: pytest.fail("it was searched"), lambda: 7, left=0)
    assert isinstance(gone, HTTPException)
    assert gone.status_code == 499
    assert found == 7


def test_threads_take_short_turns_before_models_begin_to_load(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noting:
        def load_models(self) -> None:
            self.interval_s = sys.getswitchinterval()

    before, noting = sys.getswitchinterval(), Noting()
    monkeypatch.setattr(sys.modules[Served.__module__], "make_app", lambda *given: None)
    try:
        Served("features", ExploreOptions(), "token").application(noting)  # type: ignore[arg-type]
    finally:
        sys.setswitchinterval(before)
    assert noting.interval_s == pytest.approx(SWITCH_S), "loading puts back what it finds"
