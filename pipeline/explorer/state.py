"""What all pages share: the current snapshot, the open searches, the query models, and the templates."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from ...schemas import snapshot as snapshots
from ...schemas.errors import ReelbeamError
from ...schemas.storage import Storage
from ..answers import frame_address
from ..dataset import Dataset
from ..playing import FramePlaces, Previews, Thumbnails
from ..search import Searches
from ..views import clock

log = logging.getLogger("reelbeam")

LOOK_EVERY_S = {True: 0.1, False: 1.0}
"""Least time between two looks for a newer snapshot, in seconds: on a local disk (True), and in a bucket."""

SEARCHES_AT_ONCE = 2
"""The others wait in line. A search is mostly Python, of which one thread runs at a time: more at once only make all of them late."""

Made = TypeVar("Made")


class Models:
    """The query models, which load in a thread of their own. `state` is "loading", "ready" or "failed"."""

    def __init__(self) -> None:
        self.state, self.message = "loading", ""
        self._done = threading.Event()

    def load(self, searches: Searches) -> None:
        """Answers one query of all kinds, so that the next ones find everything open. What fails is said on the page."""
        try:
            searches.find("all", "a", 1)
            self.state = "ready"
        except ReelbeamError as error:
            self.state, self.message = "failed", str(error)
        except Exception as error:
            log.exception("the query models did not load")
            self.state, self.message = "failed", f"{type(error).__name__}: {error}"
        finally:
            self._done.set()

    def wait(self, longest_s: float) -> bool:
        """Waits until they are loaded or have failed. Returns whether that happened in time."""
        return self._done.wait(longest_s)


class Opened:
    """One snapshot, open: its dataset, its searches, and where its frames are."""

    def __init__(self, dataset: Dataset, searches: Searches):
        self.dataset, self.searches, self.places = dataset, searches, FramePlaces(dataset)


class Explorer:
    """One dataset that pages are made of. Its methods may be called from several threads."""

    def __init__(self, output: str, name: str = "frames", models: str = "", device: str = "auto"):
        """Raises UsageError where there is no dataset."""
        self.output, self.storage = output, Storage.at(output)
        self.index_name, self.device = name, device
        self._settings = (name, models, device)
        self.models = Models()
        self._lock, self._loading = threading.Lock(), False
        self.searches = 0
        self._searching = ThreadPoolExecutor(SEARCHES_AT_ONCE, "search")
        self._looked_at = time.monotonic()
        self._opened = self._open(Dataset.open(output))
        stream = self._opened.dataset.snapshot.options.get("video_stream", "")
        self.thumbnails, self.previews = Thumbnails(stream), Previews(stream)

    def _open(self, dataset: Dataset) -> Opened:
        return Opened(dataset, Searches(dataset, *self._settings))

    def load_models(self) -> None:
        """Starts the thread that loads the query models."""
        self._load(self.opened().searches)

    def _load(self, searches: Searches) -> None:
        self._loading = True
        threading.Thread(target=self.models.load, args=(searches,), name="models", daemon=True).start()

    def opened(self) -> Opened:
        """The current snapshot, open. Looks for a newer one, but not more often than LOOK_EVERY_S."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked_at >= LOOK_EVERY_S[self.storage.is_local]:
                self._looked_at = now
                known = snapshots.numbers(self.storage, self._opened.dataset.snapshot.number)
                if known:
                    newer = Dataset(self.storage, snapshots.load(self.storage, known[-1]))
                    log.info("snapshot %d is shown now", newer.snapshot.number)
                    self._opened = self._open(newer)
                    if self._loading:  # its index is opened by the thread; and what failed before may work now
                        self.models = Models()
                        self._load(self._opened.searches)
                    self.thumbnails.keep(newer.facts.__contains__)
                    self.previews.files.keep(lambda key: key[0] in newer.facts)
            return self._opened

    def dataset(self) -> Dataset:
        """The current snapshot's dataset. What a purge removed is in no answer of it."""
        return self.opened().dataset

    def in_turn(self, search: Callable[[], Made]) -> Made:
        """What a search gives, at most SEARCHES_AT_ONCE at a time, first come, first served. Passes on what it raises."""
        with self._lock:
            self.searches += 1
        return self._searching.submit(search).result()

    def thumbnail_url(self, row: int, tick: int) -> str:
        """The address of a frame's picture: the tick in 0..window_ticks of a global row number."""
        return frame_address(row, tick)

    @cached_property
    def _templates(self) -> Environment:
        loader = PackageLoader("reelbeam.pipeline.explorer", "templates")
        found = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        found.filters["clock"] = clock
        return found

    def render(self, request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page from a template. Each value is escaped where it is shown."""
        dataset = self.dataset()
        shared = {"path": request.url.path, "models": self.models, "output": self.output, "snapshot": dataset.snapshot}
        return HTMLResponse(self._templates.get_template(name).render({**shared, **values}), status)
