"""The script that a user would write first: a loop over videos with OpenCV, open_clip, Whisper, librosa and pandas.

    python -m benchmarks.naive VIDEOS OUTPUT --clip FOLDER --whisper FILE.pt [--batch 16] [--words]

It is meant to be good of its kind: models are loaded once, inference mode is on, batches are full within a video, sound
is decoded once and serves both Whisper and librosa. It has no words' times unless `--words` asks for them (slower), and
unlike `reelbeam` no text embeddings, no shot boundaries, no true presentation times, and no care for bad files.
The last line it prints is JSON: seconds a stage.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import faiss
import librosa
import numpy as np
import open_clip
import pandas as pd
import torch
import whisper
from PIL import Image

from .measure import since_spawn

WINDOW_S = 10
RATE_HZ = 16_000
HOP = 512

seconds: dict[str, float] = defaultdict(float)


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Adds the time of a block to a stage."""
    started = time.monotonic()
    yield
    seconds[stage] += time.monotonic() - started


def frames_each_second(path: Path) -> list[Image.Image]:
    """One frame a second: every frame is read, each 30th (of 30) is kept."""
    capture = cv2.VideoCapture(str(path))
    step = max(1, round(capture.get(cv2.CAP_PROP_FPS)))
    kept: list[Image.Image] = []
    number = 0
    while True:
        good, frame = capture.read()
        if not good:
            break
        if number % step == 0:
            kept.append(Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)))
        number += 1
    capture.release()
    return kept


def sound_features(samples: np.ndarray) -> np.ndarray:
    """float32 [seconds, 39]: librosa's mean in each second of what reelbeam measures, but loudness and speech."""
    parts = [
        librosa.feature.rms(y=samples, hop_length=HOP),
        librosa.feature.zero_crossing_rate(samples, hop_length=HOP),
        librosa.feature.spectral_centroid(y=samples, sr=RATE_HZ, hop_length=HOP),
        librosa.feature.spectral_bandwidth(y=samples, sr=RATE_HZ, hop_length=HOP),
        librosa.feature.spectral_rolloff(y=samples, sr=RATE_HZ, hop_length=HOP),
        librosa.feature.spectral_flatness(y=samples, hop_length=HOP),
        librosa.onset.onset_strength(y=samples, sr=RATE_HZ, hop_length=HOP)[None],
        librosa.feature.mfcc(y=samples, sr=RATE_HZ, n_mfcc=20, hop_length=HOP),
        librosa.feature.chroma_stft(y=samples, sr=RATE_HZ, hop_length=HOP),
    ]
    table = np.concatenate(parts)
    each = RATE_HZ // HOP
    return np.stack([table[:, at : at + each].mean(axis=1) for at in range(0, table.shape[1], each)]).astype(np.float32)


def main() -> None:
    """Runs the whole script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("videos", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--clip", required=True)
    parser.add_argument("--whisper", required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--words", action="store_true")
    args = parser.parse_args()
    seconds["start"] = since_spawn()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    args.output.mkdir(parents=True)

    with timed("load"):
        clip, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{args.clip}")
        clip = clip.to(device).eval()
        speech = whisper.load_model(args.whisper, device=device)

    vectors = []
    for path in sorted(args.videos.glob("*.mp4")):
        with timed("decode"):
            frames = frames_each_second(path)

        found = []
        for at in range(0, len(frames), args.batch):
            with timed("preprocess"):
                batch = torch.stack([preprocess(frame) for frame in frames[at : at + args.batch]]).to(device)
            with timed("clip"), torch.inference_mode():
                embedding = clip.encode_image(batch)
                embedding /= embedding.norm(dim=-1, keepdim=True)
                found.append(embedding.cpu().numpy())
        embeddings = np.concatenate(found)

        with timed("decode"):
            samples = whisper.load_audio(str(path))
        with timed("whisper"):
            heard = whisper.transcribe(
                speech, samples, language="en", fp16=device == "cuda", word_timestamps=args.words
            )
        with timed("sound"):
            sound = sound_features(samples)

        with timed("write"):
            rows = []
            for start in range(0, len(frames), WINDOW_S):
                said = [part["text"] for part in heard["segments"] if start <= part["start"] < start + WINDOW_S]
                rows.append(
                    {
                        "video": path.name,
                        "start": start,
                        "text": " ".join(said),
                        "embeddings": list(embeddings[start : start + WINDOW_S]),
                        "sound": list(sound[start : start + WINDOW_S]),
                    }
                )
            pd.DataFrame(rows).to_parquet(args.output / f"{path.stem}.parquet")
        vectors.append(embeddings)

    with timed("index"):
        index = faiss.IndexFlatIP(vectors[0].shape[1])
        index.add(np.concatenate(vectors))
        faiss.write_index(index, str(args.output / "index.faiss"))
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
