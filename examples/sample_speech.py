"""Speaks sentences with espeak-ng and records the time of every word, as the synthesiser reports it.

In:   sentences and an espeak voice ("en-us+f4").
Out:  int16 [n] mono samples at the synthesiser's rate, and `Word`s in milliseconds on the track's clock.
Bad:  a sentence that does not fit, or whose words espeak joins, raises ValueError.

Needs the shared library (Debian: apt-get install libespeak-ng1). espeak-ng keeps state from one
sentence to the next: for equal bytes, speak the same sentences in the same order in a fresh process.
"""

import ctypes
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sample_video import Manner

PAUSE_S = 1.4  # between sentences

# Constants of speak_lib.h.
_SYNCHRONOUS, _PHONEME_EVENTS, _CHARS_UTF8 = 2, 1, 1
_RATE, _PITCH, _PITCH_RANGE = 1, 3, 4
_LIST_END, _WORD, _PHONEME = 0, 1, 7


@dataclass(frozen=True)
class Word:
    """One spoken word, half-open in milliseconds."""

    word: str
    start_ms: int
    end_ms: int


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # of the first letter, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass
class _Group:
    """What espeak reports as one word: usually one word, but "in the" and "of a" are one group."""

    letter: int  # where it starts in the sentence, from 0
    start_ms: int
    phonemes: list[tuple[str, int]]  # name, start in ms

    def article_ms(self, article: str) -> int:
        """Start of the article at the end of the group: the last D of "the", the last phoneme of "a"."""
        sounds = [(name, ms) for name, ms in self.phonemes if not name.startswith(("_", ";"))]
        if article == "the":
            return [ms for name, ms in sounds if name == "D"][-1]
        return sounds[-1][1]

    def pause_ms(self) -> int | None:
        """Start of the silence at the end of the group; None if there is none before the next group."""
        return next((ms for name, ms in self.phonemes if name.startswith("_")), None)


class Synthesiser:
    """espeak-ng in this process; `speak` gives the samples and the words of one sentence."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL("libespeak-ng.so.1")
        self.rate_hz: int = self._lib.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS)
        if self.rate_hz <= 0:
            raise RuntimeError(
                "espeak-ng does not start; cure: install its data (Debian: apt-get install espeak-ng-data)"
            )
        self._samples: list[np.ndarray] = []
        self._groups: list[_Group] = []
        self._callback = _Callback(self._take)  # kept: the library holds only a pointer
        self._lib.espeak_SetSynthCallback(self._callback)

    def _take(self, wave: Any, count: int, events: Any) -> int:
        if wave and count > 0:
            self._samples.append(np.ctypeslib.as_array(wave, (count,)).copy())
        i = 0
        while events[i].type != _LIST_END:
            event = events[i]
            if event.type == _WORD and event.length > 0:
                self._groups.append(_Group(event.text_position - 1, event.audio_position, []))
            elif event.type == _PHONEME and self._groups:
                self._groups[-1].phonemes.append((event.id.decode(), event.audio_position))
            i += 1
        return 0

    def speak(self, sentence: str, voice: str, manner: Manner) -> tuple[np.ndarray, list[Word]]:
        """Samples int16 [n] and the words, starting at 0 ms. A word ends where the next word or a pause starts.

        Raises:
          ValueError: no such voice, or espeak joins two words of which the second is no article.
        """
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        for parameter, value in (
            (_RATE, manner.words_a_minute),
            (_PITCH, manner.pitch),
            (_PITCH_RANGE, manner.pitch_range),
        ):
            self._lib.espeak_SetParameter(parameter, value, 0)
        self._samples, self._groups = [], []
        text = sentence.encode() + b"\0"
        self._lib.espeak_Synth(text, len(text), 0, 1, 0, _CHARS_UTF8, None, None)
        samples = (np.concatenate(self._samples) * manner.gain).clip(-32768, 32767).astype(np.int16)
        groups = {group.letter: group for group in self._groups}
        words: list[str] = []
        starts_ms: list[int] = []
        pauses_ms: list[int | None] = []
        for found in re.finditer(r"[A-Za-z']+", sentence):
            word = found.group()
            if found.start() in groups:
                group = groups[found.start()]
                starts_ms.append(group.start_ms)
            elif word in ("the", "a"):
                starts_ms.append(group.article_ms(word))
            else:
                raise ValueError(
                    f"espeak-ng gives no time for {word!r} in {sentence!r}; cure: word the sentence differently"
                )
            words.append(word)
            pauses_ms.append(group.pause_ms())
        ends_ms = [*starts_ms[1:], len(samples) * 1000 // self.rate_hz]
        return samples, [
            Word(word, start_ms, end_ms if pause_ms is None else min(end_ms, pause_ms))
            for word, start_ms, end_ms, pause_ms in zip(words, starts_ms, ends_ms, pauses_ms, strict=True)
        ]


@functools.cache
def _synthesiser() -> Synthesiser:
    return Synthesiser()


def speak_all(
    says: Sequence[tuple[float | None, str]], voice: str, seconds: float | None, manner: Manner
) -> tuple[np.ndarray, int, list[list[Word]]]:
    """Places sentences on one track. Returns int16 [n], its rate in Hz, and the words of each sentence.

    `says` has (start in seconds, sentence); the start None means `PAUSE_S` after the previous sentence. The track is
    `seconds` long; None ends it half a second after the last word.

    Raises:
      ValueError: a sentence starts before the last one ends, or ends after the track.
    """
    synthesiser = _synthesiser()
    rate_hz = synthesiser.rate_hz
    pieces: list[tuple[int, np.ndarray]] = []
    told: list[list[Word]] = []
    free_ms = 0
    for start_s, sentence in says:
        start_ms = free_ms + round(PAUSE_S * 1000) if start_s is None else round(start_s * 1000)
        samples, words = synthesiser.speak(sentence, voice, manner)
        if start_ms < free_ms:
            raise ValueError(f"{sentence!r} starts at {start_ms} ms, but the one before ends at {free_ms} ms")
        pieces.append((start_ms * rate_hz // 1000, samples))
        told.append([Word(w.word, w.start_ms + start_ms, w.end_ms + start_ms) for w in words])
        free_ms = told[-1][-1].end_ms
    end_ms = free_ms + 500 if seconds is None else round(seconds * 1000)
    if free_ms > end_ms:
        raise ValueError(f"speech ends at {free_ms} ms, the track at {end_ms} ms: say less than {says[-1][1]!r}")
    track = np.zeros(end_ms * rate_hz // 1000, np.int16)
    for at, samples in pieces:
        kept = samples[: len(track) - at]
        track[at : at + len(kept)] = kept
    return track, rate_hz, told
