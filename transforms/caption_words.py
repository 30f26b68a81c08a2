"""Subtitles as a transcript: which track covers the speech of a unit, and the words of its captions.

In:  the captions and the utterances of a unit, both on the presentation clock, and the language that is wanted.
Out: a `Choice`: the track, the utterances that are left to Whisper, and the reason in words; the track's words as a passage.
Bad: forced subtitles, which translate signs and single sentences, are never taken. Whether a track says what is said is not
     known: what is measured is that it has captions where a voice is.

A caption says when it is shown, not when each word is said: words get times in proportion to their letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from ..schemas.elements import Caption, Passage, Unit, Word

WHISPER, SUBTITLES, AUTO = "whisper", "subtitles", "auto"

LEAST_SHARE = 0.8
"""Share of the speech that a track must cover for `auto`. Below it, sentences are missing as a rule: captions stay longer than a voice
lasts, and cover almost all of it where they are whole."""

COVERED = 0.5
"""Share of an utterance from which captions count as its words."""

SLACK_MS = 500
"""Captions may start this much after a voice and end this much before it ends."""

NOT_SAID = re.compile(r"\[[^\]]*\]|\([^)]*\)|[♪♫]|^\s*[-–—]\s*|(?<=\s)[-–—](?=\s)")
"""Descriptions of sounds, notes of music, and dashes before a speaker's words."""

Span = tuple[int, int]


@dataclass(frozen=True)
class Choice:
    """Where the words of a unit come from."""

    track: tuple[Caption, ...]
    """Captions that are taken as words; empty where Whisper hears everything."""
    heard: tuple[bool, ...]
    """For each utterance, whether Whisper hears it."""
    why: str
    """Source and reason, as the column speech_source stores it."""


def tracks_of(captions: Iterable[Caption]) -> list[tuple[Caption, ...]]:
    """The captions of each source, forced ones left out, in the order of the sources."""
    found: dict[tuple[str, str], list[Caption]] = {}
    for one in captions:
        if not re.search(r"\bforced\b", one.source.lower()):
            found.setdefault((one.source, one.language), []).append(one)
    return [tuple(found[key]) for key in sorted(found)]


def covered_ms(span: Span, shown: Sequence[Span]) -> int:
    """Length in ms of the part of a span that captions cover; `shown` are sorted by start, and may overlap.

    >>> covered_ms((1000, 3000), [(0, 1500), (1400, 2000), (2500, 9000)])
    1500
    """
    total, at = 0, span[0]
    for start, end in shown:
        start, end = max(start, at), min(end, span[1])
        if end > start:
            total, at = total + end - start, end
    return total


def choose_words(
    captions: Sequence[Caption], utterances: Sequence[Span], unit: Unit, wanted: str | None, how: str
) -> Choice:
    """Chooses between the tracks of a unit and Whisper. `how` is SUBTITLES or AUTO; `wanted` None takes any language."""
    everything = (True,) * len(utterances)
    tracks = tracks_of(captions)
    if not tracks:
        return Choice((), everything, f"{WHISPER}: {'only forced' if captions else 'no'} subtitles here")
    fitting = [track for track in tracks if wanted is None or track[0].language in (wanted, "")]
    if not fitting:
        others = ", ".join(dict.fromkeys(track[0].language for track in tracks))
        return Choice((), everything, f"{WHISPER}: no subtitles in {wanted}, but in {others}")
    clipped = [(max(start, unit.start_ms), end if unit.is_last else min(end, unit.end_ms)) for start, end in utterances]
    total = sum(end - start for start, end in clipped)

    def covers(track: Sequence[Caption]) -> list[float]:
        shown = sorted((one.start_ms - SLACK_MS, one.end_ms + SLACK_MS) for one in track)
        return [covered_ms(span, shown) / max(1, span[1] - span[0]) for span in clipped]

    def share(track: Sequence[Caption]) -> float:
        parts = zip(covers(track), clipped, strict=True)
        return sum(part * (end - start) for part, (start, end) in parts) / total if total else 0.0

    best = max(fitting, key=lambda track: (share(track) >= LEAST_SHARE, track[0].language == wanted, share(track)))
    source, part = best[0].source, share(best)
    said = f"{source} covers {part:.0%} of the speech"
    if not total and how == AUTO:
        return Choice((), everything, f"{WHISPER}: no speech here")
    if not total:
        return Choice(best, everything, f"{SUBTITLES}: {source}; no speech is heard here")
    if how == AUTO and part < LEAST_SHARE:
        return Choice((), everything, f"{WHISPER}: {said}, less than {LEAST_SHARE:.0%}")
    heard = tuple(part < COVERED for part in covers(best))
    if all(heard):
        return Choice((), everything, f"{WHISPER}: {said}")
    return Choice(best, heard, f"{SUBTITLES}: {said}{'; whisper hears the rest' if any(heard) else ''}")


def passage_of_captions(choice: Choice, utterances: Sequence[Span], unit: Unit, wanted: str | None) -> Passage | None:
    """The words of the chosen track whose midpoint lies in the unit; None without any. A caption whose midpoint lies in an
    utterance that Whisper hears is left out."""
    left = [span for span, heard in zip(utterances, choice.heard, strict=True) if heard]
    words = [
        word
        for one in choice.track
        if not any(start <= (one.start_ms + one.end_ms) // 2 < end for start, end in left)
        for word in words_of(one)
        if unit.start_ms <= (middle := (word.start_ms + word.end_ms) // 2) and (unit.is_last or middle < unit.end_ms)
    ]
    if not words:
        return None
    language = choice.track[0].language or wanted or ""
    return Passage(words[0].start_ms, words[-1].end_ms, tuple(words), language, None, None, None)


def words_of(caption: Caption) -> list[Word]:
    """The words of a caption, spread over its time.

    >>> [(word.word, word.start_ms, word.end_ms) for word in words_of(Caption("en", "- Oh [sighs] my dear", 0, 900, ""))]
    [(' Oh', 0, 225), (' my', 225, 450), (' dear', 450, 900)]
    """
    said = NOT_SAID.sub(" ", caption.text).split()
    ends = [*accumulate(map(len, said))]
    length = caption.end_ms - caption.start_ms
    at = [caption.start_ms, *(caption.start_ms + length * end // ends[-1] for end in ends)]
    return [Word(f" {word}", start, end, 1.0) for word, start, end in zip(said, at[:-1], at[1:], strict=True)]
