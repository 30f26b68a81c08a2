"""Where the clauses of a query stand in a list of words, and the shortest stretch that holds them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .analyzers import exact_words, terms
from .word_query import Clause


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
    stemmed = [(term, at) for at, word in enumerate(words) for term in terms(name, word)]
    plain = [(term, at) for at, word in enumerate(words) for term in exact_words(word)]
    found = []
    for number, clause in enumerate(clauses):
        if clause.excluded or clause.field not in ("", kind):
            continue
        line, wanted = (plain, exact_words(clause.text)) if clause.phrase else (stemmed, terms(name, clause.text))
        for at in range(len(line) - len(wanted) + 1 if wanted else 0):
            here = [term for term, _ in line[at : at + len(wanted)]]
            near = (
                unknown[number]
                and len(wanted) == 1
                and (one_letter_apart(here[0], wanted[0]) or (kind == "screen" and wanted[0] in here[0]))
            )
            if here == wanted or near:
                found.append(Occurrence(number, line[at][1], line[at + len(wanted) - 1][1]))
        if clause.phrase and kind == "screen":
            found += [Occurrence(number, line[at][1], line[last][1]) for at, last in run_together(line, wanted)]
    return sorted(found, key=lambda one: (one.first, one.last))


def run_together(line: Sequence[tuple[str, int]], wanted: Sequence[str]) -> list[tuple[int, int]]:
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
