"""One search, as the API and the page show it: by words, by a picture, or by a stored frame."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape

from ...schemas.errors import UsageError
from ...schemas.vector_sources import FRAMES
from ..playing import FramePlaces, Place
from ..search import Moment, Searches
from .answer_types import MomentAnswer, SearchAnswer, SearchIn, frame_address
from .narrowing import LOOKED_THROUGH, Narrowing
from .passing_rows import PassingRows

PICTURE_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
LONGEST_SIDE = 1024
"""To which a picture is reduced at once: the networks see far less."""


@dataclass(frozen=True)
class Asked:
    """What a request looks for: words, a picture (a file's bytes), or a stored frame (row, tick)."""

    q: str = ""
    k: int = 20
    search_in: SearchIn = "all"
    narrowing: Narrowing = field(default_factory=Narrowing)
    picture: bytes | None = None
    like: tuple[int, int] | None = None


def find(
    searches: Searches, places: FramePlaces, asked: Asked, present: Collection[str], passing: PassingRows
) -> SearchAnswer:
    """The moments of a snapshot, of the videos that are `present`: an index may still know one that is gone.

    Raises UsageError for a query that says nothing or cannot be answered.
    """
    vector = vector_of(searches, asked)
    if vector is None and not asked.q.strip():
        raise UsageError("an empty query finds arbitrary moments; say what to look for")

    def look(number: int, among: np.ndarray | None) -> list[Moment]:
        if vector is not None:
            return searches.index.search(vector, number, among)
        return searches.find(asked.search_in, asked.q, number, among)

    moments, more = asked.narrowing.best(look, asked.k, places, lambda video_id: video_id not in present, passing.of)
    where: SearchIn = asked.search_in if vector is None else "frames"
    notes = [*unsearched(searches, where)]
    if more:
        notes.append(f"only the best {LOOKED_THROUGH} moments were looked through for those that pass the filters")
    return SearchAnswer(
        query=asked.q,
        search_in=where,
        snapshot=searches.dataset.snapshot.number,
        moments=as_answers(moments, places),
        notes=notes,
    )


def vector_of(searches: Searches, asked: Asked) -> np.ndarray | None:
    """float32 [D] of a picture or a stored frame; None for words. Raises UsageError for what cannot be read."""
    if asked.like is not None:
        row, tick = asked.like
        shape = searches.dataset.snapshot.shape
        FRAMES.dimension(shape)
        known = 0 <= row < searches.dataset.snapshot.next_row and 0 <= tick < shape.ticks
        held = searches.dataset.take([row], ["frame_embedding", "tick_valid"]) if known else {}
        if row not in held or not held[row]["tick_valid"][tick]:
            raise UsageError(f"there is no frame {row}/{tick}; give one that an answer has named")
        found: np.ndarray = held[row]["frame_embedding"][tick].astype(np.float32)
        return found
    if asked.picture is not None:
        pixels = pixels_of(asked.picture)
        encoded: np.ndarray = searches.index.encoder(searches.models, searches.device).encode(pixels[None])[0]
        return encoded
    return None


def pixels_of(picture: bytes) -> np.ndarray:
    """uint8 [h, w, 3] of a picture's file. Raises UsageError for one that is too large or cannot be read."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(picture), formats=FORMATS) as opened:
            if opened.width * opened.height > PICTURE_PIXELS:
                raise UsageError(
                    f"the picture has {opened.width} x {opened.height} pixels, at most {PICTURE_PIXELS} are wanted"
                )
            opened.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
            opened.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            return np.asarray(opened.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UsageError(f"the picture cannot be read: {error}; wanted is one of {', '.join(FORMATS)}") from error


def as_answers(moments: Sequence[Moment], places: FramePlaces) -> list[MomentAnswer]:
    """The moments with the frames that show them: those that they were found by, else the nearest ones."""
    others = iter(places.frames_at([(one.video_id, one.best_ms) for one in moments if one.row is None]))
    frames = [next(others) if one.row is None else Place(one.row, one.tick or 0, one.best_ms) for one in moments]
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
            thumbnail=frame_address(frame.row, frame.tick) if frame else None,
        )
        for rank, (one, frame) in enumerate(zip(moments, frames, strict=True), 1)
    ]


def unsearched(searches: Searches, where: SearchIn) -> list[str]:
    """What a search could not look at, as `reelbeam search` says it."""
    notes, output = [], searches.dataset.storage.root
    frames = FRAMES.is_stored(searches.dataset.snapshot.shape) and searches.dataset.snapshot.counts.get("frames", 0)
    if where in ("frames", "all") and frames and (missing := searches.index.missing_frames):
        notes.append(f"{missing} frames are newer than the index and are not searched; cure: reelbeam index {output}")
    if where in ("words", "screen", "subtitles", "all") and searches.has_words and searches.words.index.stale:
        notes.append(f"windows newer than the index of words are not found; cure: reelbeam index {output} --of words")
    if where == "all" and (why := searches.unsearched_speech):
        notes.append(f"speech is not searched by meaning: {why}")
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
