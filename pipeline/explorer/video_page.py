"""The page of one video with its player and timeline, the facts behind it, and the video's own bytes."""

from __future__ import annotations

from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from pydantic import Field

from ...schemas.addresses import is_remote
from ...schemas.byte_ranges import ByteRange, asked_range
from ...schemas.errors import UsageError
from ..answers import (
    ROWS_MOST,
    Problem,
    RowsAnswer,
    SimilarVideo,
    VideoAnswer,
    described,
    rows_answer,
    rows_of_video,
    similar_videos,
)
from ..playing import OBJECT_BYTES, PIECE_S, pieces, size_of
from .access import policy
from .state import Explorer

VideoId = Annotated[str, Path(pattern="^[0-9a-f]{1,64}$")]
Instant = Annotated[int, Query(ge=0, le=1 << 40, description="where the player starts, in ms")]
Range = Annotated[str, Header(alias="range", max_length=200)]
Proxied = Annotated[bool, Query(description="never send to the bucket")]
Piece = Annotated[int, Path(ge=0, le=1 << 20)]
RowNumbers = Annotated[
    list[Annotated[int, Field(ge=0, le=1 << 62)]],
    Query(default_factory=list, alias="row", max_length=ROWS_MOST, description="global row numbers"),
]
OfVideo = Annotated[str, Query(pattern="^[0-9a-f]{0,64}$", description="the video whose rows are wanted")]
Rows = Annotated[int, Query(ge=1, le=ROWS_MOST, description="most rows of a video")]
Videos = Annotated[int, Query(ge=1, le=50, description="most videos")]
Window = Annotated[int, Query(ge=0, le=1 << 40, description="first window to describe")]

TYPES = (
    ("mov,mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("ogg", "video/ogg"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/wav"),
)
"""Part of ffmpeg's name of a container -> the type that a browser is told; never one that it would show as a page."""


def media_type(container: str) -> str:
    """
    >>> media_type("mov,mp4,m4a,3gp,3g2,mj2"), media_type("mxf")
    ('video/mp4', 'application/octet-stream')
    """
    return next((kind for part, kind in TYPES if part in container), "application/octet-stream")


def router(explorer: Explorer) -> APIRouter:
    """`/videos/{id}`, `/api/videos/{id}`, `/api/windows` and `/api/media/{id}`. Only videos of the current snapshot, by id."""
    routes = APIRouter()

    def video_of(video_id: str) -> dict[str, Any]:
        row = explorer.opened().facts.get(video_id)
        if row is None:
            raise HTTPException(404, "there is no such video")
        return row

    def facts_of(video_id: str, first: int) -> VideoAnswer:
        row, opened = video_of(video_id), explorer.opened()
        return described(opened.dataset, opened.places, row, first)

    @routes.get("/videos/{video_id}", response_class=HTMLResponse, include_in_schema=False)
    def video_page(request: Request, video_id: VideoId, at_ms: Instant = 0, from_window: Window = 0) -> HTMLResponse:
        grid = explorer.dataset().snapshot.grid
        window_ms = grid.window_ticks * 1000 / float(grid.tick_hz)
        first = from_window or max(0, int(at_ms / window_ms) - 30)  # the moment, and five minutes before it
        facts = facts_of(video_id, first if at_ms > 1_800_000 or from_window else 0)
        origin = explorer.signed.origin(facts.uri)
        page = explorer.render(
            request,
            "video.html",
            video=facts,
            media=f"/api/media/{video_id}",
            at_ms=at_ms,
            piece_ms=PIECE_S * 1000,
            is_signed=bool(origin),
            has_index=explorer.index_name in explorer.dataset().snapshot.indexes,
        )
        page.headers["content-security-policy"] = policy(origin)
        return page

    @routes.get("/api/videos/{video_id}", tags=["videos"], responses={404: {"model": Problem}})
    def video(video_id: VideoId, from_window: Window = 0) -> VideoAnswer:
        """What is stored of a video: frames, shots, texts, sound, failures."""
        return facts_of(video_id, from_window)

    @routes.get("/api/videos/{video_id}/similar", tags=["videos"], responses={404: {"model": Problem}})
    async def similar(request: Request, video_id: VideoId, k: Videos = 6) -> list[SimilarVideo]:
        """The videos that look most like a video."""
        return await explorer.in_turn(request, lambda: similar_to(video_id, k))

    def similar_to(video_id: str, k: int) -> list[SimilarVideo]:
        opened = explorer.opened()
        video_of(video_id)
        return similar_videos(opened.searches.index, opened.places, video_id, k, opened.facts.keys())

    @routes.get("/api/windows", tags=["videos"], responses={400: {"model": Problem}, 404: {"model": Problem}})
    def windows(
        rows: RowNumbers,
        video_id: OfVideo = "",
        from_window: Window = 0,
        k: Rows = 50,
    ) -> RowsAnswer:
        """Stored rows, without embeddings: those of a video in order, or some by number."""
        if bool(rows) == bool(video_id):
            raise UsageError("give either video_id, or row once or more")
        opened = explorer.opened()
        if rows:
            return rows_answer(opened.dataset, rows, opened.facts.keys())
        return rows_of_video(opened.dataset, opened.places, video_of(video_id)["video_id"], from_window, k)

    @routes.get("/api/media/{video_id}", tags=["videos"], response_class=Response)
    def media(video_id: VideoId, range_asked: Range = "", proxied: Proxied = False) -> Response:
        """The video's bytes, whole or by range; or where the bucket itself gives them, for some minutes."""
        row = video_of(video_id)
        if not proxied and (signed := explorer.signed.url(row["uri"])):
            return RedirectResponse(signed, 307)
        return ranged(explorer, row["uri"], range_asked, media_type(row["container"] or ""))

    @routes.get("/api/previews/{video_id}/{piece}.mp4", tags=["videos"], response_class=Response)
    async def preview(video_id: VideoId, piece: Piece, range_asked: Range = "") -> Response:
        """A minute of the video as a small MP4, for what browsers cannot play."""
        return await explorer.pictured(lambda: preview_of(video_id, piece, range_asked))

    def preview_of(video_id: str, piece: int, range_asked: str) -> Response:
        row = video_of(video_id)
        made = explorer.previews.piece(row, piece) if piece * PIECE_S * 1000 <= row["duration_ms"] else None
        if made is None:
            raise HTTPException(404, "there is no preview of that part")
        return ranged(explorer, str(made), range_asked, "video/mp4")

    return routes


def ranged(explorer: Explorer, uri: str, range_asked: str, kind: str) -> Response:
    """The bytes of a file or object, whole or by range. Raises HTTPException where it is gone."""
    try:
        size = size_of(uri, explorer.sources.buckets)
    except (FileNotFoundError, PermissionError) as error:
        raise HTTPException(404, "the video is not where it was extracted from") from error
    try:
        span = asked_range(range_asked, size)
    except ValueError:
        return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
    given = span or ByteRange(0, size)
    if span and is_remote(uri):
        given = ByteRange(span.start, min(span.end, span.start + OBJECT_BYTES))
    headers = {"accept-ranges": "bytes", "content-length": str(given.end - given.start)}
    if span:
        headers["content-range"] = f"bytes {given.start}-{given.end - 1}/{size}"
    parts = pieces(uri, given, explorer.sources.buckets)
    first = next(parts, b"")  # before the answer begins, so that it can say what fails
    return StreamingResponse(chain([first], parts), 206 if span else 200, headers, kind)
