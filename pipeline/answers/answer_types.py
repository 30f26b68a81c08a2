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
ROWS_MOST = 200


def frame_address(row: int, tick: int) -> str:
    """The address of a frame's picture.

    >>> frame_address(7, 3)
    '/api/frames/7/3.jpg'
    """
    return f"/api/frames/{row}/{tick}.jpg"


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


class FrameAnswer(BaseModel):
    """One frame."""

    row: int
    tick: int
    at_ms: int
    shot: int
    thumbnail: str


class ShotAnswer(BaseModel):
    """One shot, from its first frame to the next shot's."""

    shot: int
    start_ms: int
    end_ms: int


class SoundAnswer(BaseModel):
    """The sound of one tick."""

    start_ms: int
    end_ms: int
    level_db: float = Field(description="dBFS")
    speech: float = Field(description="share with voice activity")


class TextAnswer(BaseModel):
    """A spoken word, or a line of the screen or the subtitles."""

    kind: str = Field(description="speech, screen or subtitles")
    text: str
    language: str
    start_ms: int
    end_ms: int


class WindowAnswer(BaseModel):
    """One window: its row, and what is wrong with it."""

    row: int
    window: int
    start_ms: int
    end_ms: int
    flags: list[str] = Field(description="why its transcript may be wrong")
    failed: list[str] = Field(description="statuses of what failed there")


class FailureAnswer(BaseModel):
    """Something that went wrong with a video in its newest run; 0 to 0 is the whole video."""

    stage: str
    kind: str
    message: str
    retryable: bool
    start_ms: int
    end_ms: int


class VideoAnswer(BaseModel):
    """One video, and what is stored of it. Long videos come in parts: ask again with from_window = next_window."""

    video_id: str
    uri: str
    name: str
    title: str | None
    description: str | None
    status: str
    duration_ms: int
    container: str | None
    video_codec: str | None
    audio_codec: str | None
    width: int | None
    height: int | None
    fps: float | None
    size_bytes: int
    windows: int
    frames: int
    words: int
    attempts: int
    run: str
    first_window: int
    next_window: int | None
    frames_shown: list[FrameAnswer]
    shots: list[ShotAnswer]
    sound: list[SoundAnswer]
    texts: list[TextAnswer]
    window_spans: list[WindowAnswer]
    failures: list[FailureAnswer]


class SimilarVideo(BaseModel):
    """A video that looks like another."""

    video_id: str
    uri: str
    name: str
    score: float = Field(description="mean cosine of the frames compared, an upper bound")
    at_ms: int = Field(description="where the most similar frame of the video asked for is")
    other_ms: int = Field(description="where its counterpart is in this one")
    thumbnail: str


class RowAnswer(BaseModel):
    """One stored row: a window of a video, without its embeddings."""

    row: int = Field(description="global row number")
    video_id: str
    uri: str
    window: int
    start_ms: int
    end_ms: int
    text: str
    language: str
    statuses: dict[str, str] = Field(description="of each modality")
    frames: list[FrameAnswer]


class RowsAnswer(BaseModel):
    """Rows of a snapshot. Where next_window is stated, there are more: ask again with from_window."""

    snapshot: int
    rows: list[RowAnswer]
    next_window: int | None


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
