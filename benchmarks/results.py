"""The figures of a benchmark: printed as one JSON object on its last line, and stored for the documentation.

A result lies in `benchmarks/stored/<name>.json` with the commit, machine, versions and command that it was made with.
Quick runs are printed and never stored: their figures mean nothing.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from .measure import ROOT

RESULTS = ROOT / "benchmarks" / "stored"
PACKAGES = ("apache-beam", "faiss-cpu", "faster-whisper", "numpy", "open_clip_torch", "pyarrow", "torch")
STARTED = time.time()
"""About when the benchmark was started: this module is imported first."""


@dataclass(frozen=True)
class Figure:
    """One measured figure, with each of its rounds."""

    name: str
    """A key: words joined by underscores, with the unit as suffix."""
    what: str
    """What it says, for a reader of the documentation."""
    rounds: tuple[float, ...]
    at_least: float | None = None
    """Wanted: this or more."""
    at_most: float | None = None
    """Wanted: this or less."""

    @classmethod
    def of(
        cls,
        name: str,
        what: str,
        rounds: float | Sequence[float],
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> Figure:
        """A figure of one round or of several."""
        taken = (rounds,) if isinstance(rounds, int | float) else tuple(rounds)
        return cls(name, what, tuple(float(one) for one in taken), at_least, at_most)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def noise(self) -> float:
        """Half the range of the rounds, as a share of the median."""
        return (max(self.rounds) - min(self.rounds)) / 2 / abs(self.median) if self.median else 0.0

    @property
    def is_reached(self) -> bool:
        """Whether the median is as wanted; true where nothing is wanted."""
        low = self.at_least is None or self.median >= self.at_least
        return low and (self.at_most is None or self.median <= self.at_most)

    @property
    def wanted(self) -> str:
        """The bound in words, or nothing.

        >>> Figure.of("ratio", "", 2.0, at_least=2.3).wanted
        'at least 2.3'
        """
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return f"at most {self.at_most:g}" if self.at_most is not None else ""

    def line(self) -> str:
        """One line for a terminal."""
        verdict = f", {self.wanted} wanted: {'ok' if self.is_reached else 'MISSED'}" if self.wanted else ""
        spread = f" ({min(self.rounds):.4g}-{max(self.rounds):.4g})" if len(self.rounds) > 1 else ""
        return f"{self.what}: {self.median:.4g}{spread}{verdict}"


@dataclass(frozen=True)
class Result:
    """One run of a benchmark."""

    benchmark: str
    figures: tuple[Figure, ...]
    command: str
    commit: str
    date: str
    machine: dict[str, Any]
    versions: dict[str, str]
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)
    """What else was seen, such as a table of kinds."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Result:
        stored = json.loads(text)
        figures = tuple(Figure(**{**one, "rounds": tuple(one["rounds"])}) for one in stored["figures"])
        return cls(**{**stored, "figures": figures})


def finish(name: str, figures: Iterable[Figure], quick: bool = False, **details: Any) -> int:
    """Prints the figures, stores them unless the run is a quick one, and prints them as JSON on the last line.

    Returns how many are not as wanted.
    """
    found = tuple(figures)
    for figure in found:
        print(figure.line())
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        made = Result(
            name,
            found,
            " ".join(["python -m", f"benchmarks.{name}", *sys.argv[1:]]),
            _commit(),
            time.strftime("%Y-%m-%d", time.gmtime()),
            machine(),
            versions(),
            round(time.time() - STARTED, 1),
            details,
        )
        (RESULTS / f"{name}.json").write_text(made.to_json())
    print(json.dumps({**{figure.name: figure.median for figure in found}, "quick": quick}))
    return sum(not figure.is_reached for figure in found)


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, cores, load when the run ended."""
    info = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Versions of the packages that speed depends on, as far as they are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    """The commit of the tree, with a plus where it has changes."""
    asked = [["git", "rev-parse", "--short", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"]]
    commit, changes = (
        subprocess.run(one, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() for one in asked
    )
    return commit + ("+" if changes else "")


def stored() -> list[Result]:
    """All stored results, by name."""
    return [Result.from_json(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
