"""RunModels: the models that see and hear a unit, side by side: none of them fills all cores alone, nor a GPU.

In:  groups of units with decoded frames and samples.
Out: the same with the fields that each model fills. Pixels are dropped.
Bad: no input fails here. Errors of the machine are raised.

Each model works on one group at a time, in a thread of its own, and may be a group ahead of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import ClassVar, Protocol

import apache_beam as beam

from ..schemas.elements import Group
from .metrics import StageMetrics
from .run_ahead import Jobs, RunAhead


class ModelWork(Protocol):
    """What one model does with a group. It travels to workers before `setup`."""

    name: ClassVar[str]
    """Of its counters."""
    fills: ClassVar[tuple[str, ...]]
    """Fields of UnitFeatures, which no other model fills."""

    def setup(self) -> None:
        """Begins to load the model."""

    def run(self, group: Group, metrics: StageMetrics) -> Group:
        """The group with its fields filled."""


class _RunModels(RunAhead):
    def __init__(self, works: Sequence[ModelWork]):
        self.works = works

    def setup(self) -> None:
        self.metrics = [StageMetrics(work.name) for work in self.works]
        self.pools = [ThreadPoolExecutor(1, thread_name_prefix=work.name) for work in self.works]
        for work in self.works:
            work.setup()

    def begun(self, group: Group) -> Jobs:
        each = zip(self.pools, self.works, self.metrics, strict=True)
        return [pool.submit(work.run, group, metrics) for pool, work, metrics in each]

    def ended(self, group: Group, jobs: Jobs) -> Group:
        for work, metrics, job in zip(self.works, self.metrics, jobs, strict=True):
            with metrics.waiting():
                found = job.result()
            group = tuple(
                replace(features, **{name: getattr(filled, name) for name in work.fills})
                for features, filled in zip(group, found, strict=True)
            )
        return group

    def teardown(self) -> None:
        for pool in self.pools:
            pool.shutdown(cancel_futures=True)


class RunModels(beam.PTransform):
    """Groups with frames and samples -> groups with what each of some models found."""

    def __init__(self, *works: ModelWork):
        super().__init__()
        self.do = _RunModels(works)

    def expand(self, groups: beam.PCollection) -> beam.PCollection:
        return groups | beam.ParDo(self.do)
