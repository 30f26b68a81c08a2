"""What speech must hold on whole files, per engine, through the main job: slow.

Word errors no worse than the engine's own by more than half a point; cuts into units that cost nothing; no word where nobody
speaks.
"""

from __future__ import annotations

import json
import subprocess
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY
from wer import ENGINES, NOT_WORSE, by_hand, errors, models_of, normal, words_of

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.schemas.elements import SAMPLE_RATE_HZ

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed file.*english.json:ResourceWarning"),  # Whisper's normalizer leaves it
    pytest.mark.filterwarnings("ignore:unclosed file.*tiktoken:ResourceWarning"),  # its tokenizer too
]

BUCKET = REPOSITORY / "examples" / "sample_bucket"
TEN_MINUTES = 600 * SAMPLE_RATE_HZ
WEBB = (
    "This is the optical and science segment of the Webb space telescope in one of the largest cleanrooms in the world at "
    "NASA's Goddard Space Flight Center in Greenbelt, Maryland."
)
SPOKEN = {
    "openai-whisper/jfk.flac": "And so my fellow Americans, ask not what your country can do for you, ask what you can do "
    "for your country.",
    "azure-speech-sdk/whatstheweatherlike.wav": "What's the weather like?",
    "gcp-python-samples/audio_silence_padding.wav": "how old is the Brooklyn Bridge",
    "mp4parser/count-english-audio.mp4": "5 4 3 2 1",
    "torchcodec/nasa_13013.mp4": WEBB,
    "torchcodec/nasa_13013.mp4.audio.mp3": WEBB,
    "subsai/test1.webm": "test1.srt",
    "nemo-curator/audio_1.opus": "audio_1.reference.jsonl",
}
"""Real recordings and what is said in them, or the file beside them that says it."""
UNSPOKEN = (
    "moviepy/big_buck_bunny_0_30.webm",
    "moviepy/chaplin.mp4",
    "gcp-python-samples/googlework_tiny.mp4",
    "androidx-media/sample_with_increasing_timestamps_320w_240h_5s.mp4",
    "intel-sample-videos/car-detection.mp4",
)
"""Real music, streets and silence."""


def reference(media: Path, name: str) -> str:
    """What is said in a recording."""
    beside = media / Path(name).parent / SPOKEN[name]
    if beside.suffix == ".srt":
        lines = beside.read_text().splitlines()
        return " ".join(line for line in lines if line and "-->" not in line and not line.strip().isdigit())
    if beside.suffix == ".jsonl":
        return " ".join(part["text"] for part in json.loads(beside.read_text().splitlines()[0])["segments"])
    return SPOKEN[name]


def extracted(files: list[Path], engine: str, folder: Path, *flags: str) -> Dataset:
    """The files through the main job, with one of the engines."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "list.txt").write_text("\n".join(map(str, files)))
    run = [
        "extract",
        str(folder / "list.txt"),
        str(folder / "out"),
        "--models",
        models_of(engine, folder),
        *flags,
    ]
    assert main(run) == 0
    return Dataset.open(str(folder / "out"))


@pytest.mark.parametrize("engine", ENGINES)
def test_real_recordings_are_heard_as_well_as_by_the_engine_itself(engine: str, media: Path, tmp_path: Path) -> None:
    heard = words_of(extracted([media / name for name in SPOKEN], engine, tmp_path))
    hand = by_hand(engine, tmp_path)
    ours = theirs = total = 0
    for name in SPOKEN:
        said = normal(reference(media, name))
        mine = errors(said, normal(" ".join(word["word"] for word in heard.get(Path(name).name, []))))
        other = errors(said, normal(hand(str(media / name))))
        print(f"{engine} {name}: {len(said)} words, {mine} errors, by hand {other}")
        ours, theirs, total = ours + mine, theirs + other, total + len(said)
    print(f"{engine}, recordings: WER {100 * ours / total:.2f} %, by hand {100 * theirs / total:.2f} %, {total} words")
    assert total > 200
    assert ours <= theirs + NOT_WORSE * total


def save(path: Path, samples: np.ndarray) -> Path:
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(SAMPLE_RATE_HZ)
        stream.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def long_speech(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Ten minutes of the sample bucket's speech in one file, and the words said in it."""
    videos: list[dict[str, Any]] = json.loads((BUCKET / "truth.json").read_text())["videos"]
    spoken = [video for video in videos if video["expect"] == "ok" and video["words"]]
    parts, said, length = [], [], 0
    for video in spoken * 9:
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-i",
            str(BUCKET / video["file"]),
            "-ac",
            "1",
            "-ar",
            "16000",
            "-f",
            "f32le",
        ]
        samples = np.frombuffer(subprocess.run([*command, "-"], check=True, capture_output=True).stdout, np.float32)
        if length + len(samples) > TEN_MINUTES:
            break
        parts.append(samples)
        said += [sentence["text"] for sentence in video["says"]]
        length += len(samples)
    assert length > 0.9 * TEN_MINUTES
    return save(tmp_path_factory.mktemp("long") / "long.wav", np.concatenate(parts)), normal(" ".join(said))


@pytest.mark.parametrize(
    "engine", [ENGINES[0], pytest.param(ENGINES[1], marks=pytest.mark.long)]
)  # the second is slow on a CPU
def test_where_a_long_file_is_cut_makes_no_difference(
    engine: str, long_speech: tuple[Path, list[str]], tmp_path: Path
) -> None:
    file, said = long_speech
    rates = {}
    for unit_s in (30, 60, 300):
        dataset = extracted([file], engine, tmp_path / str(unit_s), "--unit-s", str(unit_s))
        heard = words_of(dataset)[file.name]
        rates[unit_s] = 100 * errors(said, normal(" ".join(word["word"] for word in heard))) / len(said)
        starts = [word["start_ms"] for word in heard]
        assert starts == sorted(starts)
    shown = ", ".join(f"{unit_s} s {rate:.2f} %" for unit_s, rate in rates.items())
    print(f"{engine}, {len(said)} words in units of: {shown}")
    assert max(rates.values()) - min(rates.values()) < 1


def unspoken() -> dict[str, np.ndarray]:
    """Ten minutes each of what no one says."""
    random = np.random.default_rng(0)
    at = np.arange(TEN_MINUTES, dtype=np.float64) / SAMPLE_RATE_HZ
    scale = 220 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
    melody = np.repeat(random.choice(scale, 2400), SAMPLE_RATE_HZ // 4)
    chords = np.repeat(random.choice(scale[:5] / 2, 600), SAMPLE_RATE_HZ)
    beat = np.exp(-4 * (at % 0.25))
    phases = [np.cumsum(2 * np.pi * hz / SAMPLE_RATE_HZ) for hz in (melody, chords, 1.26 * chords, 1.5 * chords)]
    music = 0.25 * beat * (np.sin(phases[0]) + 0.4 * np.sin(2 * phases[0])) + sum(
        0.08 * np.sin(one) for one in phases[1:]
    )
    hum = sum(0.2 / n * np.sin(2 * np.pi * 50 * n * at) for n in range(1, 8)) * (1 + 0.1 * np.sin(2 * np.pi * 0.3 * at))
    return {"silence": np.zeros(TEN_MINUTES), "noise": random.normal(0, 0.1, TEN_MINUTES), "music": music, "hum": hum}


@pytest.mark.parametrize("engine", ENGINES)
def test_ten_minutes_of_silence_noise_music_and_hum_give_no_word(engine: str, tmp_path: Path) -> None:
    files = [save(tmp_path / f"{name}.wav", samples) for name, samples in unspoken().items()]
    dataset = extracted(files, engine, tmp_path / "run")
    assert {row["duration_ms"] for row in dataset.videos.values()} == {600_000}
    heard = {name: len(words) for name, words in words_of(dataset).items()}
    print(f"{engine}: words heard: {heard}")
    assert heard == dict.fromkeys(("silence.wav", "noise.wav", "music.wav", "hum.wav"), 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_real_music_streets_and_silence_give_no_word(engine: str, media: Path, tmp_path: Path) -> None:
    heard = words_of(extracted([media / name for name in UNSPOKEN], engine, tmp_path))
    print(f"{engine}: { ({name: len(words) for name, words in heard.items()}) }")
    assert heard.keys() == {Path(name).name for name in UNSPOKEN}
    assert not any(heard.values())
