"""What all pages share: the current snapshot, the open searches, the query models, and the templates."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeVar

from anyio import CapacityLimiter, sleep, to_thread
from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from ...schemas import snapshot as snapshots
from ...schemas.errors import ReelbeamError
from ...schemas.storage import Storage
from ..answers import PassingRows, StoredFrames, frame_address
from ..dataset import Dataset
from ..playing import FramePlaces, Previews, SignedVideos, Thumbnails, VideoSources
from ..rendering import templates
from ..search import Searches

log = logging.getLogger("reelbeam")

LOOK_EVERY_S = {True: 0.1, False: 1.0}
"""Least time between two looks for a newer snapshot, in seconds: on a local disk (True), and in a bucket."""

SEARCHES_AT_ONCE = 1
"""The others wait in line. A search is mostly Python, of which one thread runs at a time: more at once only make all of them late."""

SLOW_S = 0.05
"""A search that takes longer gives its place in the line to the next one: it reads files, and others need not wait for that."""

LINE_S = 0.25
"""Who has waited longer may have left: to find out costs a fifteenth of a search."""

SEARCH_THREADS = 8
"""Searches that run, the slow ones too."""

MODELS_S = 60
"""Longest wait of a search for the query models."""

PICTURES_AT_ONCE = 8
"""Threads that make or wait for pictures and previews."""

Made = TypeVar("Made")


class Models:
    """The query models, which load in a thread of their own. `state` is "loading", "ready" or "failed"."""

    def __init__(self) -> None:
        self.state, self.message = "loading", ""
        self._done = threading.Event()

    def load(self, searches: Searches) -> None:
        """Opens everything that searches need. What fails is said on the page."""
        try:
            searches.open()
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
    """One snapshot, open: its dataset, its searches, where its frames are, and those pictures of them that it stores."""

    def __init__(self, dataset: Dataset, searches: Searches):
        self.dataset, self.searches, self.places = dataset, searches, FramePlaces(dataset)
        self.stored = StoredFrames(dataset)
        self.passing = PassingRows(dataset)
        self._reading = threading.Lock()

    @property
    def facts(self) -> Mapping[str, dict[str, Any]]:
        """The rows of the videos table by id, without embeddings. The first to ask reads it, and the others wait."""
        with self._reading:
            return self.dataset.facts


class Explorer:
    """One dataset that pages are made of. Its methods may be called from several threads."""

    def __init__(self, output: str, name: str = "frames", models: str = "", device: str = "auto", signed: bool = True):
        """`signed` lets browsers read a bucket's videos from the store itself. Raises UsageError where there is no dataset."""
        self.output, self.storage = output, Storage.at(output)
        self.index_name, self.device = name, device
        self._settings = (name, models, device)
        self.models = Models()
        self._lock, self._looking, self._loading = threading.Lock(), threading.Lock(), False
        self.searches = 0
        self._searching = asyncio.Semaphore(SEARCHES_AT_ONCE)
        self._search_threads = ThreadPoolExecutor(SEARCH_THREADS, thread_name_prefix="search")
        self._picturing = CapacityLimiter(PICTURES_AT_ONCE)
        self._looked_at = time.monotonic()
        self._opened = self._open(Dataset.open(output))
        stream = self._opened.dataset.snapshot.options.get("video_stream", "")
        self.sources = VideoSources()
        self.signed = SignedVideos(self.sources.buckets, signed)
        self.thumbnails, self.previews = Thumbnails(self.sources, stream), Previews(self.sources, stream)

    def _open(self, dataset: Dataset) -> Opened:
        return Opened(dataset, Searches(dataset, *self._settings))

    def load_models(self) -> None:
        """Starts the thread that loads the query models."""
        self._load(self.opened().searches)

    def _load(self, searches: Searches) -> None:
        self._loading = True
        threading.Thread(target=self.models.load, args=(searches,), name="models", daemon=True).start()

    def opened(self) -> Opened:
        """The current snapshot, open. Looks for a newer one, but not more often than LOOK_EVERY_S.

        One request looks and the others go on: a store that does not answer holds up one of them. Raises StorageError for that one.
        """
        if self._is_due() and self._looking.acquire(blocking=False):
            try:
                known = snapshots.numbers(self.storage, self._opened.dataset.snapshot.number)
                if known:
                    self._show(known[-1])
            finally:
                self._looked_at = time.monotonic()
                self._looking.release()
        with self._lock:
            return self._opened

    @property
    def shown(self) -> int:
        """The number of the snapshot that was shown last; asks no store."""
        return self._opened.dataset.snapshot.number

    def _is_due(self) -> bool:
        return time.monotonic() - self._looked_at >= LOOK_EVERY_S[self.storage.is_local]

    def _show(self, number: int) -> None:
        """Opens a newer snapshot. Requests wait meanwhile: the one before may have videos that were purged."""
        with self._lock:
            newer = Dataset(self.storage, snapshots.load(self.storage, number))
            log.info("snapshot %d is shown now", newer.snapshot.number)
            opened = self._open(newer)
            facts = opened.facts
            self._opened = opened
            self.sources.keep(facts.__contains__)
            self.thumbnails.keep(facts.__contains__)
            self.previews.keep(facts.__contains__)
            if self._loading:  # its index is opened by the thread; and what failed before may work now
                self.models = Models()
                self._load(opened.searches)

    def dataset(self) -> Dataset:
        """The current snapshot's dataset. What a purge removed is in no answer of it."""
        return self.opened().dataset

    async def in_turn(self, request: Request, search: Callable[[], Made]) -> Made:
        """What a search gives, at most SEARCHES_AT_ONCE at a time and those that are slow, first come, first served. Passes on what it
        raises.

        Nothing is searched for somebody who has left the line.
        """
        self.searches += 1
        came = time.monotonic()
        until = came + MODELS_S
        while (
            not self.models.wait(0) and time.monotonic() < until
        ):  # not in the line: the places would be taken for long
            await sleep(0.05)
        async with self._searching:
            if time.monotonic() > came + LINE_S and await request.is_disconnected():
                raise HTTPException(499, "nobody waits for the answer")
            found = asyncio.get_running_loop().run_in_executor(self._search_threads, search)
            await asyncio.wait([found], timeout=SLOW_S)
        return await found

    async def pictured(self, make: Callable[[], Made]) -> Made:
        """What runs ffmpeg: in threads of its own, so that a page full of pictures does not keep others waiting."""
        return await to_thread.run_sync(make, limiter=self._picturing)

    def thumbnail_url(self, row: int, tick: int) -> str:
        """The address of a frame's picture: the tick in 0..window_ticks of a global row number."""
        return frame_address(row, tick)

    @cached_property
    def _templates(self) -> Environment:
        return templates()

    def render(self, request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page from a template. Each value is escaped where it is shown."""
        dataset = self.dataset()
        shared = {"path": request.url.path, "models": self.models, "output": self.output, "snapshot": dataset.snapshot}
        return HTMLResponse(self._templates.get_template(name).render({**shared, **values}), status)
