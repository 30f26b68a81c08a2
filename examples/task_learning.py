"""Code shared by the task examples: a classifier on a fusion, training with the best epoch chosen on validation, a table.

    python examples/task_topic.py features --truth tasks/truth.json

and likewise task_action, task_mood, task_moments, task_captions, task_questions. Each trains on the train videos,
chooses epochs on the validation videos, and measures each single modality and their fusion on the test videos, with three
seeds. `--split validation` measures on the validation videos instead; use it to choose settings.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from fusion_models import KINDS, Fusion, Sizes
from fusion_objectives import confusion, macro_f1, recall_at
from labelled import MODALITIES, Labels, Split, labels_of, narrowed, whole
from torch import Tensor, nn
from torch.nn import functional as F

from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.training.augment import modality_dropout, noise, tick_dropout

BATCH = 64
SHARPNESS = 8.0
"""Scale of the classifier's input: fused vectors have unit length, which would bound its confidence."""
SINGLE_AND_ALL = (*MODALITIES, "")
NAMED = {
    "frame": "frames alone",
    "audio": "sound alone",
    "text": "words alone",
    "frame+text": "frames and words",
    "audio+text": "sound and words",
    "": "all three",
}


class Classifier(nn.Module):
    """A fusion with a linear classifier, on the modalities named in `only`."""

    def __init__(self, kind: str, like: dict[str, Tensor], classes: int, only: str):
        super().__init__()
        ticks, frame = like["frame"].shape[1:]
        self.fusion: Fusion = KINDS[kind](Sizes(ticks, frame, like["audio"].size(-1), like["text"].size(-1)))
        self.answer = nn.Linear(self.fusion.dimension, classes)
        self.only = only
        heard = like["audio"][like["audio"].any(-1)]
        self.fusion.encoders.audio_mean.copy_(heard.mean(0))
        self.fusion.encoders.audio_std.copy_(heard.std(0, correction=0).clamp(min=1e-3))

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        """Scores [B, classes]."""
        return self.answer(self.fusion(**{**x, "present": narrowed(x["present"], self.only)}) * SHARPNESS)


class Counted(Protocol):
    """Data with a number of rows."""

    @property
    def count(self) -> int: ...


def trained(
    model: nn.Module,
    loss_of: Callable[[nn.Module, Any, Tensor], Tensor],
    train: Counted,
    validation: Counted,
    *,
    epochs: int,
    seed: int,
    rate: float = 2e-3,
) -> nn.Module:
    """Trains the model and returns it as of the epoch with the lowest validation loss. `loss_of(model, data, rows)`."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    drawn = torch.Generator().manual_seed(seed)
    lowest, best = math.inf, copy.deepcopy(model.state_dict())
    for epoch in range(epochs):
        optimiser.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * epoch / epochs)) / 2
        model.train()
        for rows in torch.randperm(train.count, generator=drawn).split(BATCH):
            optimiser.zero_grad()
            loss_of(model, train, rows).backward()
            optimiser.step()
        model.eval()
        with torch.no_grad():
            found = float(loss_of(model, validation, torch.arange(validation.count)))
        if found < lowest:
            lowest, best = found, copy.deepcopy(model.state_dict())
    model.load_state_dict(best)
    return model.eval()


def train_classifier(
    train: Split, validation: Split, label: str, *, kind: str, only: str, seed: int, epochs: int = 40
) -> nn.Module:
    """Trains a classifier of a window label on the modalities named in `only` (empty: all)."""
    torch.manual_seed(seed)
    drawn = torch.Generator().manual_seed(seed)
    targets = {id(split): split.targets(label) for split in (train, validation)}

    def loss_of(model: nn.Module, split: Split, rows: Tensor) -> Tensor:
        x, wanted = split.rows(rows), targets[id(split)][rows]
        if not model.training:
            return F.cross_entropy(model(x), wanted)
        x["present"] = modality_dropout(narrowed(x["present"], only), 0.2, drawn)
        x["frame"], x["frame_valid"] = tick_dropout(x["frame"], x["frame_valid"], 0.1, drawn)
        x["frame"] = F.normalize(noise(x["frame"], x["frame_valid"], 0.02, drawn), dim=-1)
        return F.cross_entropy(model(x), wanted, label_smoothing=0.1)

    classifier = Classifier(kind, train.x, len(train.labels.classes(label)), only)
    return trained(classifier, loss_of, train, validation, epochs=epochs, seed=seed)


@torch.no_grad()
def log_probabilities(model: nn.Module, split: Split) -> Tensor:
    """float32 [n, classes]"""
    return torch.log_softmax(model(split.x), -1)


def window_scores(model: nn.Module, test: Split, label: str) -> dict[str, float]:
    """Accuracy over windows, and the macro F1 over classes."""
    answer, truth = log_probabilities(model, test).argmax(1).numpy(), test.targets(label).numpy()
    found = confusion(truth, answer, len(test.labels.classes(label)))
    return {"windows": float((answer == truth).mean()), "macro F1": macro_f1(found)}


def parsed(about: str | None) -> argparse.Namespace:
    """The command line of a task."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", help="a dataset made by reelbeam extract")
    parser.add_argument("--truth", type=Path, required=True, help="truth.json of the videos")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", default="test", choices=("test", "validation"), help="videos to measure on")
    parser.add_argument("--kind", choices=KINDS, help="another fusion than the one chosen on validation")
    torch.set_num_threads(1)  # the networks are small: more threads would only wait for each other
    return parser.parse_args()


def opened(args: argparse.Namespace) -> tuple[Dataset, Split, Split, Split]:
    """The dataset and three splits: for training, for choosing settings, and for measuring."""
    dataset = Dataset.open(args.output)
    labels: Labels = labels_of(dataset, args.truth)
    train, validation, test = (whole(dataset, labels, split) for split in ("train", "validation", args.split))
    return dataset, train, validation, test


def print_table(title: str, rows: dict[str, Sequence[dict[str, float]]]) -> None:
    """Prints one line per name in `rows`: mean ± standard deviation over runs, for each measure."""
    measures = list(next(iter(rows.values()))[0])
    print(f"{title}\n| | {' | '.join(measures)} |\n|---|{'---|' * len(measures)}")
    for name, runs in rows.items():
        values = np.array([[run[measure] for measure in measures] for run in runs])
        cells = [
            f"{mean:.3f} ± {spread:.3f}" if len(runs) > 1 else f"{mean:.3f}"
            for mean, spread in zip(values.mean(0), values.std(0), strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def print_recall(
    title: str, pairs: Callable[[str, int, int], tuple[Tensor, Tensor]], count: int, seeds: int, epochs: int = 40
) -> None:
    """Prints the recall of each query's own item, for each modality and their fusion, before and after training.

    `pairs(only, seed, epochs)` returns the vectors [n, F] of the queries and of the items.
    """
    rows = {}
    for name, only, length, runs in [
        *((f"{NAMED[only]}, pretrained", only, 0, 1) for only in ("frame", "text", "frame+text")),
        *((NAMED[only], only, epochs, seeds) for only in SINGLE_AND_ALL),
    ]:
        found = [[each.numpy() for each in pairs(only, seed, length)] for seed in range(runs)]
        rows[name] = [{f"@{k}": recall_at(*vectors, k) for k in (1, 5, 10)} for vectors in found]
    rows["chance"] = [{f"@{k}": k / count for k in (1, 5, 10)}]
    print_table(f"{title}, {count} of each; recall", rows)
