"""The pages about a whole snapshot: health, the map of its frames, repeats, outliers and tags; and the same as JSON."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from ..search import Frames
from ..surveys import (
    LABELS,
    Background,
    Computed,
    Health,
    MapPoints,
    Outlier,
    Repeats,
    SnapshotChange,
    Tagged,
    compared_pairs,
    health_of,
    labels_of,
    map_points,
    outliers_of,
    repeats_of,
    snapshot_changes,
    tags_of,
)
from .state import Explorer

WAIT_S = 2.0
"""How long a request waits for a value before it answers with the state."""

HEALTH_KEPT_S = 5
"""How long the health of a snapshot is kept: reports of nights come without a new snapshot."""

CHART = (640, 120)
"""Width and height of a chart."""

MOST_LABEL_LETTERS = 5_000

Threshold = Annotated[
    float, Query(ge=0, le=1, allow_inf_nan=False, description="cosine from which on frames are copies; 0 chooses one")
]
Labels = Annotated[str, Query(max_length=MOST_LABEL_LETTERS, description="one label a line; none for a general list")]


def polyline(values: Sequence[float], width: int = CHART[0], height: int = CHART[1], margin: int = 6) -> str:
    """The points of an SVG polyline: values from left to right, 0 at the bottom, the largest at the top.

    >>> polyline([0, 5, 10], 100, 50, 0)
    '0.0,50.0 50.0,25.0 100.0,0.0'
    """
    high = max([*values, 1e-9])
    step = (width - 2 * margin) / max(1, len(values) - 1)
    points = [
        (margin + at * step, height - margin - value / high * (height - 2 * margin)) for at, value in enumerate(values)
    ]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def size(size_bytes: float) -> str:
    """
    >>> size(0), size(1_500), size(2_345_678)
    ('0 B', '1.5 kB', '2.3 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def age(age_s: float) -> str:
    """
    >>> age(5), age(7_300), age(200_000)
    ('5 s', '2 h', '2 d')
    """
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if age_s >= length_s:
            return f"{age_s // length_s:.0f} {unit}"
    return f"{age_s:.0f} s"


def when(at: str) -> str:
    """
    >>> when("2026-11-27T02:00:13+00:00")
    '2026-11-27 02:00:13'
    """
    return at[:19].replace("T", " ")


WORDS: dict[str, Any] = {"size": size, "age": age, "when": when}
"""How templates write numbers."""


def charts(health: Health) -> list[tuple[str, int, str]]:
    """The lines over time: name, newest value, points of the polyline; oldest snapshot on the left."""
    by_time = health.snapshots[::-1]
    lines = [(name, [getattr(one, name) for one in by_time]) for name in ("videos", "windows", "bytes")]
    return [(name, values[-1], polyline(values)) for name, values in lines if values]


class Surveys:
    """The values behind the pages, each computed once per snapshot."""

    def __init__(self, explorer: Explorer):
        self.explorer = explorer
        self._quick, self._slow = Background(), Background()

    def health(self) -> Computed[Health]:
        dataset = self.explorer.dataset()
        key = ("health", int(time.monotonic() / HEALTH_KEPT_S))
        return self._quick.get(key, dataset.snapshot.number, lambda: health_of(dataset), 5 * WAIT_S)

    def changes(self, health: Health) -> Computed[list[SnapshotChange]]:
        pairs = compared_pairs(health.snapshots)
        storage = self.explorer.storage
        return self._slow.get("changes", health.snapshot, lambda: snapshot_changes(storage, pairs), WAIT_S)

    def map(self) -> Computed[MapPoints]:
        dataset = self.explorer.dataset()
        return self._slow.get("map", dataset.snapshot.number, lambda: map_points(dataset), WAIT_S)

    def repeats(self, threshold: float) -> Computed[Repeats]:
        dataset, cut, name = self.explorer.dataset(), round(threshold, 3), self.explorer.index_name
        return self._slow.get(
            ("repeats", cut), dataset.snapshot.number, lambda: repeats_of(Frames(dataset, name), cut), WAIT_S
        )

    def outliers(self) -> Computed[list[Outlier]]:
        dataset, name = self.explorer.dataset(), self.explorer.index_name
        return self._slow.get("outliers", dataset.snapshot.number, lambda: outliers_of(Frames(dataset, name)), WAIT_S)

    def tags(self, text: str) -> Computed[list[Tagged]]:
        labels, dataset, device = labels_of(text), self.explorer.dataset(), self.explorer.device
        return self._slow.get(
            ("tags", labels), dataset.snapshot.number, lambda: tags_of(dataset, labels, device), WAIT_S
        )


def router(explorer: Explorer) -> APIRouter:
    """`/health`, `/map`, `/repeats`, `/outliers`, `/tags`, and each below `/api/`."""
    routes, surveys = APIRouter(), Surveys(explorer)

    @routes.get("/health", response_class=HTMLResponse, include_in_schema=False)
    def health_page(request: Request) -> HTMLResponse:
        found = surveys.health()
        changes = surveys.changes(found.value) if found.value else Computed[list[SnapshotChange]]("computing")
        lines = charts(found.value) if found.value else []
        by_number = {one.number: one for one in changes.value or []}
        shown: dict[str, Any] = {
            "found": found,
            "changes": changes,
            "by_number": by_number,
            "lines": lines,
            "chart": CHART,
        }
        return explorer.render(request, "health.html", 200, **shown, **WORDS)

    @routes.get("/map", response_class=HTMLResponse, include_in_schema=False)
    def map_page(request: Request) -> HTMLResponse:
        return explorer.render(request, "map.html")

    @routes.get("/repeats", response_class=HTMLResponse, include_in_schema=False)
    def repeats_page(request: Request, threshold: Threshold = 0.0) -> HTMLResponse:
        found = surveys.repeats(threshold)
        return explorer.render(
            request, "repeats.html", found=found, threshold=threshold, picture=explorer.thumbnail_url
        )

    @routes.get("/outliers", response_class=HTMLResponse, include_in_schema=False)
    def outliers_page(request: Request) -> HTMLResponse:
        return explorer.render(request, "outliers.html", found=surveys.outliers(), picture=explorer.thumbnail_url)

    @routes.get("/tags", response_class=HTMLResponse, include_in_schema=False)
    def tags_page(request: Request, labels: Labels = "") -> HTMLResponse:
        text = labels or "\n".join(LABELS)
        found = surveys.tags(labels)
        return explorer.render(request, "tags.html", found=found, labels=text, picture=explorer.thumbnail_url)

    @routes.get("/api/health")
    def health() -> Computed[Health]:
        """Counts, failures by kind, indexes, sizes, snapshots and the last nights."""
        return surveys.health()

    @routes.get("/api/map")
    def points() -> Computed[MapPoints]:
        """Frames as points of a map."""
        return surveys.map()

    @routes.get("/api/repeats")
    def repeats(threshold: Threshold = 0.0) -> Computed[Repeats]:
        """Pairs of spans that show the same."""
        return surveys.repeats(threshold)

    @routes.get("/api/outliers")
    def outliers() -> Computed[list[Outlier]]:
        """Moments unlike the rest."""
        return surveys.outliers()

    @routes.get("/api/tags")
    def tags(labels: Labels = "") -> Computed[list[Tagged]]:
        """The windows of each label."""
        return surveys.tags(labels)

    return routes
