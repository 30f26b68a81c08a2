"""Models work side by side and a group ahead; groups keep their order, their fields, and their errors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to
from conftest import made_unit

from reelbeam.schemas.elements import Group, UnitFeatures
from reelbeam.transforms import metrics
from reelbeam.transforms.metrics import StageMetrics
from reelbeam.transforms.run_models import RunModels

WAIT_S = 30


class Seeing:
    """Stands for CLIP."""

    name: ClassVar[str] = "seeing"
    fills: ClassVar[tuple[str, ...]] = ("frame_embeddings",)

    def setup(self) -> None:
        """Nothing to load."""

    def run(self, group: Group, metrics: StageMetrics) -> Group:
        with metrics.busy(flush=False):
            return tuple(
                replace(one, frame_embeddings=np.full((1, 2), one.unit.number, np.float32), speech_source="not mine")
                for one in group
            )


class Hearing:
    """Stands for Whisper. `before` is called with the number of the group's first unit."""

    name: ClassVar[str] = "hearing"
    fills: ClassVar[tuple[str, ...]] = ("speech_source",)

    def __init__(self, before: Callable[[int], object]):
        self.before = before

    def setup(self) -> None:
        """Nothing to load."""

    def run(self, group: Group, metrics: StageMetrics) -> Group:
        self.before(group[0].unit.number)
        return tuple(replace(one, speech_source=f"heard {one.unit.number}") for one in group)


def ran(groups: list[Group], works: RunModels) -> Iterator[Group]:
    """What the stage gives, as a runner would drive it."""
    stage = works.do
    stage.setup()
    stage.start_bundle()
    try:
        for group in groups:
            yield from stage.process(group)
        yield from (late.value for late in stage.finish_bundle())
    finally:
        stage.teardown()


def groups_of(count: int) -> list[Group]:
    return [(UnitFeatures(replace(made_unit(), number=2 * at)), UnitFeatures(replace(made_unit(), number=2 * at + 1)))
            for at in range(count)]  # fmt: skip


def test_each_model_fills_its_own_fields_and_groups_keep_their_order() -> None:
    found = list(ran(groups_of(5), RunModels(Seeing(), Hearing(lambda _: None))))
    units = [one for group in found for one in group]
    assert [len(group) for group in found] == [2] * 5
    assert [one.speech_source for one in units] == [f"heard {at}" for at in range(10)]
    assert [one.frame_embeddings[0, 0] for one in units if one.frame_embeddings is not None] == list(range(10))
    assert "busy_ms" in metrics.totals()["seeing"]
    assert "wait_ms" in metrics.totals()["hearing"]


def test_one_model_sees_the_next_group_while_another_still_hears_the_first() -> None:
    seen = threading.Event()

    class Telling(Seeing):
        def run(self, group: Group, metrics: StageMetrics) -> Group:
            if group[0].unit.number == 2:
                seen.set()
            return super().run(group, metrics)

    def wait(first: int) -> None:
        assert first or seen.wait(WAIT_S), "the second group was not begun while the first was heard"

    assert len(list(ran(groups_of(2), RunModels(Telling(), Hearing(wait))))) == 2


def test_an_error_of_a_model_is_raised_where_its_group_would_have_left() -> None:
    def fail(first: int) -> None:
        if first == 2:
            raise RuntimeError("out of memory")

    left = ran(groups_of(3), RunModels(Seeing(), Hearing(fail)))
    assert next(left)[0].speech_source == "heard 0"
    with pytest.raises(RuntimeError, match="out of memory"):
        next(left)


def test_every_group_comes_out_of_a_real_pipeline() -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        found = pipeline | beam.Create([0, 1, 2]) | beam.Map(lambda at: groups_of(3)[at]) | RunModels(Seeing())
        numbers = found | beam.FlatMap(lambda group: [int(one.frame_embeddings[0, 0]) for one in group])
        assert_that(numbers, equal_to(list(range(6))))
