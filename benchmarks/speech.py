"""Speech side by side: long recordings and many short clips, with the word error rate of each contender.

    python -m benchmarks.speech [--rounds 3] [--gate]

The sound is that of the sample bucket, whose words are known. Everybody has the same Whisper tiny.en and both cores; loading is not
counted, voice activity detection is. The word error rate is over all recordings together, with Whisper's own normalizer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from reelbeam.models.profiles import OFFLINE_WHISPER
from reelbeam.models.speech import find_speech, pack_chunks
from reelbeam.models.weights import resolve
from reelbeam.models.whisper import WhisperSpec
from reelbeam.schemas.elements import SAMPLE_RATE_HZ

from . import weights
from .measure import ROOT
from .results import Figure, finish

BUCKET = ROOT / "examples" / "sample_bucket"
LONG_FILES = 8
"""Files of the bucket that are joined into one recording."""
MARGIN_S = 0.2
"""Around each sentence, in a short clip."""
GATES = {"whisper.transcribe": 1.6, "faster-whisper, batched": 1.1, "faster-whisper, file by file": 1.5}
"""Least ratio of time to reelbeam's: the first two on long recordings, the last on short clips."""

Recording = tuple[np.ndarray, str]
"""Samples float32 [n] at 16 kHz, and what is said."""


def samples_of(path: str) -> np.ndarray:
    """The sound of a file."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-ac", "1", "-ar", str(SAMPLE_RATE_HZ), "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.float32)


def recordings() -> tuple[list[Recording], list[Recording]]:
    """Long ones of some minutes, and one short clip for each sentence."""
    truth = json.loads((BUCKET / "truth.json").read_text())
    spoken = [video for video in truth["videos"] if video["says"] and video["expect"] == "ok"]
    whole = [(samples_of(str(BUCKET / video["file"])), video) for video in spoken]
    long = []
    for first in range(0, len(whole), LONG_FILES):
        some = whole[first : first + LONG_FILES]
        text = " ".join(sentence["text"] for _, video in some for sentence in video["says"])
        long.append((np.concatenate([samples for samples, _ in some]), text))
    short = [
        (samples[max(0, at(one["start_ms"] / 1000 - MARGIN_S)) : at(one["end_ms"] / 1000 + MARGIN_S)], one["text"])
        for samples, video in whole
        for one in video["says"]
    ]
    return long, short


def at(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HZ)


def contenders() -> dict[str, Callable[[Sequence[np.ndarray]], list[str]]]:
    """Name -> a function from recordings to their texts."""
    import faster_whisper
    import whisper

    folder = str(resolve(OFFLINE_WHISPER))
    openai = whisper.load_model(str(weights.whisper_file()), device="cpu")
    faster = faster_whisper.WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=2)
    batched = faster_whisper.BatchedInferencePipeline(faster)
    ours = WhisperSpec().load("cpu")

    def transcribe(sounds: Sequence[np.ndarray]) -> list[str]:
        return [openai.transcribe(sound, fp16=False)["text"] for sound in sounds]

    def in_batches(sounds: Sequence[np.ndarray]) -> list[str]:
        found = (batched.transcribe(sound, batch_size=8, word_timestamps=True)[0] for sound in sounds)
        return [" ".join(segment.text for segment in segments) for segments in found]

    def one_by_one(sounds: Sequence[np.ndarray]) -> list[str]:
        found = (faster.transcribe(sound, word_timestamps=True)[0] for sound in sounds)
        return [" ".join(segment.text for segment in segments) for segments in found]

    def reelbeam(sounds: Sequence[np.ndarray]) -> list[str]:
        cut = [
            (number, chunk.cut(sound))
            for number, sound in enumerate(sounds)
            for chunk in pack_chunks(find_speech(sound))
        ]
        heard = ours.transcribe([chunk for _, chunk in cut])
        texts = [""] * len(sounds)
        for (number, _), transcript in zip(cut, heard, strict=True):
            texts[number] += f" {transcript.text}"
        return texts

    return {
        "whisper.transcribe": transcribe,
        "faster-whisper, batched": in_batches,
        "faster-whisper, file by file": one_by_one,
        "reelbeam": reelbeam,
    }


def wer(wanted: Sequence[str], found: Sequence[str]) -> float:
    """Word error rate over all texts together: edits over words said."""
    from whisper.normalizers import EnglishTextNormalizer

    normal = EnglishTextNormalizer()
    edits = words = 0
    for said, heard in zip(wanted, found, strict=True):
        one, other = normal(said).split(), normal(heard).split()
        row = np.arange(len(other) + 1)
        for place, word in enumerate(one, 1):
            changed = row[:-1] + (np.array(other, object) != word)
            row = np.concatenate([[place], np.minimum(changed, row[1:] + 1)])
            row = np.minimum.accumulate(row - np.arange(len(row))) + np.arange(len(row))
        edits, words = edits + int(row[-1]), words + len(one)
    return edits / words


def main() -> int:
    """Prints times and error rates; 1 when `--gate` is given and a ratio is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speech")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gate", action="store_true")
    parser.add_argument(
        "--quick", action="store_true", help="one recording of each length, one round: only whether it runs"
    )
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    long, short = recordings()
    if args.quick:
        args.rounds, long, short = 1, short[:1], short[1:2]
    run = contenders()
    sets = {"long": (long, ("whisper.transcribe", "faster-whisper, batched", "reelbeam")),
            "short": (short, ("faster-whisper, file by file", "reelbeam"))}  # fmt: skip
    figures = []
    for name, (kept, asked) in sets.items():
        sounds, texts = [sound for sound, _ in kept], [text for _, text in kept]
        media_s = sum(map(len, sounds)) / SAMPLE_RATE_HZ
        took: dict[str, list[float]] = {one: [] for one in asked}
        errors = {}
        for _ in range(args.rounds):
            for one in asked:
                started = time.monotonic()
                found = run[one](sounds)
                took[one].append(time.monotonic() - started)
                errors[one] = wer(texts, found)
        print(f"{name}: {len(sounds)} recordings, {media_s:.0f} s", flush=True)
        for one in asked:
            key = f"{name}_{one}".replace(",", "").replace(" ", "_").replace(".", "_")
            figures.append(Figure.of(f"{key}_wer", f"{name}, {one}: word error rate", errors[one]))
            if one == "reelbeam":
                rates = [media_s / seconds for seconds in took[one]]
                figures.append(Figure.of(f"{key}_x_realtime", f"{name}, reelbeam: media seconds per second", rates))
            else:
                ratios = [other / own for other, own in zip(took[one], took["reelbeam"], strict=True)]
                figures.append(Figure.of(f"{key}_ratio", f"{name}, {one}: times reelbeam", ratios, GATES[one]))
    return 1 if finish("speech", figures, args.quick) and args.gate else 0


if __name__ == "__main__":
    sys.exit(main())
