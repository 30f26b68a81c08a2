"""Filters of a search: which of the moments found are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from ...schemas.errors import UsageError
from ...schemas.tables import OK
from ..playing import FramePlaces
from ..search import Moment

LOOKED_THROUGH = 2_000
"""Most moments that are looked through for those that pass, of rows that may."""


@dataclass(frozen=True)
class Narrowing:
    """Conditions on a moment. The empty one passes all."""

    uri: str = ""
    """A pattern: `*` stands for any text, `?` for one letter."""
    language: str = ""
    """Of the speech in the window of its best frame, as Whisper names it."""
    present: str = ""
    """A modality that this window has."""
    start_ms: int = 0
    end_ms: int | None = None
    """The moment begins in [start_ms, end_ms)."""

    def passing(self, moments: Sequence[Moment], places: FramePlaces) -> list[Moment]:
        """Those that pass. Raises UsageError for a modality that the dataset does not have, or that is off."""
        kept = [
            one
            for one in moments
            if (not self.uri or fnmatchcase(one.uri, self.uri))
            and self.start_ms <= one.best_ms
            and (self.end_ms is None or one.best_ms < self.end_ms)
        ]
        if not (self.language or self.present):
            return kept
        known = places.dataset.snapshot.shape.modalities
        if self.present and self.present not in known:
            raise UsageError(f"present {self.present}: choose from {', '.join(known)}")
        shape = places.dataset.snapshot.shape
        columns = ["language", *([f"{self.present}_status"] if self.present else [])]
        shape.check_on(*columns[0 if self.language else 1 :])
        rows = [places.row_at(one.video_id, one.best_ms) for one in kept]
        held = places.dataset.take(sorted({row for row in rows if row is not None}), columns)
        return [
            one
            for one, row in zip(kept, rows, strict=True)
            if row in held
            and (not self.language or held[row]["language"] == self.language)
            and (not self.present or held[row][f"{self.present}_status"] == OK)
        ]

    def best(
        self,
        look: Callable[[int, np.ndarray | None], list[Moment]],
        k: int,
        places: FramePlaces,
        gone: Callable[[str], bool],
        rows_of: Callable[[Narrowing], np.ndarray],
    ) -> tuple[list[Moment], bool]:
        """The k best moments that pass, without videos that are gone; and whether there may be more beyond LOOKED_THROUGH.

        `look(number, among)` finds that many in all rows, or among some. The best of all are looked at first, which often is enough;
        then only the rows of `rows_of(self)` are searched, so that what is rare is found too.
        """
        asked, among = k if self == Narrowing() else 4 * k, None
        while True:
            found = look(asked, among)
            kept = self.passing([one for one in found if not gone(one.video_id)], places)
            if len(kept) >= k or (len(found) < asked and (among is not None or self == Narrowing())):
                return kept[:k], False
            if asked >= LOOKED_THROUGH:
                return kept, self != Narrowing()
            if among is None and self != Narrowing():
                among = rows_of(self)
            else:
                asked = min(4 * asked, LOOKED_THROUGH)
