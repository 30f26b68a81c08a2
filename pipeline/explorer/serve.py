"""Runs the explorer's server."""

from __future__ import annotations

import socket
import sys

import uvicorn
from starlette.types import ASGIApp

from ...schemas.errors import UsageError
from .app import make_app
from .options import LOOPBACK, ExploreOptions
from .slow_clients import ImpatientProtocol
from .state import Explorer

KEEP_ALIVE_S = 15
"""A connection that asks for nothing is closed after it."""

CONNECTIONS = 512
"""More get 503: slow readers cannot use up this machine."""

SWITCH_S = 0.0005
"""Longest time for which a thread waits for one that computes in Python, a tenth of Python's own: the thread that reads requests and
sends answers has little to do, and often. With it 16 clients wait a fifth less."""


def serve(output: str, options: ExploreOptions) -> None:
    """Serves the pages of OUTPUT until it is interrupted. Raises UsageError where there is no dataset or the port is taken."""
    token = options.token()
    explorer = Explorer(output, options.name, options.models, options.device, not options.no_signed_urls)
    try:
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        listening = socket.create_server((options.host, options.port), family=family)
    except OSError as error:
        raise UsageError(
            f"--host {options.host} --port {options.port}: {error}; cure: --port 0 takes a free one"
        ) from error
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio sets it only where the protocol's number is stated
    explorer.load_models()
    sys.setswitchinterval(SWITCH_S)
    with listening:
        host = f"[{options.host}]" if ":" in options.host else options.host
        print(f"http://{host}:{listening.getsockname()[1]}/{f'?token={token}' if token else ''}", flush=True)
        app = make_app(explorer, token, {*LOOPBACK, options.host.lower()})
        uvicorn.Server(server_config(app)).run(sockets=[listening])


def server_config(app: ASGIApp) -> uvicorn.Config:
    """How the pages are served: no request and no reader can take for ever."""
    return uvicorn.Config(
        app,
        http=ImpatientProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=32 << 10,
    )
