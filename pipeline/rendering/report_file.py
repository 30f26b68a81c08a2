"""The page of `report --html`: what the last night or run changed, and the health of the dataset after it."""

from __future__ import annotations

from dataclasses import dataclass

from ..dataset import Dataset
from ..surveys import Computed, Health, Night, SnapshotChange, compared_pairs, health_of, snapshot_changes
from .environment import health_values
from .standalone import rendered


@dataclass(frozen=True)
class LastRun:
    """What led to the current snapshot."""

    health: Health
    """Of the current snapshot."""
    night: Night | None
    """The night that made it; None when another command did."""
    change: SnapshotChange | None
    """Against the snapshot before that night, or before the current one; None where there is none to compare with."""


def last_run(dataset: Dataset) -> LastRun:
    """The last night, if nothing was committed since, else the last commit."""
    health = health_of(dataset)
    night = health.nights[0] if health.nights and health.nights[0].snapshot_after == health.snapshot else None
    before = max((one.number for one in health.snapshots if one.number < health.snapshot), default=None)
    if night:
        before = night.snapshot_before
    changes = snapshot_changes(dataset.storage, [(before, health.snapshot)]) if before is not None else []
    return LastRun(health, night, changes[0] if changes else None)


def report_page(dataset: Dataset, last: LastRun) -> str:
    """The page of a run. Compares the newest snapshots with each other, too."""
    changes = snapshot_changes(dataset.storage, compared_pairs(last.health.snapshots))
    shown = health_values(last.health, changes)
    return rendered(dataset, "report.html", last=last, changes=Computed("done", changes), **shown)
