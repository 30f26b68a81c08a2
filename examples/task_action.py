"""Action recognition: what happens in a window? For each action, another one shows the same pictures backwards. So a classifier
that ignores the order of ticks can only guess which of the two it is.

    python examples/task_action.py features --truth tasks/truth.json
"""

from __future__ import annotations

from dataclasses import replace

import torch
from labelled import Split
from task_learning import NAMED, SINGLE_AND_ALL, opened, parsed, print_table, train_classifier, window_scores

KIND = "memory"
"""Chosen on the validation videos."""


def out_of_order(split: Split, seed: int) -> Split:
    """The same windows, with the frames of each in random order."""
    drawn = torch.Generator().manual_seed(seed)
    frame, valid = split.x["frame"], split.x["frame_valid"]
    ticks = torch.rand(valid.shape, generator=drawn).argsort(1)
    rows = torch.arange(len(frame))[:, None]
    return replace(split, x={**split.x, "frame": frame[rows, ticks], "frame_valid": valid[rows, ticks]})


def main() -> None:
    args = parsed(__doc__)
    _, *ordered = opened(args)
    classes = ordered[0].labels.classes("action")
    rows: dict[str, list[dict[str, float]]] = {}
    for name, only, shuffled in [
        ("frames, ticks out of order", "frame", True),
        *((NAMED[only], only, False) for only in SINGLE_AND_ALL),
    ]:
        rows[name] = []
        for seed in range(args.seeds):
            train, validation, test = (out_of_order(split, seed) if shuffled else split for split in ordered)
            model = train_classifier(train, validation, "action", kind=args.kind or KIND, only=only, seed=seed)
            rows[name].append(window_scores(model, test, "action"))
    rows["chance"] = [dict.fromkeys(("windows", "macro F1"), 1 / len(classes))]
    print_table(f"Action in {ordered[2].count} windows; share right", rows)


if __name__ == "__main__":
    main()
