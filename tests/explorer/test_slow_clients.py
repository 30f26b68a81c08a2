"""Who sends or reads slowly keeps nobody waiting, and does not stay."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from nights import World, move_video

from reelbeam.pipeline.explorer import Explorer, make_app, slow_clients
from reelbeam.pipeline.explorer.serve import server_config

pytestmark = pytest.mark.slow

MANY = 60
"""More than the threads that answer."""

LARGE_BYTES = 64 << 20
"""More than the buffers of two sockets hold."""


@pytest.fixture
def server(first_world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[uvicorn.Server, Explorer, int]]:
    """A server as `reelbeam explore` runs it, with less patience: itself, its explorer, its port."""
    for name, limit_s in (("HEADERS_S", 1.5), ("BODY_S", 1.5), ("READING_S", 1.5)):
        monkeypatch.setattr(slow_clients, name, limit_s)
    explorer = Explorer(str(first_world.output))
    running = uvicorn.Server(server_config(make_app(explorer)))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        while not running.started:
            time.sleep(0.02)
        try:
            yield running, explorer, listening.getsockname()[1]
        finally:
            running.should_exit = True
            thread.join(30)


def answered_s(port: int, path: str = "/health") -> float:
    """Seconds until another visitor has a page."""
    started = time.monotonic()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as page:
        assert page.status == 200
        page.read()
    return time.monotonic() - started


def wait_until_closed(server: uvicorn.Server, longest_s: float = 8) -> None:
    end = time.monotonic() + longest_s
    while server.server_state.connections:
        assert time.monotonic() < end, f"{len(server.server_state.connections)} connections stay"
        time.sleep(0.05)


def drip(sockets: list[socket.socket], content: bytes, for_s: float) -> None:
    """Sends a byte to each every 0.1 s: some bytes are no progress."""
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.send(content)
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"x"),
        (b"POST /api/search/picture HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n", b"x"),
    ],
    ids=["says nothing", "slow headers", "slow body"],
)
def test_slow_senders_are_closed_and_others_are_answered(
    server: tuple[uvicorn.Server, Explorer, int], begin: bytes, more: bytes
) -> None:
    running, _, port = server
    answered_s(port)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(MANY)]
        for one in sockets:
            one.sendall(begin)
        assert answered_s(port) < 2
        drip(sockets, more, 2.5)
        wait_until_closed(running, 2)


def test_slow_readers_are_closed_and_others_are_answered(
    server: tuple[uvicorn.Server, Explorer, int], tmp_path: Path
) -> None:
    running, explorer, port = server
    video_id = move_video(explorer.dataset(), "desk.mp4", large := tmp_path / "large.mp4")
    with open(large, "wb") as file:
        file.truncate(LARGE_BYTES)
    asked = f"GET /api/media/{video_id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(MANY)]
        for one in sockets:
            one.sendall(asked)
        assert answered_s(port) < 3
        wait_until_closed(running)
        assert answered_s(port) < 2


def test_a_steady_reader_gets_everything(server: tuple[uvicorn.Server, Explorer, int], tmp_path: Path) -> None:
    _, explorer, port = server
    video_id = move_video(explorer.dataset(), "desk.mp4", large := tmp_path / "large.mp4")
    with open(large, "wb") as file:
        file.truncate(LARGE_BYTES // 4)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/media/{video_id}", timeout=20) as answer:
        got = 0
        while part := answer.read(2 << 20):
            got += len(part)
            time.sleep(0.4)
    assert got == LARGE_BYTES // 4


def test_two_requests_on_one_connection_with_a_pause(server: tuple[uvicorn.Server, Explorer, int]) -> None:
    _, _, port = server
    one = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(one):
        for _ in range(2):
            one.request("GET", "/static/style.css")
            answer = one.getresponse()
            assert answer.status == 200
            assert answer.read()
            time.sleep(2)  # longer than a request may take
