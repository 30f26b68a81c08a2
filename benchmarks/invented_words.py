"""Words that nobody said: how many are stored without a flag, and how many true words are flagged.

    python -m benchmarks.invented_words [--engine faster-whisper] [--minutes 10] [--half report] [--media FOLDER] [--quick]

Sounds without speech are made from seeds (`unspoken.py`), so many minutes of each; real music and streets come from
`--media`, where it is at hand. Speech is the sample bucket's and real recordings'. All goes through `transcribe_group` and
`align`, as in the pipeline, in units of a minute. Thresholds were chosen on the half `choose`; figures to report are those
of the other. A word is flagged where its window has a flag. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from reelbeam.models.whisper import Transcriber, WhisperSpec
from reelbeam.schemas.elements import SAMPLE_RATE_HZ, Decoded, Grid, Probe, Unit, UnitFeatures, Video
from reelbeam.schemas.tables import RowShape
from reelbeam.transforms.align import align
from reelbeam.transforms.transcribe import transcribe_group

from .measure import ROOT
from .results import Figure, finish
from .speech import BUCKET, samples_of
from .unspoken import SOUNDS, made

UNIT_S = 60
SEEDS = {"choose": 1000, "report": 2000}
MAX_UNFLAGGED, MAX_FLAGGED = 2, 0.02
"""Wanted at most: invented words without a flag in the whole non-speech set, and the share of true words with one."""
QUIET_MEDIA = (
    "moviepy/big_buck_bunny_0_30.webm",
    "moviepy/chaplin.mp4",
    "gcp-python-samples/googlework_tiny.mp4",
    "androidx-media/sample_with_increasing_timestamps_320w_240h_5s.mp4",
    "intel-sample-videos/car-detection.mp4",
    "androidx-media/hdr10-av1.mp4",
    "androidx-media/sample.avi",
    "moviepy/smpte-2997.mp4",
)
SPOKEN_MEDIA = (
    "openai-whisper/jfk.flac",
    "azure-speech-sdk/whatstheweatherlike.wav",
    "azure-speech-sdk/katiesteve.wav",
    "gcp-python-samples/audio_silence_padding.wav",
    "gcp-python-samples/commercial_mono.wav",
    "mp4parser/count-english-audio.mp4",
    "torchcodec/nasa_13013.mp4",
    "torchcodec/nasa_13013.mp4.audio.mp3",
    "subsai/test0.mp3",
    "nemo-curator/audio_1.opus",
    "odd/sample_nb.amr",
    "odd/sample_wb.amr",
)


def heard_unit(name: str, samples: np.ndarray) -> UnitFeatures:
    """A unit that has been decoded: sound alone, float32 [m]."""
    end_ms = len(samples) * 1000 // SAMPLE_RATE_HZ
    probe = Probe("wav", end_ms, Fraction(0), Fraction(0), None, "", Fraction(1, 1000), 0, 0, 0, 0.0, 0, "pcm", 0)
    windows = Grid().windows(end_ms)
    unit = Unit(Video("0" * 16, name, 0, ""), probe, 0, 0, windows, 0, end_ms, True)
    none = np.zeros(0, np.int32)
    return UnitFeatures(unit, Decoded(np.zeros((0, 1, 1, 3), np.uint8), none, none, samples, 0, 0, end_ms, none))


def heard(name: str, samples: np.ndarray, model: Transcriber) -> Counter[str]:
    """Words, those in windows with a flag, those dropped; seconds; and words by flag, as `flag:NAME`."""
    counts: Counter[str] = Counter()
    size = UNIT_S * SAMPLE_RATE_HZ
    for first in range(0, len(samples), size):
        [done] = transcribe_group((heard_unit(name, samples[first : first + size]),), model)
        table = align(done, Grid(), RowShape(Grid().window_ticks, 1, 1, 1)).table
        for row in table.select(["words", "speech_flags", "text"]).to_pylist():
            counts["words"] += len(row["words"])
            counts["flagged"] += len(row["words"]) if row["speech_flags"] else 0
            counts.update({f"flag:{flag}": len(row["words"]) for flag in row["speech_flags"] if row["words"]})
            if row["words"] and not row["speech_flags"] and name in SOUNDS:
                print(f"  {name}, {first // SAMPLE_RATE_HZ} s, without a flag: {row['text']}")
        counts["dropped"] += sum(len(passage.dropped) for passage in done.passages or ())
    counts["seconds"] += len(samples) // SAMPLE_RATE_HZ
    return counts


def unspoken(minutes: float, first_seed: int, media: Path) -> Iterator[tuple[str, np.ndarray]]:
    """(name, samples) without a word in them."""
    for name in SOUNDS:
        seconds = round(60 * minutes)
        parts = [made(name, min(60, seconds - at), first_seed + at // 60) for at in range(0, seconds, 60)]
        yield name, np.concatenate(parts)
    yield from real(QUIET_MEDIA, media)


def spoken(media: Path, files: int | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """(name, samples) with true words."""
    videos = json.loads((BUCKET / "truth.json").read_text())["videos"]
    for video in [video for video in videos if video["words"]][:files]:
        yield video["file"], samples_of(str(BUCKET / video["file"]))
    if files is None:
        yield from real(SPOKEN_MEDIA, media)


def real(names: tuple[str, ...], media: Path) -> Iterator[tuple[str, np.ndarray]]:
    for name in names:
        if (media / name).exists():
            yield name, samples_of(str(media / name))


def main() -> int:
    """Prints counts of each sound and one JSON object; 1 where a bound is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.invented_words")
    parser.add_argument("--engine", default="faster-whisper")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--half", choices=sorted(SEEDS), default="report")
    parser.add_argument("--media", type=Path, default=ROOT.parent / "shared" / "media")
    parser.add_argument("--quick", action="store_true", help="6 s of each sound, one file of speech")
    args = parser.parse_args()
    nowhere = Path("/nonexistent")
    media, minutes = (nowhere, 0.1) if args.quick else (args.media, args.minutes)
    model = WhisperSpec(engine=args.engine).load("cpu")
    sums: dict[str, Counter[str]] = {"invented": Counter(), "true": Counter()}
    sounds: dict[str, dict[str, int]] = {}
    for kind, clips in (
        ("invented", unspoken(minutes, SEEDS[args.half], media)),
        ("true", spoken(media, 1 if args.quick else None)),
    ):
        for name, samples in clips:
            counts = heard(name, np.asarray(samples, np.float32), model)
            sums[kind] += counts
            sounds[name] = dict(counts)
            print(f"{kind}, {name}: {dict(counts)}", flush=True)
    unflagged = sums["invented"]["words"] - sums["invented"]["flagged"]
    share = sums["true"]["flagged"] / max(1, sums["true"]["words"])
    figures = [
        Figure.of("invented_unflagged", "invented words that no flag marks", unflagged, at_most=MAX_UNFLAGGED),
        Figure.of("true_flagged_share", "share of true words that are flagged", share, at_most=MAX_FLAGGED),
        Figure.of("invented_words", "invented words", sums["invented"]["words"]),
        Figure.of("dropped_words", "invented words that were dropped", sums["invented"]["dropped"]),
        Figure.of("true_words", "true words", sums["true"]["words"]),
        Figure.of("non_speech_s", "seconds without speech", sums["invented"]["seconds"]),
    ]
    return int(finish("invented_words", figures, args.quick, engine=args.engine, half=args.half, sounds=sounds) > 0)


if __name__ == "__main__":
    sys.exit(main())
