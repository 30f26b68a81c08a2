"""Phrases that Whisper invents when nobody speaks: typical endings of the videos that it was trained on.

Source: phrases seen while writing benchmarks/invented_words.py, and phrases that users of Whisper report most often.
"""

from __future__ import annotations

import re

STOCK_PHRASES = frozenset({
    "a little bit", "amen", "bye", "bye bye", "goodbye", "hello", "hmm", "i'll see you in the next video", "i'm sorry",
    "mm", "mm hmm", "music", "no", "oh", "okay", "please subscribe", "see you in the next one",
    "see you in the next video", "see you next time", "see you next week", "silence", "so", "subscribe", "thank you",
    "thank you all", "thank you bye", "thank you for listening", "thank you for watching", "thank you for your time",
    "thank you so much", "thank you so much for watching", "thank you very much", "thanks", "thanks for listening",
    "thanks for watching", "thanks for watching and i'll see you in the next video", "the end", "um", "yeah", "you",
    "subtitles by the amara org community", "applause", "we'll be right back", "i'll see you next time",
})  # fmt: skip
"""Lower case, without punctuation."""


def is_stock(text: str) -> bool:
    """Whether a text consists only of stock phrases.

    >>> is_stock("Thank you. Thanks for watching!"), is_stock("Thank you for the bread."), is_stock("[Music]")
    (True, False, True)
    """
    sentences = [" ".join(re.findall(r"[\w']+", part.lower())) for part in re.split(r"[.!?,;♪]+", text)]
    said = [sentence for sentence in sentences if sentence]
    return bool(said) and all(sentence in STOCK_PHRASES for sentence in said)
