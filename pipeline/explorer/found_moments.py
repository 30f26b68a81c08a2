"""One search, as the API and the page show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from ...schemas.errors import UsageError
from ..playing import FramePlaces
from ..search import Moment, Searches
from .answers import MomentAnswer, SearchAnswer, SearchIn
from .state import Explorer

WAIT_S = 60
"""Longest wait for the query models."""


@dataclass(frozen=True)
class Asked:
    """What a request looks for."""

    q: str
    k: int = 20
    search_in: SearchIn = "all"


def find(explorer: Explorer, asked: Asked) -> SearchAnswer:
    """The moments of the current snapshot. Raises UsageError for a query that says nothing or cannot be answered."""
    if not asked.q.strip():
        raise UsageError("an empty query finds arbitrary moments; say what to look for")
    if not explorer.models.wait(WAIT_S):
        raise UsageError(f"the query models are still loading after {WAIT_S} s; try again later")
    opened = explorer.opened()
    moments = opened.searches.find(asked.search_in, asked.q, asked.k)
    # an index may still know a video that is gone
    moments = [one for one in moments if one.video_id in opened.dataset.facts]
    return SearchAnswer(
        query=asked.q,
        search_in=asked.search_in,
        snapshot=opened.dataset.snapshot.number,
        moments=as_answers(moments, opened.places, explorer),
        notes=[*unsearched(opened.searches, asked.search_in)],
    )


def as_answers(moments: Sequence[Moment], places: FramePlaces, explorer: Explorer) -> list[MomentAnswer]:
    """The moments with the frames that show them."""
    frames = places.frames_at([(one.video_id, one.best_ms) for one in moments])
    return [
        MomentAnswer(
            rank=rank,
            video_id=one.video_id,
            uri=one.uri,
            name=one.uri.rpartition("/")[2],
            start_ms=one.start_ms,
            end_ms=one.end_ms,
            best_ms=one.best_ms,
            score=one.score,
            text=one.text,
            highlights=[*one.highlights],
            note=one.note,
            row=frame.row if frame else None,
            tick=frame.tick if frame else None,
            thumbnail=explorer.thumbnail_url(frame.row, frame.tick) if frame else None,
        )
        for rank, (one, frame) in enumerate(zip(moments, frames, strict=True), 1)
    ]


def unsearched(searches: Searches, where: SearchIn) -> list[str]:
    """What a search could not look at, as `reelbeam search` says it."""
    notes, output = [], searches.dataset.storage.root
    frames = searches.dataset.snapshot.counts.get("frames", 0)
    if where in ("frames", "all") and frames and (missing := searches.index.missing_frames):
        notes.append(f"{missing} frames are newer than the index and are not searched; cure: reelbeam index {output}")
    if where in ("words", "screen", "subtitles", "all") and searches.has_words and searches.words.index.stale:
        notes.append(f"windows newer than the index of words are not found; cure: reelbeam index {output} --of words")
    return notes


def marked(text: str, highlights: Sequence[tuple[int, int]]) -> Markup:
    """A text with its highlights as marks, all of it escaped.

    >>> marked("a <b> c", [(2, 5)])
    Markup('a <mark>&lt;b&gt;</mark> c')
    """
    parts, at = [], 0
    for start, end in sorted(highlights):
        parts += [escape(text[at:start]), Markup("<mark>"), escape(text[start:end]), Markup("</mark>")]
        at = end
    return Markup("").join([*parts, escape(text[at:])])
