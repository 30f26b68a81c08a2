"""The explorer's application: its routers, its static files, its errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from ...schemas.errors import ReelbeamError, UsageError
from ..rendering import STATIC
from . import search_page, survey_pages, video_page
from .access import Guard, problem
from .metrics import Counted, Counts
from .options import LOOPBACK
from .state import Explorer

log = logging.getLogger("reelbeam")

ROUTERS: tuple[Callable[[Explorer], APIRouter], ...] = (search_page.router, video_page.router, survey_pages.router)
"""One for each family of pages, in the order of the navigation."""


def make_app(explorer: Explorer, token: str | None = None, hosts: Collection[str] = LOOPBACK) -> FastAPI:
    """The pages and the API of one dataset. With a token, only who gives it may read; without, only requests for `hosts` are answered."""
    app = FastAPI(title="Reelbeam explorer", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for router in ROUTERS:
        app.include_router(router(explorer))
    counts = Counts(explorer)
    app.include_router(counts.router())

    @app.get("/api", include_in_schema=False)
    def api_page(request: Request) -> Response:
        """The API for people: OpenAPI's own pages load scripts from other hosts."""
        return explorer.render(request, "api.html", api=app.openapi())

    def failed(request: Request, status: int, title: str, detail: str = "") -> Response:
        """An error as a page for people, as problem+json for programs."""
        if request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
            return problem(status, title, detail)
        return explorer.render(request, "problem.html", status, title=title, detail=detail)

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> Response:
        return failed(request, error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    def wrong_request(request: Request, error: RequestValidationError) -> Response:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        return failed(request, 422, "the request is not valid", wrong)

    @app.exception_handler(ReelbeamError)
    def known_error(request: Request, error: ReelbeamError) -> Response:
        return failed(request, 400 if isinstance(error, UsageError) else 503, "this cannot be answered", str(error))

    @app.exception_handler(Exception)
    def fault(request: Request, error: Exception) -> Response:
        log.error("%s: %s", request.url.path, error, exc_info=error)
        return problem(500, "a fault in the program", "the log of the server says more")

    app.add_middleware(Guard, token=token, hosts=hosts)
    app.add_middleware(Counted, counts=counts)  # outermost: the guard's answers count too
    return app
