"""Turns text into terms: one analyzer per language with a stemmer, one without, and one for scripts without spaces.

A text is lower-cased, cut at everything that is neither letter nor digit, stemmed in its language, and freed of accents. Scripts that
write no spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) are cut into single characters; a word of them is then a
phrase of characters. Each pair of a kind of text and an analyzer has a tantivy field of its own, such as `speech_en`.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

import tantivy

Kind = Literal["speech", "screen", "subtitles", "title", "description"]

WINDOW_FIELDS: tuple[Kind, ...] = ("speech", "screen", "subtitles")
VIDEO_FIELDS: tuple[Kind, ...] = ("title", "description")
TEXT_FIELDS = (*WINDOW_FIELDS, *VIDEO_FIELDS)
"""Kinds of text that are indexed and that a query can name: of windows, and of videos."""

STEMMERS = {
    "ar": "arabic",
    "da": "danish",
    "nl": "dutch",
    "en": "english",
    "fi": "finnish",
    "fr": "french",
    "de": "german",
    "el": "greek",
    "hu": "hungarian",
    "it": "italian",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "es": "spanish",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}
"""Language as Whisper names it -> tantivy's name of its stemmer."""

PLAIN, CHARACTERS = "plain", "characters"
"""Analyzers without a stemmer: of words, and of single characters for scripts without spaces."""

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, Hiragana, Katakana, Han."""

_UNSPACED = re.compile(f"[{UNSPACED}]")
_EXACT = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[\w'])+")

LONGEST_TERM = 60
"""Longer terms, in bytes, are not indexed: they are noise."""

ROW, VIDEO = "row", "video"
"""Fields with the id of a document: the row number of a window, or the id of a video as a number."""


def normal(text: str) -> str:
    """The text in Unicode's composed form (NFC), in which an accented letter is one character."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def analyzer_of(text: str, language: str) -> str:
    """The name of the analyzer for a text of a language as Whisper names it.

    >>> analyzer_of("hello", "en"), analyzer_of("dobrý den", "cs"), analyzer_of("東京です", "en")
    ('en', 'plain', 'characters')
    """
    if not text.isascii() and _UNSPACED.search(text):
        return CHARACTERS
    return language if language in STEMMERS else PLAIN


def exact_words(text: str) -> list[str]:
    """The words of a text without case and punctuation, unstemmed: how phrases are compared. Characters of scripts
    without spaces count as words.

    >>> exact_words("Don't stop, now!"), exact_words("東京 Tower")
    (["don't", 'stop', 'now'], ['東', '京', 'tower'])
    """
    return _EXACT.findall(normal(text).lower())


def exact_spans(text: str) -> list[tuple[int, int]]:
    """Where the words of `exact_words` stand in a text in composed form: half-open spans of characters.

    >>> exact_spans("Stop, now!")
    [(0, 4), (6, 9)]
    """
    return [match.span() for match in _EXACT.finditer(text)]


@functools.cache
def analyzer(name: str) -> tantivy.TextAnalyzer:
    """An analyzer by name: a language of STEMMERS, PLAIN or CHARACTERS."""
    cut = tantivy.Tokenizer.simple()
    if name == CHARACTERS:
        cut = tantivy.Tokenizer.regex(rf"[{UNSPACED}]|[\p{{L}}\p{{M}}\p{{N}}--[{UNSPACED}]]+")
    chain = tantivy.TextAnalyzerBuilder(cut).filter(tantivy.Filter.remove_long(LONGEST_TERM))
    chain = chain.filter(tantivy.Filter.lowercase())
    if name in STEMMERS:
        chain = chain.filter(tantivy.Filter.stemmer(STEMMERS[name]))
    return chain.filter(tantivy.Filter.ascii_fold()).build()


def terms(name: str, text: str) -> list[str]:
    """The terms of a text, in order.

    >>> terms("en", "The dogs were running"), terms("plain", "L'été")
    (['the', 'dog', 'were', 'run'], ['l', 'ete'])
    """
    return list(analyzer(name).analyze(normal(text)))


def field_name(kind: str, name: str) -> str:
    """The tantivy field of a kind of text and an analyzer.

    >>> field_name("speech", "en")
    'speech_en'
    """
    return f"{kind}_{name}"


def analyzers_for(languages: Iterable[str]) -> tuple[str, ...]:
    """The analyzers of a dataset in which these languages are spoken.

    >>> analyzers_for(["en", "cs", "", "de"])
    ('de', 'en', 'plain', 'characters')
    """
    return (*sorted(set(languages) & STEMMERS.keys()), PLAIN, CHARACTERS)


def schema_of(analyzers: Iterable[str], kinds: Iterable[str] = TEXT_FIELDS) -> tantivy.Schema:
    """The tantivy schema. No text is stored: what matched is read from the rows."""
    builder = tantivy.SchemaBuilder()
    names = tuple(analyzers)
    for kind in kinds:
        for name in names:
            builder.add_text_field(field_name(kind, name), tokenizer_name=name, index_option="position")
    for name in (ROW, VIDEO):
        builder.add_unsigned_field(name, indexed=True, fast=True)
    return builder.build()


def register(index: tantivy.Index, analyzers: Iterable[str]) -> tantivy.Index:
    """Gives an opened index its analyzers; tantivy stores only their names."""
    for name in analyzers:
        index.register_tokenizer(name, analyzer(name))
    return index
