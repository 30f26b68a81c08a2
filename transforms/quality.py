"""Quality of a window's transcript: measures, and the flags that they raise. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..models.whisper import MAX_COMPRESSION_RATIO, MAX_NO_SPEECH, MIN_LOGPROB
from .speech_evidence import DOUBTS

LONGEST_PHRASE = 8
"""Longest phrase, in words, that is checked for repetition. Whisper's loops are shorter."""
LEAST_REPEATS = 3
"""A phrase said twice in a row is speech; three times is a loop, or a chorus."""
MOST_REPETITION = 0.5
"""Largest share of words in repeated phrases that raises no flag."""
MOST_CHARS_A_SECOND = 30.0
"""Twice the 15 characters per second of fast narration (BBC subtitle guidelines: 160 to 180 words a minute)."""
MUCH_VOICE = 0.5
"""Share of a window with voice above which a transcript without words is suspicious."""

FLAGS = {
    "repeats": f"the text loops: compression_ratio over {MAX_COMPRESSION_RATIO}, or repetition over {MOST_REPETITION}",
    "unlikely": f"avg_logprob under {MIN_LOGPROB}: the model doubts its own words",
    "no_speech": f"no_speech_prob over {MAX_NO_SPEECH}: the model doubts that anybody speaks",
    "too_fast": f"more than {MOST_CHARS_A_SECOND:g} characters a second of the words' own time",
    "no_voice": "words, but no voice activity in the window",
    "no_words": f"voice in more than {MUCH_VOICE:g} of the window, but no words",
    **DOUBTS,
}
"""Meaning of each flag. The thresholds of Whisper's measures are Whisper's own."""


def repetition(words: Sequence[str]) -> float:
    """Largest share of the words that lie in one phrase of up to LONGEST_PHRASE words, said LEAST_REPEATS times in a row.

    >>> repetition("so thank you thank you thank you all".split())
    0.75
    >>> repetition("no no that is fine".split())
    0.0
    """
    said = [word.lower().strip(".,!?;:\"'") for word in words]
    most = 0
    for length in range(1, min(LONGEST_PHRASE, len(said) // LEAST_REPEATS) + 1):
        run = 0
        for at in range(length, len(said) + 1):
            if at < len(said) and said[at] == said[at - length]:
                run += 1
                continue
            if run + length >= LEAST_REPEATS * length:
                most = max(most, run + length)
            run = 0
    return most / len(said) if said else 0.0


def chars_a_second(words: Sequence[tuple[str, int, int]]) -> float:
    """Characters per second of words (word, start_ms, end_ms), from the start of the first to the end of the last.

    >>> chars_a_second([("hello", 0, 300), ("there", 400, 1000)])
    10.0
    """
    if not words:
        return 0.0
    span_ms = max(end for _, _, end in words) - min(start for _, start, _ in words)
    return sum(len(word) for word, _, _ in words) * 1000 / max(span_ms, 1)


def flags(
    words: int,
    speech_ratio: float,
    repeated: float,
    chars_per_s: float,
    avg_logprob: float | None,
    no_speech_prob: float | None,
    compression_ratio: float | None,
    doubts: Collection[str] = (),
) -> list[str]:
    """The flags raised by a window's measures and by doubts about its words, in the order of FLAGS. None: not measured.

    >>> flags(4, 0.0, 0.0, 12.0, -1.5, 0.1, 1.2, {"unsure"})
    ['unlikely', 'no_voice', 'unsure']
    """
    raised = {
        "repeats": (compression_ratio or 0) > MAX_COMPRESSION_RATIO or repeated > MOST_REPETITION,
        "unlikely": avg_logprob is not None and avg_logprob < MIN_LOGPROB,
        "no_speech": (no_speech_prob or 0) > MAX_NO_SPEECH,
        "too_fast": chars_per_s > MOST_CHARS_A_SECOND,
        "no_voice": bool(words) and not speech_ratio,
        "no_words": not words and speech_ratio > MUCH_VOICE,
    }
    return [name for name in FLAGS if raised.get(name) or name in doubts]
