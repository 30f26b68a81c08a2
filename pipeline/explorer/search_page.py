"""The search page, its API, and the pictures of frames."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from ...schemas.errors import UsageError
from .answers import MOMENTS_MOST, PLACES, QUERY_CHARS, Problem, SearchAnswer, SearchIn
from .found_moments import Asked, find, marked
from .state import Explorer

Words = Annotated[str, Query(max_length=QUERY_CHARS, description="what to look for")]
Most = Annotated[int, Query(ge=1, le=MOMENTS_MOST, description="moments to find")]
Where = Annotated[SearchIn, Query(alias="in", description="what is searched")]
Number = Annotated[int, Path(ge=0, le=1 << 62)]

PICTURE_AGE_S = 300
"""How long a browser may keep a picture without asking again."""


def router(explorer: Explorer) -> APIRouter:
    """`/`: one box, and the moments found. `/api/search`: the same for programs. `/api/frames/...`: pictures."""
    routes = APIRouter()

    @routes.get("/", response_class=HTMLResponse, include_in_schema=False)
    def search_page(request: Request, q: Words = "", k: Most = 20, where: Where = "all") -> HTMLResponse:
        found, wrong = None, ""
        if q.strip():
            try:
                found = find(explorer, Asked(q, k, where))
            except UsageError as error:
                wrong = str(error)
        shown = {"q": q, "k": k, "where": where, "places": PLACES, "found": found, "wrong": wrong, "marked": marked}
        return explorer.render(request, "search.html", 400 if wrong else 200, **shown)

    @routes.get("/api/search", tags=["search"], responses={400: {"model": Problem}})
    def search(q: Words, k: Most = 20, where: Where = "all") -> SearchAnswer:
        """The moments for some words, best first: those of `reelbeam search`."""
        return find(explorer, Asked(q, k, where))

    @routes.get("/api/frames/{row}/{tick}.jpg", tags=["videos"], response_class=Response)
    def frame(row: Number, tick: Number) -> Response:
        """A small JPEG of a frame."""
        opened = explorer.opened()
        place = opened.places.frame(row, tick)
        video = opened.dataset.facts.get(place[0]) if place else None
        made = explorer.thumbnails.jpeg(video, place[1]) if place and video else None
        if made is None:
            raise HTTPException(404, "there is no picture of that frame" if place else "there is no such frame")
        return Response(made, media_type="image/jpeg", headers={"cache-control": f"private, max-age={PICTURE_AGE_S}"})

    return routes
