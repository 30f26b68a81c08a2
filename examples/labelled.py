"""Reads windows with the labels of `make_sample_bucket.py --tasks`, split by video as its truth says.

In:   a dataset made by `reelbeam extract`, and truth.json.
Out:  `Labels`, and batches or whole splits of windows with speech.
Bad:  a truth without labels, or without a video of the dataset, raises a ValueError that says how to make one.

Train on "train", choose settings on "validation", and measure on "test" once, at the end.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.training.window_dataset import WindowDataset

COLUMNS = ["video_id", "window", "frame_embedding", "tick_valid", "audio_feature", "tick_sound", "text_embedding"]
MODALITIES = ("frame", "audio", "text")
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Labels:
    """The labels of each video in truth.json, by video_id."""

    of: dict[str, dict[str, Any]]

    def classes(self, name: str) -> list[str]:
        """All values of a label of the videos ("topic", "mood") or of their clips ("action"), sorted."""
        return sorted(
            {value[name] for labels in self.of.values() for value in (labels, *labels["clips"]) if name in value}
        )

    def videos(self, split: str) -> list[str]:
        return sorted(video for video, labels in self.of.items() if labels["split"] == split)


def labels_of(dataset: Dataset, truth: Path) -> Labels:
    """The labels of a dataset's videos."""
    known = {entry["file"]: entry.get("labels") for entry in json.loads(truth.read_text())["videos"]}
    files = {row["video_id"]: Path(row["uri"]).name for row in dataset.videos.values()}
    if missing := sorted(file for file in files.values() if not known.get(file)):
        raise ValueError(
            f"{truth}: no labels for {missing[0]} and {len(missing) - 1} more; cure: make the videos with "
            "examples/make_sample_bucket.py --tasks, and name the truth.json beside them"
        )
    return Labels({video: known[file] for video, file in files.items()})


def windows(
    dataset: Dataset, labels: Labels, split: str, columns: list[str] | None = None, **options: Any
) -> WindowDataset:
    """The windows of a split that contain speech."""
    where = [("video_id", "in", labels.videos(split)), ("text_status", "==", "ok")]
    return WindowDataset(dataset, columns or COLUMNS, where=where, **options)


def inputs_of(batch: dict[str, Any]) -> dict[str, Tensor]:
    """Converts a batch to the inputs of the fusion modules (`fusion_models.py`)."""
    valid = batch["tick_valid"].bool()
    present = torch.stack([valid.any(1), batch["tick_sound"].bool().any(1), batch["text_embedding_present"]], 1)
    return {
        "frame": batch["frame_embedding"].float(),
        "frame_valid": valid,
        "audio": batch["audio_feature"].float(),
        "text": batch["text_embedding"].float(),
        "present": present,
    }


def narrowed(present: Tensor, only: str) -> Tensor:
    """Keeps only the named modalities, such as `frame` or `frame+text`; an empty name keeps all."""
    if not only:
        return present
    return present & torch.tensor([name in only.split("+") for name in MODALITIES])


@dataclass(frozen=True)
class Split:
    """All windows of a split in memory: `x` are the inputs of the fusion modules; the other fields describe each row."""

    x: dict[str, Tensor]
    video: list[str]
    window: list[int]
    text: list[str]
    labels: Labels

    @property
    def count(self) -> int:
        return len(self.video)

    def rows(self, rows: Tensor) -> dict[str, Tensor]:
        """The inputs of some rows, int64 [n], copied."""
        return {name: values[rows] for name, values in self.x.items()}

    def label(self, name: str) -> list[Any]:
        """One label per window: that of its video or of its clip."""
        found = []
        for video, window in zip(self.video, self.window, strict=True):
            of = self.labels.of[video]
            found.append(of[name] if name in of else of["clips"][window][name])
        return found

    def targets(self, name: str) -> Tensor:
        """The labels as class numbers, int64 [n]."""
        return torch.tensor([self.labels.classes(name).index(value) for value in self.label(name)])


def whole(dataset: Dataset, labels: Labels, split: str) -> Split:
    """Reads a whole split into memory, in stored order."""
    batches = list(windows(dataset, labels, split, [*COLUMNS, "text"], batch_size=256, rank=0, ranks=1))
    parts = [inputs_of(batch) for batch in batches]
    x = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    video, text = ([value for batch in batches for value in batch[name]] for name in ("video_id", "text"))
    return Split(x, video, [int(number) for batch in batches for number in batch["window"]], text, labels)
