"""What the API answers with."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

SearchIn = Literal["all", "frames", "speech", "fused", "titles", "words", "screen", "subtitles"]

PLACES: tuple[tuple[SearchIn, str], ...] = (
    ("all", "everything"),
    ("frames", "frames"),
    ("speech", "speech, by meaning"),
    ("words", "exact words"),
    ("screen", "words on the screen"),
    ("subtitles", "subtitles"),
    ("titles", "titles"),
)
"""What is searched, and how a page calls it."""

QUERY_CHARS = 500
MOMENTS_MOST = 100


class MomentAnswer(BaseModel):
    """One moment. Times are in ms on the video's presentation clock, spans are half-open."""

    rank: int
    video_id: str
    uri: str
    name: str = Field(description="the last part of the uri")
    start_ms: int
    end_ms: int
    best_ms: int = Field(description="where its best frame is, or where its words begin")
    score: float
    text: str
    highlights: list[tuple[int, int]] = Field(description="half-open spans of characters of the text")
    note: str
    row: int | None = Field(description="global row number of the frame nearest to best_ms")
    tick: int | None
    thumbnail: str | None = Field(description="address of that frame's picture")


class SearchAnswer(BaseModel):
    """The moments found, best first."""

    query: str
    search_in: SearchIn
    snapshot: int
    moments: list[MomentAnswer]
    notes: list[str] = Field(description="what was not searched, and the cure")


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
