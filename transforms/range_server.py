"""RangeServer: gives ffmpeg the bytes of remote videos by HTTP range, on loopback, without a copy on disk.

In:  a `RemoteObject`, see remote_blocks.py.
Out: an address that ffmpeg can read and seek in while the context is open.
Bad: when the store failed while the address was read, that error is raised at the end of the
     context: the decoder's own complaint is only its consequence.

It listens on 127.0.0.1 alone. An address has a random path of 192 bits, names one object, and ends with its context.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ..schemas.byte_ranges import ByteRange, asked_range
from ..schemas.elements import Video
from .ffmpeg import LOOPBACK, LOOPBACK_HOST, file_url
from .remote_blocks import RemoteObject
from .stage import Stage

SEND_BYTES = 64 << 10
"""Bytes on their way to ffmpeg. With the system's default, 4 MB were fetched for a reader that closes after 30 kB."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        super().setup()

    def do_GET(self) -> None:
        self.close_connection = True  # ffmpeg closes in mid-answer, whenever it seeks
        opened = self.server.opened.get(self.path[1:])
        if opened is None:
            self.send_error(404)
            return
        size = len(opened)
        try:
            asked = asked_range(self.headers.get("Range", ""), size)
        except ValueError:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        span = asked or ByteRange(0, size)
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(span.end - span.start))
        if asked:
            self.send_header("Content-Range", f"bytes {span.start}-{span.end - 1}/{size}")
        self.end_headers()
        with contextlib.suppress(Exception):  # the reader has gone, or the store failed: RemoteObject.error tells which
            for piece in opened.pieces(*span):
                self.wfile.write(piece)

    def log_message(self, *_: object) -> None:
        """Nothing: ffmpeg's requests are no news."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((LOOPBACK_HOST, 0), _Handler)
        self.opened: dict[str, RemoteObject] = {}

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a connection that broke off is ffmpeg's way to seek."""


class RangeServer:
    """A server of one process; its thread ends with the process."""

    def __init__(self) -> None:
        self._server = _Server()
        threading.Thread(target=self._server.serve_forever, name="ranges", daemon=True).start()

    @contextmanager
    def serving(self, opened: RemoteObject) -> Iterator[str]:
        """The address of an object, valid while the context is open."""
        token = secrets.token_urlsafe(24)
        self._server.opened[token] = opened
        try:
            yield f"{LOOPBACK}{self._server.server_port}/{token}"
        finally:
            del self._server.opened[token]
        if opened.error is not None:
            raise opened.error

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()


@functools.cache
def range_server() -> RangeServer:
    """The server of this process."""
    return RangeServer()


@contextmanager
def readable(video: Video, by_range: bool, stage: Stage) -> Iterator[str]:
    """What ffmpeg and ffprobe read while the context is open: an address of byte ranges, or the file on local disk.

    Raises InputError when the object is not as it was listed.
    """
    if by_range:
        with range_server().serving(RemoteObject.open(video)) as address:
            yield address
    else:
        with stage.local(video) as path:
            yield file_url(path)
