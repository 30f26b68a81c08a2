"""RemoteObject: a video in a bucket that is read by blocks, which are kept for a while.

In:  a listed remote `Video`, or where an object lies and how large it is.
Out: its bytes by offset, as a sequence that headers are walked in and as a stream for the range server.
Bad: `InputError("vanished" | "changed" | "unreadable")` when the object differs from the listing. An error of the store while a
     block is read is raised, and noted in `error` for those who only see its consequences.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from ..schemas.elements import Video
from ..schemas.errors import InputError, ObjectRefused
from ..schemas.storage import Storage

BLOCK_BYTES = 1 << 20
KEPT_BLOCKS = 256
"""Blocks in memory per process: neighbouring units share the seconds of sound around their border."""

REQUESTS_AT_ONCE = 16


class Blocks:
    """The newest blocks that were read, each fetched once however many ask for it. Thread-safe."""

    def __init__(self, block_bytes: int = BLOCK_BYTES, most: int = KEPT_BLOCKS):
        self.block_bytes, self.most = block_bytes, most
        self._held: OrderedDict[tuple[str, str, str, int], Future[bytes]] = OrderedDict()
        self._wanted: Callable[[str], bool] = lambda video_id: True
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="blocks")

    def ask(self, one: RemoteObject, number: int) -> Future[bytes]:
        """A block of an object, at once or when it has come. A failed one is asked for again next time."""
        key = (one.video_id, one.storage.uri(one.path), one.version, number)
        with self._lock:
            if not self._wanted(one.video_id):
                gone: Future[bytes] = Future()
                gone.set_exception(FileNotFoundError(f"{one.storage.uri(one.path)} is no longer wanted"))
                return gone
            held = self._held.get(key)
            if held is None or (held.done() and held.exception() is not None):
                held = self._held[key] = self._pool.submit(one.fetch, number)
            self._held.move_to_end(key)
            while len(self._held) > self.most:
                self._held.popitem(last=False)
            return held

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Drops the blocks of videos that are not wanted any more, by id, and reads none of them from now on."""
        with self._lock:
            self._wanted = wanted
            for key in [key for key in self._held if not wanted(key[0])]:
                del self._held[key]

    @property
    def held_bytes(self) -> int:
        """Of blocks in memory."""
        with self._lock:
            held = [*self._held.values()]
        return sum(len(one.result()) for one in held if one.done() and one.exception() is None)


@functools.cache
def kept_blocks() -> Blocks:
    """The blocks of this process."""
    return Blocks()


class RemoteObject:
    """One remote video while it is read. Thread-safe."""

    def __init__(
        self, storage: Storage, path: str, size_bytes: int, video_id: str, version: str, blocks: Blocks | None = None
    ):
        """`version` tells this state of the object from others: an etag, or the hash of its bytes."""
        self.storage, self.path, self.size_bytes = storage, path, size_bytes
        self.video_id, self.version = video_id, version
        self.blocks = blocks or kept_blocks()
        self.error: Exception | None = None

    @classmethod
    def open(cls, video: Video) -> RemoteObject:
        """Asks the store for the object as it is now."""
        storage, path = Storage.of_object(video.uri)
        try:
            found = storage.head(path)
        except FileNotFoundError:
            raise InputError("vanished", f"{video.uri} was listed but is gone", retryable=True) from None
        except ObjectRefused as error:
            raise InputError("unreadable", str(error), retryable=True) from error
        if found.size_bytes != video.size_bytes:
            words = f"{video.uri}: listed with {video.size_bytes} bytes, it has {found.size_bytes}"
            raise InputError("changed", words, retryable=True)
        return cls(storage, path, video.size_bytes, video.video_id, found.etag)

    def __len__(self) -> int:
        return self.size_bytes

    def __getitem__(self, span: slice) -> bytes:
        start, end, _ = span.indices(len(self))
        return b"".join(self.pieces(start, end))

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes of a span, a block or less at a time. From the third block on, the next one is fetched ahead."""
        block_bytes = self.blocks.block_bytes
        first, last = start // block_bytes, (end - 1) // block_bytes
        for number in range(first, last + 1):
            asked = self.blocks.ask(self, number)
            if first + 2 <= number < last:
                self.blocks.ask(self, number + 1)
            try:
                block = asked.result()
            except Exception as error:
                self.error = error
                raise
            at = number * block_bytes
            yield block[max(0, start - at) : end - at]

    def fetch(self, number: int) -> bytes:
        """One block, from the store. Raises StorageError, FileNotFoundError."""
        start = number * self.blocks.block_bytes
        span = (start, min(start + self.blocks.block_bytes, len(self)))
        return self.storage.get_spans(self.path, [span])[0]
