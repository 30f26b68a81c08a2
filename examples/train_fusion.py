"""Trains a fusion of frames, sound and text on the shards, measures it on unseen videos, and exports it.

    python examples/make_sample_bucket.py --out tasks --videos 240 --tasks      # videos with labels, minutes
    reelbeam extract tasks features --models offline                            # minutes
    python examples/train_fusion.py features --truth tasks/truth.json --out trained             # fusion and each modality
    python examples/train_fusion.py features --truth tasks/truth.json --out trained --compare   # all kinds of fusion
    torchrun --nproc-per-node 2 examples/train_fusion.py features --truth tasks/truth.json --out trained
    reelbeam extract tasks fused --models offline --fuse trained/fusion.pt

There are three objectives: the topic of the video (classification), InfoNCE between frames, sound and text, and masked
modelling (predict a hidden frame's embedding from the rest). The epoch with the best topic accuracy on validation videos is
kept. Test videos are used once, for the table. A checkpoint has weights, optimiser, random state and the reader's state: the same
command resumes where it was stopped, and ends with the same weights.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fusion_models import KINDS, Fusion, Sizes, export
from fusion_objectives import confusion, draw_confusion, info_nce, macro_f1, masked_error, recall_at
from labelled import MODALITIES, Labels, inputs_of, labels_of, narrowed, windows
from torch import Tensor, nn
from torch.nn import functional as F

from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.training.augment import modality_dropout, noise, tick_dropout
from reelbeam.pipeline.training.window_dataset import WindowDataset

BATCH = 64
RATE = 2e-3
"""Initial learning rate. It falls to 0 along half a cosine."""
DECAY = 0.05
MASKED = 0.2
"""Share of the ticks whose frame is hidden and predicted."""
SHARPNESS = 8.0
"""Scale of the classifier's input: fused vectors have unit length, which would bound its confidence."""
SOFT = 0.2
"""Temperature of InfoNCE. It is high, because half of the pairs do not really belong together."""
ALONE = 0.3
"""Weight of classifying the topic from a single modality."""


class Learner(nn.Module):
    """A fusion with the heads that its objectives need; only the fusion is exported."""

    def __init__(self, kind: str, sizes: Sizes, classes: int, only: str = ""):
        super().__init__()
        self.fusion: Fusion = KINDS[kind](sizes)
        self.only = only
        self.topic = nn.Linear(sizes.fused, classes)
        self.joint = nn.ModuleList([nn.Linear(size, sizes.fused) for size in (sizes.frame, sizes.audio, sizes.text)])
        self.tick = nn.Parameter(torch.randn(sizes.ticks, sizes.fused) * 0.1)
        self.guess = nn.Sequential(nn.Linear(sizes.fused, 128), nn.GELU(), nn.Linear(128, sizes.frame))

    def embed(self, x: dict[str, Tensor]) -> list[Tensor]:
        """One unit vector [B, F] per modality, in a shared space."""
        valid = x["frame_valid"].unsqueeze(-1).float()
        frame = F.normalize((x["frame"] * valid).sum(1), dim=-1)
        encoders = self.fusion.encoders
        audio = ((x["audio"] - encoders.audio_mean) / encoders.audio_std).mean(1)
        scaled = (frame * frame.size(-1) ** 0.5, audio, x["text"] * x["text"].size(-1) ** 0.5)
        dropped = (F.dropout(each, 0.3, self.training) for each in scaled)
        return [F.normalize(head(each), dim=-1) for head, each in zip(self.joint, dropped, strict=True)]

    def forward(self, x: dict[str, Tensor], topic: Tensor, hidden: Tensor) -> Tensor:
        """The sum of the three objectives. `hidden` bool [B, T]: ticks whose frame is to be predicted.

        The topic is also classified from each modality alone, so that weak modalities are trained too.
        """
        seen, valid = x["frame"] * ~hidden[..., None], x["frame_valid"] & ~hidden
        fused = self.fusion(seen, valid, x["audio"], x["text"], x["present"])
        classify = self.classify(fused, topic)
        for modality in MODALITIES if not self.only else ():
            alone = self.fusion(seen, valid, x["audio"], x["text"], narrowed(x["present"], modality))
            classify = classify + ALONE * self.classify(alone, topic)
        guessed = self.guess(fused[:, None] + self.tick)
        masked = masked_error(guessed, x["frame"], hidden & x["frame_valid"])
        frame, audio, text = self.embed(x)
        contrast = info_nce(frame, text, SOFT) + 0.1 * info_nce(frame, audio, SOFT) + 0.1 * info_nce(audio, text, SOFT)
        return classify + contrast + 0.3 * masked

    def answer(self, fused: Tensor) -> Tensor:
        return self.topic(fused * SHARPNESS)

    def classify(self, fused: Tensor, topic: Tensor) -> Tensor:
        return F.cross_entropy(self.answer(fused), topic, label_smoothing=0.1)


def topics_of(batch: dict[str, Any], labels: Labels) -> Tensor:
    classes = labels.classes("topic")
    return torch.tensor([classes.index(labels.of[video]["topic"]) for video in batch["video_id"]])


def audio_statistics(data: WindowDataset) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each audio feature over all training ticks with sound, float32 [A]."""
    heard = torch.cat([batch["audio_feature"].float()[batch["tick_sound"].bool()] for batch in data])
    return heard.mean(0), heard.std(0, correction=0).clamp(min=1e-3)


def train(
    dataset: Dataset,
    labels: Labels,
    kind: str,
    *,
    epochs: int,
    seed: int = 0,
    only: str = "",
    checkpoint: Path | None = None,
    stop_after: int | None = None,
) -> Learner:
    """Trains one fusion. `only` names its input modalities, such as `frame+text`. Resumes from `checkpoint` if it exists.

    `stop_after` ends the training after this many batches, as a crash would.
    """
    torch.manual_seed(seed)
    data = windows(dataset, labels, "train", batch_size=BATCH // _ranks(), shuffle=seed, drop_last=_ranks() > 1)
    shape = dataset.snapshot.shape
    sizes = Sizes(shape.ticks, shape.frame_dim, shape.audio_dim, shape.text_dim)
    learner = Learner(kind, sizes, len(labels.classes("topic")), only)
    mean, std = audio_statistics(windows(dataset, labels, "train", batch_size=256, rank=0, ranks=1))
    learner.fusion.encoders.audio_mean.copy_(mean)
    learner.fusion.encoders.audio_std.copy_(std)
    optimiser = torch.optim.AdamW(learner.parameters(), lr=RATE, weight_decay=DECAY)
    drawn = torch.Generator().manual_seed(seed)
    best = {"loss": math.inf, "learner": copy.deepcopy(learner.state_dict())}
    if checkpoint and checkpoint.exists():
        stored = torch.load(checkpoint, weights_only=True)
        learner.load_state_dict(stored["learner"])
        optimiser.load_state_dict(stored["optimiser"])
        drawn.set_state(stored["drawn"])
        torch.set_rng_state(stored["rng"])
        data.load_state_dict(stored["reader"])
        best = stored["best"]
    model: nn.Module = learner
    if _ranks() > 1:
        model = nn.parallel.DistributedDataParallel(learner, find_unused_parameters=True)
    steps = 0
    for epoch in range(data.epoch, epochs):
        data.set_epoch(epoch)
        optimiser.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * epoch / epochs)) / 2
        model.train()
        reader = data.state_dict()
        for batch in data:
            x = inputs_of(batch)
            x["present"] = modality_dropout(narrowed(x["present"], only), 0.2, drawn)
            x["frame"], x["frame_valid"] = tick_dropout(x["frame"], x["frame_valid"], 0.1, drawn)
            x["frame"] = F.normalize(noise(x["frame"], x["frame_valid"], 0.02, drawn), dim=-1)
            hidden = torch.rand(x["frame_valid"].shape, generator=drawn) < MASKED
            loss = model(x, topics_of(batch, labels), hidden)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            steps, reader = steps + 1, batch["state"]
            if steps == stop_after:
                _save(checkpoint, learner, optimiser, drawn, reader, best)
                return learner
        # Every rank gets the same result: all have the same weights and use all validation windows.
        found = evaluate(learner, dataset, labels, "validation")["loss"]
        if found < best["loss"]:
            best = {"loss": found, "learner": copy.deepcopy(learner.state_dict())}
        if epoch % 5 == 4:
            _save(checkpoint, learner, optimiser, drawn, reader, best)
    learner.load_state_dict(best["learner"])
    return learner.eval()


def _save(
    file: Path | None,
    learner: Learner,
    optimiser: torch.optim.Optimizer,
    drawn: torch.Generator,
    reader: Any,
    best: dict[str, Any],
) -> None:
    """Saves the file atomically, on the first rank only."""
    if file is None or _rank():
        return
    part = file.with_suffix(".part")
    state = {"learner": learner.state_dict(), "optimiser": optimiser.state_dict(), "reader": reader, "best": best}
    torch.save(state | {"drawn": drawn.get_state(), "rng": torch.get_rng_state()}, part)
    part.replace(file)


@torch.no_grad()
def evaluate(learner: Learner, dataset: Dataset, labels: Labels, split: str) -> dict[str, Any]:
    """Measures the learner on the windows of a split, with the modalities that it was trained on."""
    learner.eval()
    answers, topics, joint, losses = [], [], [], []
    for batch in windows(dataset, labels, split, batch_size=256, rank=0, ranks=1):
        x, topic = inputs_of(batch), topics_of(batch, labels)
        joint.append(torch.stack(learner.embed(x)))
        fused = learner.fusion(**{**x, "present": narrowed(x["present"], learner.only)})
        answers.append(learner.answer(fused))
        topics.append(topic)
        losses.append(float(learner.classify(fused, topic)) * len(topic))
    truth = torch.cat(topics).numpy()
    table = confusion(truth, torch.cat(answers).argmax(1).numpy(), learner.topic.out_features)
    frame, _, text = torch.cat(joint, 1).numpy()
    return {
        "windows": len(truth),
        "loss": sum(losses) / len(truth),
        "accuracy": float(np.diagonal(table).sum() / table.sum()),
        "macro F1": macro_f1(table),
        **{f"text to frames @{k}": recall_at(text, frame, k) for k in (1, 5, 10)},
        **{f"frames to text @{k}": recall_at(frame, text, k) for k in (1, 5, 10)},
        "confusion": table,
    }


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def _ranks() -> int:
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", help="a dataset made by reelbeam extract")
    parser.add_argument("--truth", type=Path, required=True, help="truth.json of the videos")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, the module and the picture")
    parser.add_argument("--kind", choices=KINDS, default="attention", help="chosen on the validation videos")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument(
        "--seeds", type=int, default=3, help="runs, with seeds from 0; the first one's module is exported"
    )
    parser.add_argument("--compare", action="store_true", help="train every kind of fusion")
    parser.add_argument("--split", default="test", help="videos to measure on: choose settings on validation")
    args = parser.parse_args()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        torch.distributed.init_process_group("gloo")
    torch.set_num_threads(1)  # the networks are small: more threads would only wait for each other
    args.out.mkdir(parents=True, exist_ok=True)
    dataset = Dataset.open(args.output)
    labels = labels_of(dataset, args.truth)
    kinds = [args.kind, *(kind for kind in KINDS if args.compare and kind != args.kind)]
    for kind, only in [(kind, "") for kind in kinds] + [(args.kind, only) for only in MODALITIES]:
        started, runs = time.perf_counter(), []
        for seed in range(args.seeds):
            file = args.out / f"{kind}_{only or 'all'}_{seed}.ckpt"
            learner = train(dataset, labels, kind, epochs=args.epochs, seed=seed, only=only, checkpoint=file)
            runs.append(evaluate(learner, dataset, labels, args.split))
            if (kind, only, seed, _rank()) == (args.kind, "", 0, 0):
                draw_confusion(runs[0]["confusion"], labels.classes("topic"), args.out / "confusion.png")
                export(learner.fusion, str(args.out / "fusion.pt"))
        if _rank() == 0:
            shown = [name for name in runs[0] if name not in ("windows", "confusion")]
            values = np.array([[run[name] for name in shown] for run in runs])
            pairs = zip(shown, values.mean(0), values.std(0), strict=True)
            figures = ", ".join(f"{name} {mean:.3f}±{spread:.3f}" for name, mean, spread in pairs)
            print(f"{kind} {only or 'all'}: {figures}; chance@1 {1 / runs[0]['windows']:.4f}, ", end="")
            print(f"{runs[0]['windows']} windows, {time.perf_counter() - started:.0f} s", flush=True)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
