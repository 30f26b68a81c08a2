"""Moment retrieval: given a sentence, finds the window that it describes, among all windows of the test videos.

    python examples/task_moments.py features --truth tasks/truth.json

An example of a sentence: "a tiger comes closer while someone calmly speaks of a tiger". The joint space is trained on captions
of other videos (`joint_space.py`); "pretrained" is the same space before training.
"""

from __future__ import annotations

from functools import partial

from joint_space import Sentences, asked, placed
from task_learning import opened, parsed, print_recall

TITLE = "Windows found by their captions"


def main() -> None:
    args = parsed(__doc__)
    dataset, *splits = opened(args)
    train, validation, test = asked(splits, "caption", Sentences(dataset))
    print_recall(TITLE, partial(placed, train, validation, test), test.count, args.seeds)


if __name__ == "__main__":
    main()
