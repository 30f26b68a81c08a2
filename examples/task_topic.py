"""Video classification: what is a video about? The topic with the highest sum of log probabilities over its windows wins.

python examples/task_topic.py features --truth tasks/truth.json
"""

from __future__ import annotations

import torch
from fusion_objectives import confusion, macro_f1
from labelled import Split
from task_learning import NAMED, SINGLE_AND_ALL, log_probabilities, opened, parsed, print_table, train_classifier
from torch import Tensor, nn

KIND = "attention"
"""Chosen on the validation videos."""


def votes(model: nn.Module, split: Split) -> tuple[Tensor, Tensor]:
    """For each video: the number of its topic, and the sums of its windows' log probabilities, float32 [videos, classes]."""
    videos = sorted(set(split.video))
    place = torch.tensor([videos.index(video) for video in split.video])
    scores = log_probabilities(model, split)
    sums = torch.zeros(len(videos), scores.size(1)).index_add(0, place, scores)
    topics = torch.zeros(len(videos), dtype=torch.long).scatter(0, place, split.targets("topic"))
    return topics, sums


def main() -> None:
    args = parsed(__doc__)
    _, train, validation, test = opened(args)
    rows = {}
    for only in SINGLE_AND_ALL:
        rows[NAMED[only]] = []
        for seed in range(args.seeds):
            model = train_classifier(train, validation, "topic", kind=args.kind or KIND, only=only, seed=seed)
            windows = log_probabilities(model, test).argmax(1) == test.targets("topic")
            topics, sums = votes(model, test)
            table = confusion(topics.numpy(), sums.argmax(1).numpy(), sums.size(1))
            right = float((sums.argmax(1) == topics).float().mean())
            rows[NAMED[only]].append(
                {"videos": right, "macro F1": macro_f1(table), "windows": float(windows.float().mean())}
            )
    rows["chance"] = [dict.fromkeys(("videos", "macro F1", "windows"), 1 / len(test.labels.classes("topic")))]
    print_table(f"Topic of {len(set(test.video))} videos, {test.count} windows; share right", rows)


if __name__ == "__main__":
    main()
