"""Question answering by retrieval: given a question, finds the moment that answers it, and the sentence said there.

    python examples/task_questions.py features --truth tasks/truth.json

Half of the questions quote the speech around the answer ("What is it that my sister found last summer?"), the other half
describe the picture ("What do they speak of while an owl goes away?"). The answer is the sentence of the best moment that is
nearest to the question. It is correct when it contains the requested thing, as Whisper transcribed it.
"""

from __future__ import annotations

import re

import torch
from joint_space import Sentences, asked, train_space
from labelled import Split
from task_learning import NAMED, SINGLE_AND_ALL, opened, parsed, print_table
from torch import Tensor


def sentences_in(text: str) -> list[str]:
    """
    >>> sentences_in("A man sold a key. It rained!")
    ['A man sold a key.', 'It rained!']
    """
    return [part.strip() for part in re.findall(r"[^.!?]+[.!?]*", text) if part.strip()]


class Answers:
    """The sentences of all windows, embedded once, and the nearest one of each window to each question."""

    def __init__(self, split: Split, words: Tensor, encode: Sentences):
        """`words` are the sentence model's embeddings of the questions, float32 [n, E]."""
        self.told = [sentences_in(text) or [text] for text in split.text]
        flat = torch.from_numpy(encode.words.encode([each for of_window in self.told for each in of_window]))
        scores = (words @ flat.T).split([len(of_window) for of_window in self.told], 1)
        self.nearest = torch.stack([of_window.argmax(1) for of_window in scores], 1)

    def holds(self, question: int, window: int, answer: str) -> bool:
        """Whether the sentence of a window that is nearest to a question contains an answer."""
        return answer in self.told[window][int(self.nearest[question, window])].lower()


def measured(found: Tensor, own: Tensor, questions: list[dict[str, str]], answers: Answers) -> dict[str, float]:
    """Shares of questions with the right window and with the right answer. `found` and `own` int64 [n]: window per question."""
    right = (found == own).tolist()
    held = [
        answers.holds(at, window, question["answer"])
        for at, (window, question) in enumerate(zip(found.tolist(), questions, strict=True))
    ]
    by = [question["found_by"] for question in questions]
    of = {sense: [ok for ok, how in zip(right, by, strict=True) if how == sense] for sense in ("words", "frames")}
    return {
        "moment right": sum(right) / len(right),
        "answer right": sum(held) / len(held),
        **{f"moment, asked by {sense}": sum(oks) / len(oks) for sense, oks in of.items()},
    }


def by_chance(own: Tensor, questions: list[dict[str, str]], answers: Answers, windows: int) -> dict[str, float]:
    """The expected shares when a random window is drawn for each question."""
    every = [measured(torch.full_like(own, window), own, questions, answers) for window in range(windows)]
    return {name: sum(each[name] for each in every) / windows for name in every[0]}


@torch.no_grad()
def main() -> None:
    args = parsed(__doc__)
    dataset, *splits = opened(args)
    encode = Sentences(dataset)
    train, validation, test = asked(splits, "questions", encode)
    split, each = splits[2], test.q.size(1)
    questions = [question for of_window in split.label("questions") for question in of_window]
    own, q = torch.arange(test.count).repeat_interleave(each), test.q.flatten(0, 1)
    answers = Answers(split, q[:, -split.x["text"].size(1) :], encode)
    rows: dict[str, list[dict[str, float]]] = {}
    for name, only, epochs, seeds in [
        *((f"{NAMED[only]}, pretrained", only, 0, 1) for only in ("frame", "text", "frame+text")),
        *((NAMED[only], only, 40, args.seeds) for only in SINGLE_AND_ALL),
    ]:
        rows[name] = []
        for seed in range(seeds):
            with torch.enable_grad():
                space = train_space(train, validation, only, seed, epochs)
            found = (space.queries(q) @ space.windows(test.x).T).argmax(1)
            rows[name].append(measured(found, own, questions, answers))
    rows["the right moment given"] = [measured(own, own, questions, answers)]
    rows["chance"] = [by_chance(own, questions, answers, test.count)]
    print_table(f"{len(questions)} questions to {test.count} windows; share right", rows)


if __name__ == "__main__":
    main()
