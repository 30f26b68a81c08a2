"""`/metrics`: what the explorer has answered, as text that Prometheus reads."""

from __future__ import annotations

import os
import time

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...schemas.group_cache import CACHE
from .state import Explorer

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)

NOTED_EVERY_S = 1.0

COUNTS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable of prometheus_client: where the processes of a server keep their counts, so that any can answer for all."""

METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})


def route_of(scope: Scope) -> str:
    """The pattern of the route that answered, never the path itself: what visitors choose must not become a label."""
    if scope["path"].startswith("/static/"):
        return "/static"
    return getattr(scope.get("route"), "path", "none")


class Counts:
    """The counters of one application."""

    def __init__(self, explorer: Explorer):
        self.explorer, self.registry = explorer, CollectorRegistry()
        self._noted_at, self._searches, self._thumbnails = 0.0, 0, 0
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
        self.searches = Counter("reelbeam_explorer_searches", "Searches begun.", registry=self.registry)
        self.thumbnails = Counter("reelbeam_explorer_thumbnails", "Pictures made of videos.", registry=self.registry)
        self.held = Gauge(
            "reelbeam_explorer_cache_bytes",
            "Bytes in each cache.",
            ["cache"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.snapshot = Gauge(
            "reelbeam_explorer_snapshot",
            "Number of the snapshot that is shown.",
            registry=self.registry,
            multiprocess_mode="livemax",
        )

    def router(self) -> APIRouter:
        """`/metrics`, of all processes of this server. Where a token is wanted, it is wanted here too."""
        routes = APIRouter()

        @routes.get("/metrics", include_in_schema=False)
        def page() -> Response:
            self.note(every_s=0)
            registry = self.registry
            if COUNTS_FOLDER in os.environ:
                registry = CollectorRegistry()
                MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

        return routes

    def note(self, every_s: float = NOTED_EVERY_S) -> None:
        """Takes over what the explorer counts itself, unless that was done just now."""
        now, explorer = time.monotonic(), self.explorer
        if now - self._noted_at < every_s:
            return
        self._noted_at = now
        searches, made = explorer.searches, explorer.thumbnails.made
        self.searches.inc(searches - self._searches)
        self.thumbnails.inc(made - self._thumbnails)
        self._searches, self._thumbnails = searches, made
        self.held.labels("pictures").set(explorer.thumbnails.held_bytes)
        self.held.labels("videos").set(explorer.sources.held_bytes)
        self.held.labels("previews").set(explorer.previews.files.held_bytes)
        self.held.labels("rows").set(CACHE.held_bytes)
        self.snapshot.set(explorer.shown)


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
            self.counts.note()
