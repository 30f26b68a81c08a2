"""The pages about a whole snapshot: health, the map of its frames, repeats, outliers and tags; and the same as JSON."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from ..rendering import health_values
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

MOST_LABEL_LETTERS = 5_000

Threshold = Annotated[
    float, Query(ge=0, le=1, allow_inf_nan=False, description="cosine from which on frames are copies; 0 chooses one")
]
Labels = Annotated[str, Query(max_length=MOST_LABEL_LETTERS, description="one label a line; none for a general list")]


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
        shown = health_values(found.value, changes.value or []) if found.value else {}
        return explorer.render(request, "health.html", 200, found=found, changes=changes, **shown)

    @routes.get("/map", response_class=HTMLResponse, include_in_schema=False)
    def map_page(request: Request) -> HTMLResponse:
        return explorer.render(request, "map.html", points=None)

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
