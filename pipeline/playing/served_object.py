"""Objects of a bucket for ffmpeg, by range: a server on this machine's loopback while ffmpeg runs, under an address that nobody guesses.

ffmpeg seeks in what it reads. So a picture costs the header and the frames around it, and not the whole video.
"""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from ...schemas.errors import ReelbeamError
from ...schemas.storage import Storage
from ...transforms.ffmpeg import LOOPBACK
from .ranges import Span, asked_span

log = logging.getLogger("reelbeam")

BLOCK_BYTES = 128 << 10
"""What is asked of a store at once: about a second of video."""

KEPT_BYTES = 64 << 20
"""Of blocks in memory."""

SENT_AHEAD_BYTES = 32 << 10
"""Size of the socket's buffer. What lies in it was fetched, and perhaps nobody reads it."""

POLL_S = 0.02
"""How soon a server notices that it is no longer wanted."""


class Served(NamedTuple):
    """A version of a video that lies in a bucket."""

    storage: Storage
    path: str
    video_id: str
    version: str
    """Hash of its bytes."""
    size_bytes: int


class Blocks:
    """Blocks of objects, the most recently used. Each is asked of its store once, also by two that want it at the same time."""

    def __init__(self, most_bytes: int = KEPT_BYTES):
        self.most_bytes, self.held_bytes = most_bytes, 0
        self._held: OrderedDict[tuple[Served, int], Future[bytes]] = OrderedDict()
        self._wanted: Callable[[str], bool] = lambda video_id: True
        self._lock = threading.Lock()

    def get(self, served: Served, number: int) -> bytes:
        """A block. Raises FileNotFoundError and StorageError."""
        key = (served, number)
        with self._lock:
            found = self._held.get(key)
            if found is None and not self._wanted(served.video_id):
                raise FileNotFoundError(served.path)
            is_mine = found is None
            if found is None:
                found = self._held[key] = Future()
            self._held.move_to_end(key)
        if is_mine:
            try:
                content = read_block(served, number)
            except BaseException as error:
                with self._lock:
                    self._held.pop(key, None)
                found.set_exception(error)
                raise
            with self._lock:
                self.held_bytes += len(content) if key in self._held else 0
                found.set_result(content)
                self._make_room()
        return found.result()

    def _make_room(self) -> None:
        for key in [key for key, one in self._held.items() if one.done()]:
            if self.held_bytes <= self.most_bytes:
                return
            self._drop(key)

    def keep(self, wanted: Callable[[str], bool]) -> None:
        """Drops the blocks of videos that are not wanted any more, by id, and reads none of them from now on."""
        with self._lock:
            self._wanted = wanted
            for key in [key for key in self._held if not wanted(key[0].video_id)]:
                self._drop(key)

    def _drop(self, key: tuple[Served, int]) -> None:
        dropped = self._held.pop(key)
        self.held_bytes -= len(dropped.result()) if dropped.done() else 0


def read_block(served: Served, number: int) -> bytes:
    """A block, from the store."""
    start = number * BLOCK_BYTES
    return served.storage.get_spans(served.path, [(start, min(start + BLOCK_BYTES, served.size_bytes))])[0]


def pieces_of(blocks: Blocks, served: Served, span: Span) -> Iterator[bytes]:
    """The bytes of a span, block by block."""
    for number in range(span.start // BLOCK_BYTES, -(-span.end // BLOCK_BYTES)):
        at = number * BLOCK_BYTES
        yield blocks.get(served, number)[max(0, span.start - at) : span.end - at]


class Handler(BaseHTTPRequestHandler):
    """Answers ffmpeg. `blocks`, `served` and `path_wanted` are set by a subclass."""

    blocks: Blocks
    served: Served
    path_wanted: str
    timeout = 120

    def setup(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_AHEAD_BYTES)
        super().setup()

    def log_message(self, *_: Any) -> None:
        """Nothing: ffmpeg's own messages tell what went wrong."""

    def do_GET(self) -> None:
        size = self.served.size_bytes
        try:
            if self.path != self.path_wanted:
                raise FileNotFoundError(self.path)
            span = asked_span(self.headers.get("range", ""), size) or Span(0, size)
            parts = pieces_of(self.blocks, self.served, span)
            first = next(parts)  # before the answer begins: the object may be gone
        except ValueError:
            self.send_error(416)
            return
        except (FileNotFoundError, ReelbeamError) as error:
            log.warning("%s: %s", self.served.storage.uri(self.served.path), error)
            self.send_error(404)
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {span.start}-{span.end - 1}/{size}")
        self.send_header("Content-Length", str(span.end - span.start))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        with suppress(OSError, ReelbeamError):  # ffmpeg has what it wants; or it says that the stream ends too early
            self.wfile.write(first)
            for part in parts:
                self.wfile.write(part)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a connection that broke off is ffmpeg's way to seek."""


@contextmanager
def served_object(blocks: Blocks, served: Served) -> Iterator[str]:
    """The address of an object on loopback, while the context is open."""
    secret = secrets.token_hex(16)
    facts = {"blocks": blocks, "served": served, "path_wanted": f"/{secret}"}
    server = Server(("127.0.0.1", 0), type("OneObject", (Handler,), facts))
    thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), name="served-object", daemon=True)
    thread.start()
    try:
        yield f"{LOOPBACK}{server.server_port}/{secret}"
    finally:
        server.shutdown()
        server.server_close()
