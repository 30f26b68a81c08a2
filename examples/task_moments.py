"""Moment retrieval: a sentence in, the window that it describes out, among all windows of the test videos.

    python examples/task_moments.py features --truth tasks/truth.json

A sentence is such as "a tiger comes closer while someone calmly speaks of a tiger". The space is trained on captions of
other videos (`joint_space.py`); "pretrained" is the same space before training.
"""

from __future__ import annotations

import torch
from joint_space import Sentences, asked, train_space
from task_learning import opened, parsed, print_recall

TITLE = "Windows found by their captions"


@torch.no_grad()
def main() -> None:
    args = parsed(__doc__)
    dataset, *splits = opened(args)
    train, validation, test = asked(splits, "caption", Sentences(dataset))

    def pairs(only: str, seed: int, epochs: int) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.enable_grad():
            space = train_space(train, validation, only, seed, epochs)
        return space.queries(test.q[:, 0]), space.windows(test.x)

    print_recall(TITLE, pairs, test.count, args.seeds)


if __name__ == "__main__":
    main()
