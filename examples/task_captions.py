"""Caption retrieval: given a window, finds the sentence that describes it, among the captions of all test windows.

    python examples/task_captions.py features --truth tasks/truth.json

Uses the joint space of `task_moments.py` in the other direction.
"""

from __future__ import annotations

import torch
from joint_space import Sentences, asked, placed
from task_learning import opened, parsed, print_recall


def main() -> None:
    args = parsed(__doc__)
    dataset, *splits = opened(args)
    train, validation, test = asked(splits, "caption", Sentences(dataset))

    def pairs(only: str, seed: int, epochs: int) -> tuple[torch.Tensor, torch.Tensor]:
        captions, windows = placed(train, validation, test, only, seed, epochs)
        return windows, captions

    print_recall("Captions found by their windows", pairs, test.count, args.seeds)


if __name__ == "__main__":
    main()
