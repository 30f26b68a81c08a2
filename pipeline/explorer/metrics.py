"""`/metrics`: what the explorer has answered, as text that Prometheus reads."""

from __future__ import annotations

import time
from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...schemas.group_cache import CACHE
from .state import Explorer

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)

METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})


def route_of(scope: Scope) -> str:
    """The pattern of the route that answered, never the path itself: what visitors choose must not become a label."""
    if scope["path"].startswith("/static/"):
        return "/static"
    return getattr(scope.get("route"), "path", "none")


class State:
    """What is read at each request of the page: counts that the explorer keeps, and the bytes of its caches."""

    def __init__(self, explorer: Explorer):
        self.explorer = explorer

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        thumbnails, previews = self.explorer.thumbnails, self.explorer.previews
        yield CounterMetricFamily("reelbeam_explorer_searches", "Searches begun.", value=self.explorer.searches)
        yield CounterMetricFamily("reelbeam_explorer_thumbnails", "Pictures made of videos.", value=thumbnails.made)
        held = {
            "pictures": thumbnails.held_bytes,
            "videos": self.explorer.sources.held_bytes,
            "previews": previews.files.held_bytes,
            "rows": CACHE.held_bytes,
        }
        sizes = GaugeMetricFamily("reelbeam_explorer_cache_bytes", "Bytes in each cache.", labels=["cache"])
        for name, held_bytes in held.items():
            sizes.add_metric([name], held_bytes)
        yield sizes
        number = self.explorer.opened().dataset.snapshot.number
        yield GaugeMetricFamily("reelbeam_explorer_snapshot", "Number of the snapshot that is shown.", value=number)


class Counts:
    """The counters of one application."""

    def __init__(self, explorer: Explorer):
        self.registry = CollectorRegistry()
        self.registry.register(State(explorer))  # type: ignore[arg-type]
        self.requests = Counter(
            "reelbeam_explorer_requests",
            "Answers, by route, method and status.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "reelbeam_explorer_request_seconds",
            "Seconds to an answer's end, by route.",
            ["route"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )

    def router(self) -> APIRouter:
        """`/metrics`. Where a token is wanted, it is wanted here too."""
        routes = APIRouter()

        @routes.get("/metrics", include_in_schema=False)
        def page() -> Response:
            return Response(generate_latest(self.registry), headers={"content-type": CONTENT_TYPE_LATEST})

        return routes


class Counted:
    """Counts every answer, those of the guard too."""

    def __init__(self, app: ASGIApp, counts: Counts):
        self.app, self.counts = app, counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            route, method = route_of(scope), scope["method"] if scope["method"] in METHODS else "other"
            self.counts.requests.labels(route, method, status).inc()
            self.counts.seconds.labels(route).observe(time.perf_counter() - started)
