"""RunAhead: a stage that works on the next groups in threads of its own, while later stages still work on the ones before.

Groups leave it in the order in which they came. An error of a thread is raised where its group would have left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from ..schemas.elements import Group

Jobs = Sequence[Future[Group]]


class RunAhead(beam.DoFn):
    """Groups -> what `ended` makes of the jobs that `begun` gave to threads, at most `ahead` groups before they are wanted."""

    ahead = 1

    def begun(self, group: Group) -> Jobs:
        """The jobs of a group, begun."""
        raise NotImplementedError

    def ended(self, group: Group, jobs: Jobs) -> Group:
        """The group with what its jobs found. Waits for them, on the thread that runs the bundle."""
        raise NotImplementedError

    def start_bundle(self) -> None:
        self.waiting: deque[tuple[Group, Jobs]] = deque()

    def process(self, group: Group) -> Iterator[Group]:
        self.waiting.append((group, self.begun(group)))
        if len(self.waiting) > self.ahead:
            yield self.ended(*self.waiting.popleft())

    def finish_bundle(self) -> Iterator[WindowedValue]:
        while self.waiting:
            group = self.ended(*self.waiting.popleft())
            yield WindowedValue(group, GlobalWindow().max_timestamp(), (GlobalWindow(),))
