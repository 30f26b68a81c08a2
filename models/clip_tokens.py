"""Words as CLIP's token ids, as open_clip's SimpleTokenizer gives them, without torch.

    In    a text of any length and script
    Out   ids [n], n <= context_length: start-of-text, the byte pairs of the cleaned words, end-of-text; not padded

The vocabulary is open_clip's own file, found where the package is installed; the package is not imported.
Source: open_clip 3.3, `tokenizer.py`; Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
Supervision", section 2.4 (lower-cased byte pair encoding); Sennrich et al. 2016 (byte pair encoding).
"""

from __future__ import annotations

import gzip
import html
import importlib.util
import re
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
WORD_END = "</w>"
MERGES = 49152 - 256 - 2
"""Merges that CLIP uses, of the 262,144 in the file, which begins with a line that is none."""

START, END = 512 + MERGES, 512 + MERGES + 1
"""Ids of start-of-text and end-of-text: they follow the 256 bytes, the 256 bytes that end a word, and the merges."""

VOCABULARY_SIZE = END + 1
SPECIAL = {"<start_of_text>": START, "<end_of_text>": END}
"""Texts that spell a special token get its id, also inside a query: so does open_clip."""

ENDINGS = "'s|'t|'re|'ve|'m|'ll|'d"


def byte_letters() -> list[str]:
    """The letter that stands for each byte: printable Latin-1 for itself, the 68 others for U+0100 and up.

    >>> byte_letters()[ord("a")], byte_letters()[0], byte_letters()[32]
    ('a', 'Ā', 'Ġ')
    """
    letters, spare = [], 0x100
    for byte in range(256):
        if 33 <= byte <= 126 or 161 <= byte <= 172 or byte >= 174:
            letters.append(chr(byte))
        else:
            letters.append(chr(spare))
            spare += 1
    return letters


def is_plain(text: str) -> bool:
    """Printable ASCII and line ends without `&`: neither ftfy nor unescaping changes more than its white space.

    >>> is_plain("a dog, barking"), is_plain("caf\u00e9"), is_plain("Q&amp;A")
    (True, False, False)
    """
    return text.isascii() and "&" not in text and all(letter.isprintable() or letter in "\t\n" for letter in text)


def cleaned(text: str) -> str:
    """Mended encoding, no HTML entities, single spaces, lower case.

    >>> cleaned("  A  Dog\\n&amp;amp; co ")
    'a dog & co'
    """
    if not is_plain(text):
        import ftfy

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()


def words_of(text: str) -> list[str]:
    """A cleaned text cut into special tokens, English endings, runs of letters, single digits and runs of the rest.

    >>> words_of("it's 42 dogs!?")
    ['it', "'s", '4', '2', 'dogs', '!?']
    """
    special = "|".join(SPECIAL)
    if text.isascii():
        return re.findall(rf"{special}|{ENDINGS}|[a-z]+|[0-9]|[^\sa-z0-9]+", text)
    import regex

    pattern = rf"{special}|{ENDINGS}|\p{{L}}+|\p{{N}}|[^\s\p{{L}}\p{{N}}]+"
    found: list[str] = regex.findall(pattern, text, regex.IGNORECASE)
    return found


def merged(word: str, ranks: dict[str, int]) -> list[str]:
    """The symbols of a word: its letters, of which the pair of the lowest rank is joined wherever it stands, until none is left.

    >>> merged("lower", {"l o": 0, "e r</w>": 1, "lo w": 2})
    ['low', 'er</w>']
    """
    symbols = [*word[:-1], word[-1] + WORD_END]
    while len(symbols) > 1:
        rank, first, second = min((ranks.get(f"{one} {two}", MERGES), one, two) for one, two in pairwise(symbols))
        if rank == MERGES:
            break
        joined: list[str] = []
        for symbol in symbols:
            if joined and joined[-1] == first and symbol == second:
                joined[-1] = first + second
            else:
                joined.append(symbol)
        symbols = joined
    return symbols


class ClipTokens:
    """CLIP's tokenizer: words in, ids out."""

    def __init__(self, vocabulary: Path):
        """`vocabulary`: open_clip's file of merges, compressed."""
        lines = gzip.decompress(vocabulary.read_bytes()).decode().split("\n", MERGES + 1)[1 : MERGES + 1]
        self._letters = byte_letters()
        self._ranks = {line: rank for rank, line in enumerate(lines)}
        # the bytes in open_clip's order: those that stand for themselves first
        alone = sorted(self._letters, key=lambda letter: (ord(letter) >= 0x100, ord(letter)))
        symbols = [*alone, *(letter + WORD_END for letter in alone), *(line.replace(" ", "") for line in lines)]
        self._ids: dict[str, int] = dict(zip(symbols, range(len(symbols)), strict=True))

    def encode(self, text: str, context_length: int) -> list[int]:
        """Ids of a text with its start and end, cut to `context_length`; the end stays."""
        ids = [START]
        for word in words_of(cleaned(text)):
            spelled = "".join(self._letters[byte] for byte in word.encode())
            if spelled in SPECIAL:
                ids.append(SPECIAL[spelled])
            else:
                ids += [self._ids[symbol] for symbol in merged(spelled, self._ranks)]
        return [*ids[: context_length - 1], END]


@lru_cache(maxsize=1)
def clip_tokens() -> ClipTokens | None:
    """The tokenizer of the installed open_clip; None where its vocabulary is not found."""
    found: Any = importlib.util.find_spec("open_clip")
    places = (found and found.submodule_search_locations) or []
    file = next((path for path in (Path(place, VOCABULARY) for place in places) if path.is_file()), None)
    return ClipTokens(file) if file else None
