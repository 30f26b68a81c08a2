"""Where the clauses of a query stand in a list of words, and the shortest stretch that holds them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from .analyzers import exact_words, terms
from .word_query import Clause

Line = Sequence[tuple[str, int]]
"""Terms in order, each with the number of its word."""


@dataclass(frozen=True)
class Occurrence:
    """One place where a clause of the query stands: the clause's number, and its first and last word."""

    clause: int
    first: int
    last: int


def occurrences(
    words: Sequence[str], name: str, clauses: Sequence[Clause], unknown: Sequence[bool], kind: str
) -> list[Occurrence]:
    """Every place where a clause stands in a list of words. Phrases are compared unstemmed, words by their terms. On a screen, where
    spaces may not have been read, a phrase may lack spaces, and a word that occurs nowhere is also looked for within others."""
    lines: dict[bool, Line] = {}
    found = []
    for number, clause in enumerate(clauses):
        if clause.excluded or clause.field not in ("", kind):
            continue
        if clause.phrase not in lines:
            lines[clause.phrase] = line_of(words, "" if clause.phrase else name)
        line, wanted = lines[clause.phrase], exact_words(clause.text) if clause.phrase else terms(name, clause.text)
        if len(wanted) == 1:
            places = alike(line, wanted[0], kind) if unknown[number] else alone(line, wanted[0])
        else:
            places = in_a_row(line, wanted)
        if clause.phrase and kind == "screen":
            places += run_together(line, wanted)
        found += [Occurrence(number, line[first][1], line[last][1]) for first, last in places]
    return sorted(found, key=lambda one: (one.first, one.last))


@lru_cache(maxsize=1 << 16)
def terms_of_word(name: str, word: str) -> tuple[str, ...]:
    """The terms of a word by an analyzer; without one, unstemmed. Texts repeat their words."""
    return tuple(terms(name, word) if name else exact_words(word))


def line_of(words: Sequence[str], name: str) -> Line:
    """The terms of a text's words, in order."""
    return [(term, at) for at, word in enumerate(words) for term in terms_of_word(name, word)]


def alone(line: Line, wanted: str) -> list[tuple[int, int]]:
    """Where a term stands: its first and last place in a line."""
    return [(at, at) for at, (term, _) in enumerate(line) if term == wanted]


def alike(line: Line, wanted: str, kind: str) -> list[tuple[int, int]]:
    """The same with terms that are one letter apart, and on a screen with those that hold it."""
    return [
        (at, at)
        for at, (term, _) in enumerate(line)
        if term == wanted or one_letter_apart(term, wanted) or (kind == "screen" and wanted in term)
    ]


def in_a_row(line: Line, wanted: Sequence[str]) -> list[tuple[int, int]]:
    """Where some terms follow each other.

    >>> in_a_row([("a", 0), ("b", 1), ("a", 2)], ["a", "b"]), in_a_row([("a", 0)], [])
    ([(0, 1)], [])
    """
    starts = alone(line, wanted[0]) if wanted else []
    many = len(wanted)
    return [(at, at + many - 1) for at, _ in starts if [term for term, _ in line[at : at + many]] == [*wanted]]


def run_together(line: Line, wanted: Sequence[str]) -> list[tuple[int, int]]:
    """Where a phrase stands with at least one of its spaces missing: its first and last place in a line.

    >>> run_together([("themeadow", 0), ("innumbers", 1)], ["the", "meadow", "in", "numbers"])
    [(0, 1)]
    >>> run_together([("the", 0), ("meadow", 1)], ["the", "meadow"]), run_together([("themeadows", 0)], ["the", "meadow"])
    ([], [])
    """
    whole, found = "".join(wanted), []
    for at in range(len(line)):
        read, last = line[at][0], at
        while len(read) < len(whole) and whole.startswith(read) and last + 1 < len(line):
            last += 1
            read += line[last][0]
        if read == whole and last - at + 1 < len(wanted):
            found.append((at, last))
    return found


def complete(places: Sequence[Occurrence], clauses: Sequence[Clause]) -> bool:
    """Whether there is a place for each clause that must be there."""
    there = {one.clause for one in places}
    return {at for at, clause in enumerate(clauses) if clause.required} <= there


def tightest(places: Sequence[Occurrence]) -> tuple[int, int]:
    """The first and last word of the shortest stretch that holds each clause once; the earliest of equally short ones.

    >>> tightest([Occurrence(0, 0, 0), Occurrence(0, 5, 5), Occurrence(1, 6, 7)])
    (5, 7)
    """
    wanted, best = {one.clause for one in places}, None
    for start, one in enumerate(places):
        there, last = set(), one.last
        for other in places[start:]:
            if other.clause not in there:
                there.add(other.clause)
                last = max(last, other.last)
            if there == wanted:
                if best is None or last - one.first < best[1] - best[0]:
                    best = (one.first, last)
                break
    assert best is not None
    return best


def covered(places: Sequence[Occurrence], weights: Sequence[float]) -> float:
    """The share of the weights of all clauses that have a place."""
    return sum(weights[clause] for clause in {one.clause for one in places}) / max(sum(weights), 1e-9)


def replaced(
    places: Sequence[Occurrence], clauses: Sequence[Clause], unknown: Sequence[bool], words: Sequence[str]
) -> str:
    """Which words were found in place of words that occur nowhere."""
    pairs = {(clauses[one.clause].text, words[one.first].strip(" .,!?")) for one in places if unknown[one.clause]}
    return "; ".join(f"{asked!r} occurs nowhere, found {there!r}" for asked, there in sorted(pairs))


def spans_of(text: str, words: Sequence[str], marked: set[int]) -> tuple[tuple[int, int], ...]:
    """Where the marked words stand in a text that holds all words in order.

    >>> spans_of("a red car", ["a", "red", "car"], {0, 2})
    ((0, 1), (6, 9))
    """
    found, at = [], 0
    for number, word in enumerate(words):
        bare = word.strip()
        start = text.find(bare, at)
        if start < 0:
            continue
        at = start + len(bare)
        if number in marked:
            found.append((start, at))
    return tuple(found)


def one_letter_apart(one: str, other: str) -> bool:
    """Whether a word becomes the other by one letter inserted, left out or changed, or by two neighbours swapped.

    >>> [one_letter_apart("beard", other) for other in ("beerd", "bear", "baerd", "beards", "board", "bread", "beer")]
    [True, True, True, True, True, False, False]
    """
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    one, other = one[start:], other[start:]
    return (
        one[1:] == other[1:]
        or one[1:] == other
        or one == other[1:]
        or (one[:2] == other[1::-1] and one[2:] == other[2:] and len(one) > 1)
    )
