"""Emotion-like tagging: joy, calm, anger or sadness, from what is said and from how it sounds.

Words tell glad from sorry, in most windows; the manner of the voice, and music in half of the videos, tells lively
from quiet. So each alone can at best halve the four.

    python examples/task_mood.py features --truth tasks/truth.json
"""

from __future__ import annotations

from fusion_objectives import confusion, macro_f1
from task_learning import NAMED, SINGLE_AND_ALL, log_probabilities, opened, parsed, print_table, train_classifier

KIND = "late"
"""Chosen on the validation videos."""


def main() -> None:
    args = parsed(__doc__)
    _, train, validation, test = opened(args)
    classes = test.labels.classes("mood")
    truth = test.targets("mood").numpy()
    rows: dict[str, list[dict[str, float]]] = {}
    for only in (*SINGLE_AND_ALL, "audio+text"):
        name = NAMED[only]
        rows[name] = []
        for seed in range(args.seeds):
            model = train_classifier(train, validation, "mood", kind=args.kind or KIND, only=only, seed=seed)
            answer = log_probabilities(model, test).argmax(1).numpy()
            rows[name].append(
                {
                    "windows": float((answer == truth).mean()),
                    "macro F1": macro_f1(confusion(truth, answer, len(classes))),
                }
            )
    rows["chance"] = [dict.fromkeys(("windows", "macro F1"), 1 / len(classes))]
    print_table(f"Mood of {test.count} windows; share right", rows)


if __name__ == "__main__":
    main()
