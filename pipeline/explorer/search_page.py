"""The search page, its API, and the pictures of frames."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter, Body, Depends, File, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from ...schemas.errors import UsageError
from ..answers import (
    MOMENTS_MOST,
    PLACES,
    QUERY_CHARS,
    Asked,
    FramePictures,
    Narrowing,
    Problem,
    SearchAnswer,
    SearchIn,
    find,
    picture_type,
)
from .state import MODELS_S, Explorer

Words = Annotated[str, Query(max_length=QUERY_CHARS, description="what to look for")]
Most = Annotated[int, Query(ge=1, le=MOMENTS_MOST, description="moments to find")]
Where = Annotated[SearchIn, Query(alias="in", description="what is searched")]
Like = Annotated[
    str, Query(pattern=r"^([0-9]{1,18}/[0-9]{1,6})?$", description="row/tick of a frame: what looks like it")
]
Number = Annotated[int, Path(ge=0, le=1 << 62)]
Short = Annotated[str, Query(max_length=200)]
Ms = Annotated[int, Query(ge=0, le=1 << 40)]


async def narrowed(
    uri: Short = "", language: Short = "", present: Short = "", start_ms: Ms = 0, end_ms: Ms = 0
) -> Narrowing:
    """The filters of a request; an end of 0 is none. A function that is not async would wait for a thread."""
    return Narrowing(uri, language, present, start_ms, end_ms or None)


Filters = Annotated[Narrowing, Depends(narrowed)]


def like_of(text: str) -> tuple[int, int] | None:
    """
    >>> like_of("12/3"), like_of("")
    ((12, 3), None)
    """
    row, _, tick = text.partition("/")
    return (int(row), int(tick)) if text else None


def router(explorer: Explorer) -> APIRouter:
    """`/`: one box, and the moments found. `/api/search`: the same for programs. `/api/frames/...`: pictures."""
    routes = APIRouter()

    def answer(asked: Asked) -> SearchAnswer:
        opened = explorer.opened()  # a newer snapshot loads anew, so this comes first
        if not explorer.models.wait(MODELS_S):
            raise UsageError(f"the query models are still loading after {MODELS_S} s; try again later")
        return find(opened.searches, opened.places, asked, opened.facts.keys(), opened.passing)

    def page_of(request: Request, asked: Asked) -> HTMLResponse:
        """The page with what was found, or with what is wrong with the question."""
        found, wrong = None, ""
        if asked.q.strip() or asked.like or asked.picture:
            try:
                found = answer(asked)
            except UsageError as error:
                wrong = str(error)
        kept = {name: value for name, value in vars(asked.narrowing).items() if value}
        shown = {"asked": asked, "places": PLACES, "found": found, "wrong": wrong, "kept": kept}
        shape = explorer.dataset().snapshot.shape
        known = [name for name in shape.modalities if f"{name}_status" not in shape.off_columns]
        return explorer.render(
            request, "search.html", 400 if wrong else 200, known=known, rest=urlencode(kept), **shown
        )

    @routes.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def search_page(
        request: Request, filters: Filters, q: Words = "", k: Most = 20, where: Where = "all", like: Like = ""
    ) -> HTMLResponse:
        asked = Asked(q, k, where, filters, None, like_of(like))
        if not (asked.q.strip() or asked.like):
            return await to_thread.run_sync(page_of, request, asked)
        return await explorer.in_turn(request, lambda: page_of(request, asked))

    @routes.post("/", response_class=HTMLResponse, include_in_schema=False)
    async def picture_page(request: Request, filters: Filters, picture: Annotated[bytes, File()]) -> HTMLResponse:
        return await explorer.in_turn(request, lambda: page_of(request, Asked(narrowing=filters, picture=picture)))

    @routes.get("/api/search", tags=["search"], responses={400: {"model": Problem}})
    async def search(
        request: Request, filters: Filters, q: Words = "", k: Most = 20, where: Where = "all", like: Like = ""
    ) -> SearchAnswer:
        """The moments for some words or a stored frame, best first: those of `reelbeam search`."""
        asked = Asked(q, k, where, filters, None, like_of(like))
        return await explorer.in_turn(request, lambda: answer(asked))

    @routes.post("/api/search/picture", tags=["search"], responses={400: {"model": Problem}})
    async def search_picture(
        request: Request,
        filters: Filters,
        picture: Annotated[bytes, Body(media_type="application/octet-stream")],
        k: Most = 20,
    ) -> SearchAnswer:
        """The moments that look like a picture: JPEG, PNG, WebP, GIF or BMP."""
        asked = Asked("", k, "frames", filters, picture)
        return await explorer.in_turn(request, lambda: answer(asked))

    @routes.get("/api/frames/{row}/{tick}.jpg", tags=["videos"], response_class=Response)
    async def frame(row: Number, tick: Number) -> Response:
        """A small picture of a frame: the WebP that is stored, or a JPEG made of the video."""
        return await explorer.pictured(lambda: picture_of(row, tick))

    def picture_of(row: int, tick: int) -> Response:
        opened = explorer.opened()
        found = FramePictures(opened.places, opened.stored, explorer.thumbnails).picture(row, tick)
        if found is None:
            raise HTTPException(404, "there is no such frame, or no picture of it")
        return Response(found, media_type=picture_type(found))

    return routes
