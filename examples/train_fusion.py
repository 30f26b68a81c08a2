"""Trains a fusion of frames, sound and text on the shards, measures it on videos it has not seen, and exports it.

    python examples/make_sample_bucket.py --out tasks --videos 160 --tasks      # videos with labels, 6 minutes
    reelbeam extract tasks features --models offline                            # 5 minutes
    python examples/train_fusion.py features --truth tasks/truth.json --out trained
    python examples/train_fusion.py features --truth tasks/truth.json --out trained --compare   # all kinds and modalities
    torchrun --nproc-per-node 2 examples/train_fusion.py features --truth tasks/truth.json --out trained
    reelbeam extract tasks fused --models offline --fuse trained/fusion.pt

Three objectives at once: the topic of the video (classification), InfoNCE between what is seen, heard and said, and
masked modelling (guess a hidden frame's embedding from all the rest). A checkpoint holds weights, optimiser, random
state and the reader's state: the same command goes on where it was stopped, and ends with the same weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fusion_models import KINDS, Fusion, Sizes, export
from fusion_objectives import confusion, draw_confusion, info_nce, macro_f1, masked_error, recall_at
from torch import Tensor, nn
from torch.nn import functional as F

from reelbeam.pipeline.augment import modality_dropout, noise, tick_dropout
from reelbeam.pipeline.read import Dataset
from reelbeam.pipeline.training import WindowDataset

COLUMNS = ["video_id", "window", "frame_embedding", "tick_valid", "audio_feature", "tick_sound", "text_embedding"]
MODALITIES = ("frame", "audio", "text")
TEST_SHARE = 0.3
BATCH = 64
MASKED = 0.2
"""Share of the ticks whose frame is hidden and guessed."""
SHARPNESS = 8.0
"""Fused vectors have unit length: this makes room for confident answers."""
ALONE = 0.3
"""Weight of finding the topic from one modality alone."""


@dataclass(frozen=True)
class Labels:
    """The truth of each video: names of the classes, and the class of each video_id."""

    classes: list[str]
    of: dict[str, int]


def labels_of(dataset: Dataset, truth: Path) -> Labels:
    """The topics in a truth file, by video_id."""
    topics = {entry["file"]: entry["labels"]["topic"] for entry in json.loads(truth.read_text())["videos"]}
    classes = sorted(set(topics.values()))
    rows = dataset.videos.values()
    return Labels(classes, {row["video_id"]: classes.index(topics[Path(row["uri"]).name]) for row in rows})


def is_test(video_id: str) -> bool:
    """Splits by video, for life: windows of one video never stand on both sides."""
    return int(hashlib.sha256(video_id.encode()).hexdigest()[:8], 16) / 2**32 < TEST_SHARE


def windows(dataset: Dataset, labels: Labels, test: bool, **options: Any) -> WindowDataset:
    """The windows of the training or the test videos in which something is said."""
    videos = [video for video in sorted(labels.of) if is_test(video) == test]
    where = [("video_id", "in", videos), ("text_status", "==", "ok")]
    return WindowDataset(dataset, COLUMNS, where=where, **options)


def inputs_of(batch: dict[str, Any]) -> dict[str, Tensor]:
    """A batch as the fusion modules take it."""
    valid = batch["tick_valid"].bool()
    present = torch.stack([valid.any(1), batch["tick_sound"].bool().any(1), batch["text_embedding_present"]], 1)
    return {
        "frame": batch["frame_embedding"].float(),
        "frame_valid": valid,
        "audio": batch["audio_feature"].float(),
        "text": batch["text_embedding"].float(),
        "present": present,
    }


class Learner(nn.Module):
    """A fusion with the heads that its objectives need; only the fusion is exported."""

    def __init__(self, kind: str, sizes: Sizes, classes: int):
        super().__init__()
        self.fusion: Fusion = KINDS[kind](sizes)
        self.topic = nn.Linear(sizes.fused, classes)
        self.joint = nn.ModuleList([nn.Linear(size, sizes.fused) for size in (sizes.frame, sizes.audio, sizes.text)])
        self.tick = nn.Parameter(torch.randn(sizes.ticks, sizes.fused) * 0.1)
        self.guess = nn.Sequential(nn.Linear(sizes.fused, 128), nn.GELU(), nn.Linear(128, sizes.frame))

    def embed(self, x: dict[str, Tensor]) -> list[Tensor]:
        """One unit vector [B, F] a modality, in the space they share."""
        valid = x["frame_valid"].unsqueeze(-1).float()
        frame = F.normalize((x["frame"] * valid).sum(1), dim=-1)
        encoders = self.fusion.encoders
        audio = ((x["audio"] - encoders.audio_mean) / encoders.audio_std).mean(1)
        scaled = (frame * frame.size(-1) ** 0.5, audio, x["text"] * x["text"].size(-1) ** 0.5)
        return [F.normalize(head(each), dim=-1) for head, each in zip(self.joint, scaled, strict=True)]

    def forward(self, x: dict[str, Tensor], topic: Tensor, hidden: Tensor) -> Tensor:
        """The sum of the three objectives. `hidden` bool [B, T]: ticks whose frame is to be guessed.

        The topic must also be found from each modality alone, so that none hides behind the best one.
        """
        seen, valid = x["frame"] * ~hidden[..., None], x["frame_valid"] & ~hidden
        fused = self.fusion(seen, valid, x["audio"], x["text"], x["present"])
        classify = self.classify(fused, topic)
        for modality in MODALITIES:
            alone = self.fusion(seen, valid, x["audio"], x["text"], narrowed(x["present"], modality))
            classify = classify + ALONE * self.classify(alone, topic)
        frame, audio, text = self.embed(x)
        contrast = info_nce(frame, text) + 0.1 * info_nce(frame, audio) + 0.1 * info_nce(audio, text)
        guessed = self.guess(fused[:, None] + self.tick)
        return classify + contrast + 0.3 * masked_error(guessed, x["frame"], hidden & x["frame_valid"])

    def classify(self, fused: Tensor, topic: Tensor) -> Tensor:
        return F.cross_entropy(self.topic(fused * SHARPNESS), topic, label_smoothing=0.1)


def audio_statistics(data: WindowDataset) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each sound measure over all training ticks with sound, float32 [A]."""
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
    """Trains one fusion. `only` names the one modality that it gets. Goes on from `checkpoint` where there is one;
    `stop_after` ends it after so many batches, as a crash would.
    """
    torch.manual_seed(seed)
    data = windows(dataset, labels, test=False, batch_size=BATCH // _ranks(), shuffle=seed, drop_last=_ranks() > 1)
    shape = dataset.snapshot.shape
    sizes = Sizes(shape.ticks, shape.frame_dim, shape.audio_dim, shape.text_dim)
    learner = Learner(kind, sizes, len(labels.classes))
    mean, std = audio_statistics(windows(dataset, labels, test=False, batch_size=256, rank=0, ranks=1))
    learner.fusion.encoders.audio_mean.copy_(mean)
    learner.fusion.encoders.audio_std.copy_(std)
    optimiser = torch.optim.AdamW(learner.parameters(), lr=2e-3, weight_decay=0.05)
    drawn = torch.Generator().manual_seed(seed)
    if checkpoint and checkpoint.exists():
        stored = torch.load(checkpoint, weights_only=True)
        learner.load_state_dict(stored["learner"])
        optimiser.load_state_dict(stored["optimiser"])
        drawn.set_state(stored["drawn"])
        torch.set_rng_state(stored["rng"])
        data.load_state_dict(stored["reader"])
    model: nn.Module = learner
    if _ranks() > 1:
        model = nn.parallel.DistributedDataParallel(learner, find_unused_parameters=True)
    steps = 0
    for epoch in range(data.epoch, epochs):
        data.set_epoch(epoch)
        model.train()
        for batch in data:
            x = inputs_of(batch)
            topic = torch.tensor([labels.of[video] for video in batch["video_id"]])
            x["present"] = narrowed(x["present"], only) if only else modality_dropout(x["present"], 0.2, drawn)
            x["frame"], x["frame_valid"] = tick_dropout(x["frame"], x["frame_valid"], 0.1, drawn)
            x["frame"] = F.normalize(noise(x["frame"], x["frame_valid"], 0.02, drawn), dim=-1)
            hidden = torch.rand(x["frame_valid"].shape, generator=drawn) < MASKED
            loss = model(x, topic, hidden)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            steps += 1
            if checkpoint and _rank() == 0 and (steps == stop_after or epoch % 5 == 4):
                _save(checkpoint, learner, optimiser, drawn, batch["state"])
            if steps == stop_after:
                return learner
    return learner.eval()


def _save(file: Path, learner: Learner, optimiser: torch.optim.Optimizer, drawn: torch.Generator, reader: Any) -> None:
    """Whole or not at all."""
    part = file.with_suffix(".part")
    state = {"learner": learner.state_dict(), "optimiser": optimiser.state_dict(), "reader": reader}
    torch.save(state | {"drawn": drawn.get_state(), "rng": torch.get_rng_state()}, part)
    part.replace(file)


def narrowed(present: Tensor, only: str) -> Tensor:
    """Leaves one modality."""
    return present & (torch.arange(3) == MODALITIES.index(only))


@torch.no_grad()
def evaluate(learner: Learner, dataset: Dataset, labels: Labels, only: str = "") -> dict[str, Any]:
    """What the learner reaches on the test videos' windows."""
    learner.eval()
    fused, topics, joint = [], [], []
    for batch in windows(dataset, labels, test=True, batch_size=256, rank=0, ranks=1):
        x = inputs_of(batch)
        joint.append(torch.stack(learner.embed(x)))
        if only:
            x["present"] = narrowed(x["present"], only)
        fused.append(learner.topic(learner.fusion(**x) * SHARPNESS))
        topics += [labels.of[video] for video in batch["video_id"]]
    table = confusion(np.array(topics), torch.cat(fused).argmax(1).numpy(), len(labels.classes))
    frame, _, text = torch.cat(joint, 1).numpy()
    return {
        "windows": len(topics),
        "accuracy": float(np.diagonal(table).sum() / table.sum()),
        "macro_f1": macro_f1(table),
        "chance@1": 1 / len(topics),
        **{f"text to frames recall@{k}": recall_at(text, frame, k) for k in (1, 5, 10)},
        **{f"frames to text recall@{k}": recall_at(frame, text, k) for k in (1, 5, 10)},
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
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint, the module and the picture")
    parser.add_argument("--kind", choices=KINDS, default="early")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compare", action="store_true", help="train every kind, and each modality alone")
    args = parser.parse_args()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        torch.distributed.init_process_group("gloo")
    torch.set_num_threads(1)  # the networks are small: more threads only wait for each other
    args.out.mkdir(parents=True, exist_ok=True)
    dataset = Dataset.open(args.output)
    labels = labels_of(dataset, args.truth)
    runs = [(args.kind, "")]
    if args.compare:
        runs = [("early", only) for only in MODALITIES] + [(kind, "") for kind in KINDS]
    for kind, only in runs:
        started = time.perf_counter()
        file = args.out / f"{kind}{f'_{only}' if only else ''}.ckpt"
        learner = train(dataset, labels, kind, epochs=args.epochs, seed=args.seed, only=only, checkpoint=file)
        if _rank():
            continue
        found = evaluate(learner, dataset, labels, only)
        table = found.pop("confusion")
        shown = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
        print(f"{kind} {only or 'all'}: {shown}; {time.perf_counter() - started:.0f} s", flush=True)
        if (kind, only) == (args.kind, ""):
            draw_confusion(table, labels.classes, args.out / "confusion.png")
            export(learner.fusion, str(args.out / "fusion.pt"))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
