"""Compares the stored results of the working tree with those of a commit, and names what became worse.

    python -m benchmarks.check [COMMIT]

A figure is worse when its median is over 10% on the wrong side of the other's, beyond the noise of both. Only figures of
the same machine are compared.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from .measure import ROOT
from .results import RESULTS, Figure, Result, stored

TOLERANCE = 0.1


def is_worse(before: Figure, now: Figure) -> bool:
    """Whether a figure fell by more than the tolerance and the noise of both runs' rounds. Without a bound, lower is better.

    >>> then, soon = Figure.of("ratio", "", [2.0, 2.0], at_least=2), Figure.of("ratio", "", [1.7, 1.7], at_least=2)
    >>> is_worse(then, soon), is_worse(soon, then)
    (True, False)
    """
    if not before.median:
        return False
    change = (now.median - before.median) / abs(before.median)
    loss = -change if now.at_least is not None else change
    return loss > TOLERANCE + before.noise + now.noise


def compared(before: Result, now: Result) -> Iterator[str]:
    """A line for each figure that became worse."""
    if before.machine["processor"] != now.machine["processor"] or before.machine["cores"] != now.machine["cores"]:
        print(f"{now.benchmark}: made on another machine, not compared", file=sys.stderr)
        return
    known = {figure.name: figure for figure in before.figures}
    for figure in now.figures:
        old = known.get(figure.name)
        if old is not None and is_worse(old, figure):
            yield f"{now.benchmark}: {figure.what}: {old.median:.4g} at {before.commit}, {figure.median:.4g} now"


def result_at(commit: str, name: str) -> Result | None:
    """A result as a commit has it; None where it has none."""
    path = (RESULTS / f"{name}.json").relative_to(ROOT)
    shown = subprocess.run(["git", "show", f"{commit}:{path}"], cwd=ROOT, capture_output=True, text=True, check=False)
    return Result.from_json(shown.stdout) if shown.returncode == 0 else None


def main() -> int:
    """1 when any figure became worse."""
    commit = sys.argv[1] if len(sys.argv) > 1 else "HEAD"
    pairs = [(result_at(commit, now.benchmark), now) for now in stored()]
    worse = [line for before, now in pairs if before is not None for line in compared(before, now)]
    print("\n".join(worse) or f"nothing became worse than at {commit}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
