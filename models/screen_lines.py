"""Lines of text on a screen over time: readings of one line become one entry, also where it moves as a ticker does.

In:  the lines of each reading, and when it was made.
Out: entries, each from the first reading that shows it to the first that does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import groupby
from typing import NamedTuple

SAME_PLACE = 0.5
"""Least overlap (intersection over union) of the boxes of two readings of one line that stands."""

LONGEST_SLIP, MOST_SLIPS, SHORT = 2, 0.15, 6
"""Compression makes letters be read otherwise now and then. Two readings are of one line when at most this many letters in a row
differ, and at most this share of all; no digit may differ, and in shorter lines nothing may."""

LEAST_MOVING, AT_EDGE = 6, 3
"""A line that moves shows at least this many of its letters again, all but this many at its edges."""

MOVED = 0.01
"""Least way of an edge of a moving line between two readings, as a share of the picture's width."""

EDGE = 0.05
"""A box that ends nearer to the picture's edge than this may go on beyond it."""

SAME_ROW = 0.5
"""Least share of the lower of two boxes that the other covers from top to bottom, where both are of one row."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the picture's width and height, 0 to 1."""


@dataclass(frozen=True)
class Line:
    """One line of text in one frame."""

    text: str
    box: Box
    confidence: float


@dataclass(frozen=True)
class Entry:
    """One line of text over the time that it is on the screen, on the presentation clock."""

    line: Line
    start_ms: int
    end_ms: int


class Letter(NamedTuple):
    """A letter of a moving line."""

    letter: str
    spaced: bool
    """Whether some reading has a space before it."""
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Shown:
    """A line that is on the screen, as far as it has been read."""

    line: Line
    """The last reading."""
    surest: Line
    """The reading of the highest confidence."""
    start_ms: int
    end_ms: int
    letters: tuple[Letter, ...] = ()
    """Of a line that moves: all letters that have come in."""
    first: int = 0
    """The place among them of the first letter of the last reading."""

    def stays(self, line: Line, until_ms: int) -> Shown:
        """The same after a reading that shows it at its place."""
        surest = max(self.surest, line, key=lambda one: one.confidence)
        if not self.letters:
            return replace(self, line=line, surest=surest, end_ms=until_ms)
        gone, here = self.letters[: self.first], self.letters[self.first :]
        last = replace(self.line, box=line.box)
        if len(squeezed(line.text)) == len(here) and line.confidence >= self.line.confidence:
            last, read = line, letters_of(line.text, self.start_ms, until_ms)
            here = tuple(
                old._replace(letter=new.letter, spaced=old.spaced or new.spaced)
                for old, new in zip(here, read, strict=True)
            )
        letters = (*gone, *(one._replace(end_ms=until_ms) for one in here))
        return replace(self, line=last, surest=surest, end_ms=until_ms, letters=letters)

    def moves(self, line: Line, same: Same, start_ms: int, until_ms: int) -> Shown:
        """The same after a reading that shows it further on, and has `same` in common with the last one."""
        letters = self.letters or tuple(letters_of(self.line.text, self.start_ms, self.end_ms))
        here, known = [*letters_of(line.text, start_ms, until_ms)], self.first + same.before
        first = known - same.after
        again = [
            old._replace(spaced=old.spaced or new.spaced)
            for old, new in zip(letters[known : known + same.size], here[same.after :], strict=False)
        ]
        whole = [*letters[:known], *again, *here[same.after + same.size :]]
        whole[first:] = [one._replace(end_ms=until_ms) for one in whole[first:]]
        surest = replace(max(self.surest, line, key=lambda one: one.confidence), box=around(self.surest.box, line.box))
        return replace(self, line=line, surest=surest, end_ms=until_ms, letters=tuple(whole), first=first)

    def entries(self) -> Iterator[Entry]:
        """One entry; of a moving line that is never seen whole, one for the words that come in together."""
        if not self.letters:
            yield Entry(self.surest, self.start_ms, self.end_ms)
            return
        words = [word_of(letters) for letters in words_of(self.letters)]
        if max(word.start_ms for word in words) < min(word.end_ms for word in words):
            yield Entry(replace(self.surest, text=" ".join(word.text for word in words)), self.start_ms, self.end_ms)
            return
        for start_ms, together in groupby(words, key=lambda word: word.start_ms):
            part = [*together]
            line = replace(self.surest, text=" ".join(word.text for word in part))
            yield Entry(line, start_ms, max(word.end_ms for word in part))


class Same(NamedTuple):
    """What two readings of a moving line have in common, in letters without spaces."""

    before: int
    """Its place in the earlier reading."""
    after: int
    """Its place in the later one."""
    size: int


class Word(NamedTuple):
    """A word of a moving line, and when all of it is there."""

    text: str
    start_ms: int
    end_ms: int


def letters_of(text: str, start_ms: int, end_ms: int) -> Iterator[Letter]:
    """The letters of a text, each with whether a space stands before it. Before the first one is the edge of the picture."""
    for number, word in enumerate(text.split()):
        for at, letter in enumerate(word):
            yield Letter(letter, at == 0 and number > 0, start_ms, end_ms)


def words_of(letters: Sequence[Letter]) -> Iterator[list[Letter]]:
    """The letters of each word."""
    word: list[Letter] = []
    for one in letters:
        if one.spaced and word:
            yield word
            word = []
        word.append(one)
    yield word


def word_of(letters: Sequence[Letter]) -> Word:
    """A word: it is there while all of its letters are, or from the first to the last of them where they never are."""
    start_ms, end_ms = max(one.start_ms for one in letters), min(one.end_ms for one in letters)
    if start_ms >= end_ms:
        start_ms, end_ms = min(one.start_ms for one in letters), max(one.end_ms for one in letters)
    return Word("".join(one.letter for one in letters), start_ms, end_ms)


def joined(readings: Sequence[Sequence[Line]], pts_ms: Sequence[int], end_ms: int) -> list[Entry]:
    """Lines of text over time: a line that a following reading shows again goes on, with the reading of the highest confidence.

    `pts_ms` are the times of the readings. What the last reading shows stays until `end_ms`.

    >>> one = Line("Hello", (0, 0, 0.5, 0.1), 0.9)
    >>> [(entry.line.text, entry.start_ms, entry.end_ms) for entry in joined([[one], [one], []], [0, 1000, 4000], 9000)]
    [('Hello', 0, 4000)]
    """
    done: list[Shown] = []
    standing: list[Shown] = []
    ends = [*pts_ms[1:], max(end_ms, *pts_ms[-1:])] if pts_ms else []
    for lines, start_ms, until_ms in zip(readings, pts_ms, ends, strict=True):
        before, standing = standing, []
        fresh: list[Line] = []
        for line in lines:
            match = next((one for one in before if is_same(one.line, line)), None)
            if match is None:
                fresh.append(line)
            else:
                before.remove(match)
                standing.append(match.stays(line, until_ms))
        for line in fresh:
            moving = [(same.size, one, same) for one in before if (same := moved_on(one.line, line))]
            if moving:
                _, match, same = max(moving, key=lambda one: one[0])
                before.remove(match)
                standing.append(match.moves(line, same, start_ms, until_ms))
            else:
                standing.append(Shown(line, line, start_ms, until_ms))
        done += before
    entries = [entry for shown in (*done, *standing) for entry in shown.entries()]
    return sorted(entries, key=lambda one: (one.start_ms, one.line.box[1], one.line.box[0]))


def is_same(one: Line, two: Line) -> bool:
    """Whether two readings show the same line at the same place.

    >>> place = (0.1, 0.1, 0.5, 0.2)
    >>> is_same(Line("Revenue", place, 1), Line("Revenve", place, 1)), is_same(Line("one", place, 1), Line("two", place, 1))
    (True, False)
    """
    if overlap(one.box, two.box) < SAME_PLACE:
        return False
    return squeezed(one.text) == squeezed(two.text) or (reads_alike(one.text, two.text) and not moved_on(one, two))


def squeezed(text: str) -> str:
    """A text without its spaces, which readers leave out now and then."""
    return "".join(text.split())


def reads_alike(one: str, two: str) -> bool:
    """Whether two texts differ by slips of the reader alone. Spaces and case do not count.

    >>> reads_alike("Revenue grew by 14%", "Revenvegrew by 14 %"), reads_alike("Costs of 2025", "Costs of 2026")
    (True, False)
    >>> reads_alike("Costs of the valley plan", "Costs of the lantern plan"), reads_alike("Total", "Totel")
    (False, False)
    """
    one, two = squeezed(one.lower()), squeezed(two.lower())
    if one == two:
        return True
    if min(len(one), len(two)) < SHORT:
        return False
    codes = SequenceMatcher(None, one, two, autojunk=False).get_opcodes()
    slips = [(one[at:to], two[start:end]) for kind, at, to, start, end in codes if kind != "equal"]
    lengths = [max(map(len, slip)) for slip in slips]
    digits = any(letter.isdigit() for slip in slips for part in slip for letter in part)
    return not digits and max(lengths) <= LONGEST_SLIP and sum(lengths) <= MOST_SLIPS * max(len(one), len(two))


def moved_on(one: Line, two: Line) -> Same | None:
    """What the second reading has in common with the first, where it shows the same line further to the left, as a ticker does; None
    where it does not. It lacks first letters of the first reading and has others at its end, or its box has moved. Letters at the edges are
    often misread.

    >>> wide = (0.0, 0.9, 1.0, 1.0)
    >>> moved_on(Line("Storm reaches the coa", wide, 1), Line("rm reaches the coast of", wide, 1))
    Same(before=3, after=0, size=15)
    >>> moved_on(Line("Anna Roe, chief", wide, 1), Line("Maria Roe, chief", wide, 1))
    >>> moved_on(Line("The Me", (0.8, 0.9, 1.0, 1.0), 1), Line("The Meadow", (0.7, 0.9, 1.0, 1.0), 1))
    Same(before=0, after=0, size=5)
    """
    if not in_one_row(one.box, two.box):
        return None
    text, later = squeezed(one.text), squeezed(two.text)
    match = SequenceMatcher(None, text, later, autojunk=False).find_longest_match()
    left, more = len(text) - match.a - match.size, len(later) - match.b - match.size
    same = Same(match.a, match.b, match.size)
    if match.size >= LEAST_MOVING and match.a > match.b + 1 and match.b <= AT_EDGE and left <= AT_EDGE and more > left:
        return same
    comes_in, goes_out = one.box[2] >= 1 - EDGE, two.box[0] <= EDGE
    way_left, way_right = one.box[0] - two.box[0], one.box[2] - two.box[2]
    is_further = (
        (way_left > -MOVED or goes_out) and (way_right > -MOVED or comes_in) and max(way_left, way_right) >= MOVED
    )
    alike = match.size >= max(2, min(len(text), len(later)) / 2)
    begins = match.b <= (AT_EDGE if goes_out else 0) and (match.a <= match.b or goes_out)
    ends = left <= (AT_EDGE if comes_in else 0) and (more <= left or comes_in)
    return same if is_further and alike and begins and ends else None


def in_one_row(one: Box, two: Box) -> bool:
    """Whether two boxes are beside each other or at the same place, and not one above the other.

    >>> in_one_row((0, 0.1, 0.2, 0.2), (0.5, 0.11, 1, 0.22)), in_one_row((0, 0.1, 0.2, 0.2), (0, 0.19, 1, 0.3))
    (True, False)
    """
    lower = min(one[3] - one[1], two[3] - two[1])
    return min(one[3], two[3]) - max(one[1], two[1]) >= SAME_ROW * lower


def around(one: Box, two: Box) -> Box:
    """The box around two boxes."""
    return min(one[0], two[0]), min(one[1], two[1]), max(one[2], two[2]), max(one[3], two[3])


def overlap(one: Box, two: Box) -> float:
    """Intersection over union of two boxes.

    >>> overlap((0, 0, 1, 1), (0.5, 0, 1, 1))
    0.5
    """
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, two))
    return both / (areas - both)
