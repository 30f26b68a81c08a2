"""DecodeUnits: decoder processes decode the units of groups, some groups ahead of the models.

In:  groups of `UnitFeatures` that have only their plan (Unit).
Out: the same groups with `decoded` set, see decode.py. Short videos share a decoder process, see decode_together.py.
Bad: a unit that ffmpeg cannot decode has `decoded` None and a Failure("decode"); one whose file has changed, a Failure("stage").
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import apache_beam as beam

from ..models.preprocessing import Preprocessing
from ..schemas.elements import Decoded, Grid, Group
from ..schemas.errors import Failure, InputError
from ..schemas.senses import FrameNeed
from .decode import DecodeLimits
from .decode_together import decode_units, packed
from .metrics import StageMetrics
from .range_server import readable
from .run_ahead import Jobs, RunAhead
from .stage import shared_stage

BY_DEFAULT = DecodeLimits()


class _DecodeUnits(RunAhead):
    """Decodes ahead: while later stages embed a group, the decoders already work on the next ones."""

    def __init__(
        self,
        grid: Grid,
        wanted: Preprocessing,
        limits: DecodeLimits,
        decoders: int,
        ahead: int,
        needs: Sequence[FrameNeed],
    ):
        self.needs = needs
        self.grid, self.wanted, self.limits = grid, wanted, limits
        self.decoders, self.ahead = decoders, ahead

    def setup(self) -> None:
        self.pool = ThreadPoolExecutor(self.decoders, thread_name_prefix="decoder")
        self.metrics = StageMetrics("decode")
        self.stage = shared_stage()

    def begun(self, group: Group) -> Jobs:
        return [self.pool.submit(self._decode, part) for part in packed(group, self.decoders, self.limits)]

    def ended(self, group: Group, jobs: Jobs) -> Group:
        with self.metrics.waiting():
            return tuple(features for job in jobs for features in job.result())

    def teardown(self) -> None:
        self.pool.shutdown(cancel_futures=True)

    def _decode(self, part: Group) -> Group:
        started = time.monotonic()
        with ExitStack() as staged:
            found: dict[int, tuple[Decoded | None, tuple[Failure, ...]]] = {}
            sources: dict[int, str] = {}
            for at, features in enumerate(part):
                unit = features.unit
                try:
                    sources[at] = staged.enter_context(readable(unit.video, unit.probe.by_range, self.stage))
                except InputError as error:  # the object changed or vanished since it was listed
                    found[at] = None, (Failure.of("stage", error, unit.start_ms, unit.end_ms),)
            units = [part[at].unit for at in sources]
            settings = (self.grid, self.wanted, self.limits, self.needs)
            found |= zip(sources, decode_units(units, [*sources.values()], *settings), strict=True)
        for at, features in enumerate(part):
            decoded, failures = found[at]
            self.metrics.add(
                failed=len(failures),
                frames=len(decoded.ticks) if decoded else 0,
                media_ms=max(0, min(features.unit.end_ms, features.unit.probe.duration_ms) - features.unit.start_ms),
            )
        self.metrics.add(busy_ms=int(1000 * (time.monotonic() - started)))
        return tuple(
            replace(features, decoded=found[at][0], failures=features.failures + found[at][1])
            for at, features in enumerate(part)
        )


class DecodeUnits(beam.PTransform):
    """Groups of planned units -> the same groups with frames and samples, `ahead` groups decoded in advance."""

    def __init__(
        self,
        grid: Grid,
        wanted: Preprocessing,
        limits: DecodeLimits = BY_DEFAULT,
        decoders: int = 1,
        ahead: int = 2,
        needs: Sequence[FrameNeed] = (),
    ):
        super().__init__()
        self.do = _DecodeUnits(grid, wanted, limits, decoders, ahead, needs)

    def expand(self, groups: beam.PCollection) -> beam.PCollection:
        return groups | beam.ParDo(self.do)
