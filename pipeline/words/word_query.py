"""The query syntax of `search --in words`: words, "phrases", -not, and field:word.

a red car                words, in any order; windows with more and rarer ones come first
"a red car"              exactly these words in a row: must be there
car -blue -"old car"     without a word or a phrase
title:car                the word must be in that kind of text: speech, screen, subtitles, title or description
title:"a red car"        the same for a phrase
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...schemas.errors import UsageError
from .analyzers import TEXT_FIELDS, exact_words

_CLAUSE = re.compile(r'(?P<sign>[-−]?)(?:(?P<field>[A-Za-z_]+):)?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))')

HELP = 'words, "phrases", -not, and field:word with one of ' + ", ".join(TEXT_FIELDS)


@dataclass(frozen=True)
class Clause:
    """One word or phrase of a query."""

    text: str
    phrase: bool = False
    """Whether its words must follow each other, exactly."""
    excluded: bool = False
    field: str = ""
    """The kind of text that it must be in; empty: any."""

    @property
    def required(self) -> bool:
        """Whether a document without it is no answer."""
        return not self.excluded and (self.phrase or bool(self.field))


def parse_query(text: str) -> tuple[Clause, ...]:
    """The clauses of a query. Raises UsageError for what is not in the syntax, with the way to write it.

    >>> [(one.text, one.phrase, one.excluded, one.field) for one in parse_query('red -blue title:"a car"')]
    [('red', False, False, ''), ('blue', False, True, ''), ('a car', True, False, 'title')]
    """
    text = text.replace("“", '"').replace("”", '"')
    if text.count('"') % 2:
        raise UsageError(f"the query {text!r} has a quote that is not closed. Cure: close it, or leave it out; {HELP}")
    found: list[Clause] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = _CLAUSE.match(text, at)
        if match is None:  # a lone quote cannot be: they are even
            raise UsageError(f"the query {text!r} cannot be read from {text[at:]!r} on. Cure: write {HELP}")
        at = match.end()
        if match["field"] and match["field"].lower() not in TEXT_FIELDS:
            raise UsageError(
                f"the query {text!r} names the field {match['field']!r}; there are {', '.join(TEXT_FIELDS)}. Cure: take one of them, "
                f'or quote the words: "{match.group().lstrip("-")}"'
            )
        if match["word"] and match["word"].lower() in {f"{name}:" for name in TEXT_FIELDS}:
            raise UsageError(
                f"the query {text!r} has nothing right after {match['word']} Cure: write {match['word']}word"
            )
        words = match["word"] if match["phrase"] is None else match["phrase"]
        if exact_words(words):
            field = (match["field"] or "").lower()
            found.append(Clause(words, match["phrase"] is not None, bool(match["sign"]), field))
    if not any(not clause.excluded for clause in found):
        excluded = "only says what must not be there" if found else "holds no word"
        raise UsageError(f"the query {text!r} {excluded}. Cure: add a word to look for; {HELP}")
    return tuple(found)


def plain_query(text: str) -> tuple[Clause, ...]:
    """The words of a text without syntax: what `--in all` looks for. Empty for a text without a word.

    >>> [one.text for one in plain_query('a "red" car: -1')]
    ['a', 'red', 'car', '1']
    """
    return tuple(Clause(word) for word in exact_words(text))


def phrase_query(text: str) -> tuple[Clause, ...]:
    """Exactly these words in a row in what is said: `--phrase`. Raises UsageError for a phrase without a word."""
    if not exact_words(text):
        raise UsageError(f"--phrase {text!r} holds no word")
    return (Clause(text, phrase=True, field=TEXT_FIELDS[0]),)
