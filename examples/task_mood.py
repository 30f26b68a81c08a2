"""Mood classification: joy, calm, anger or sadness, from the words and from the sound.

In most windows, the words separate glad (joy, calm) from sorry (anger, sadness). The manner of the voice, and music in half of
the videos, separates lively from quiet. So each modality alone can at best narrow four moods down to two.

    python examples/task_mood.py features --truth tasks/truth.json
"""

from __future__ import annotations

from task_learning import NAMED, SINGLE_AND_ALL, opened, parsed, print_table, train_classifier, window_scores

KIND = "late"
"""Chosen on the validation videos."""


def main() -> None:
    args = parsed(__doc__)
    _, train, validation, test = opened(args)
    classes = test.labels.classes("mood")
    rows: dict[str, list[dict[str, float]]] = {}
    for only in (*SINGLE_AND_ALL, "audio+text"):
        name = NAMED[only]
        rows[name] = []
        for seed in range(args.seeds):
            model = train_classifier(train, validation, "mood", kind=args.kind or KIND, only=only, seed=seed)
            rows[name].append(window_scores(model, test, "mood"))
    rows["chance"] = [dict.fromkeys(("windows", "macro F1"), 1 / len(classes))]
    print_table(f"Mood of {test.count} windows; share right", rows)


if __name__ == "__main__":
    main()
