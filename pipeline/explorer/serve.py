"""Runs the explorer's server."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from ...schemas.errors import UsageError
from .app import make_app
from .metrics import COUNTS_FOLDER
from .options import LOOPBACK, ExploreOptions
from .slow_clients import ImpatientProtocol
from .state import Explorer

KEEP_ALIVE_S = 15
"""A connection that asks for nothing is closed after it."""

CONNECTIONS = 512
"""More get 503: slow readers cannot use up this machine."""

LOADING_S = 60
"""A server process that does not answer for so long is replaced: while its models load it may be busy."""

SWITCH_S = 0.0005
"""Longest time for which a thread waits for one that computes in Python, a tenth of Python's own: the thread that reads requests and
sends answers has little to do, and often. With it 16 clients wait a fifth less."""


@dataclass(frozen=True)
class Served:
    """What one server process needs to make its application; it is sent to those beside the first."""

    output: str
    options: ExploreOptions
    token: str | None

    def explorer(self) -> Explorer:
        """Its dataset, open. Raises UsageError where there is none."""
        options = self.options
        return Explorer(self.output, options.name, options.models, options.device, not options.no_signed_urls)

    def __call__(self) -> FastAPI:
        """The application, of a dataset that it opens. Raises as `explorer` does."""
        return self.application(self.explorer())

    def application(self, explorer: Explorer) -> FastAPI:
        """The application of an open dataset, whose models begin to load."""
        # before models load: loading puts back the interval that it finds
        sys.setswitchinterval(SWITCH_S)
        explorer.load_models()
        return make_app(explorer, self.token, {*LOOPBACK, self.options.host.lower()})


def serve(output: str, options: ExploreOptions) -> None:
    """Serves the pages of OUTPUT until it is interrupted. Raises UsageError where there is no dataset or the port is taken."""
    served = Served(output, options, options.token())
    explorer = served.explorer()  # what is wrong with OUTPUT is said before anything is started
    try:
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        listening = socket.create_server((options.host, options.port), family=family)
    except OSError as error:
        raise UsageError(
            f"--host {options.host} --port {options.port}: {error}; cure: --port 0 takes a free one"
        ) from error
    # asyncio sets it only where the protocol's number is stated
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listening:
        host = f"[{options.host}]" if ":" in options.host else options.host
        query = f"?token={served.token}" if served.token else ""
        print(f"http://{host}:{listening.getsockname()[1]}/{query}", flush=True)
        if options.processes == 1:
            uvicorn.Server(server_config(served.application(explorer))).run(sockets=[listening])
            return
        with tempfile.TemporaryDirectory(prefix="reelbeam-counts-") as counts:
            os.environ[COUNTS_FOLDER] = counts
            Multiprocess(server_config(served, options.processes), [listening]).run()


def server_config(app: ASGIApp | Served, processes: int = 1) -> uvicorn.Config:
    """How the pages are served: no request and no reader can take for ever."""
    return uvicorn.Config(
        app,
        factory=isinstance(app, Served),
        workers=processes,
        timeout_worker_healthcheck=LOADING_S,
        http=ImpatientProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=32 << 10,
    )
