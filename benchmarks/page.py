"""Writes the tables and charts of docs/benchmarks.md from the stored results.

    python -m benchmarks.page

The tables are text and need nothing; the charts are drawn with matplotlib and stored as SVG, the same bytes for the same
figures.
"""

from __future__ import annotations

import re
from pathlib import Path

from .measure import ROOT
from .results import Figure, Result, stored

PAGE = ROOT / "docs" / "benchmarks.md"
IMAGES = ROOT / "docs" / "images"
BLOCK = re.compile(r"(<!-- stored results -->\n).*?(<!-- end -->)", re.DOTALL)


def table(result: Result) -> str:
    """One result as a section: its figures, then how and where they were measured."""
    lines = [f"### {result.benchmark}", "", "| figure | median | rounds | wanted | reached |", "|---|---|---|---|---|"]
    for figure in result.figures:
        rounds = f"{min(figure.rounds):.4g} to {max(figure.rounds):.4g}" if len(figure.rounds) > 1 else "1 run"
        reached = ("yes" if figure.is_reached else "**no**") if figure.wanted else ""
        lines.append(f"| {figure.what} | {figure.median:.4g} | {rounds} | {figure.wanted} | {reached} |")
    if result.details.get("table"):
        lines += ["", result.details["table"]]
    if wanted(result):
        lines += [
            "",
            f"![{result.benchmark}: each figure as a multiple of what is wanted](images/{chart_name(result)})",
        ]
    machine = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    lines += [
        "",
        f"`{result.command}` at {result.commit}, {result.date}: {result.seconds:.0f} s on {machine['cores']} cores of "
        f"{machine['processor']}, load {machine['load']} at the end, Python {machine['python']}, {versions}.",
    ]
    return "\n".join(lines)


def wanted(result: Result) -> list[tuple[Figure, float]]:
    """The figures that have a bound, each with how well it does: 1 is the bound, more is better."""
    found = []
    for figure in result.figures:
        if figure.at_least:
            found.append((figure, figure.median / figure.at_least))
        elif figure.at_most and figure.median:
            found.append((figure, figure.at_most / figure.median))
    return found


def chart_name(result: Result) -> str:
    return f"bench_{result.benchmark}.svg"


def draw(result: Result, folder: Path) -> None:
    """Bars of a result's figures as multiples of what is wanted; those that miss it are red."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "reelbeam"
    from matplotlib import pyplot

    bars = wanted(result)
    shown, axes = pyplot.subplots(figsize=(8, 0.5 + 0.35 * len(bars)), layout="constrained")
    names = [figure.what for figure, _ in bars]
    values = [min(value, 5.0) for _, value in bars]
    axes.barh(names, values, color=["#00796b" if value >= 1 else "#c62828" for value in values])
    axes.axvline(1, color="#616161", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("times what is wanted; 1 is the bound, bars end at 5")
    shown.savefig(folder / chart_name(result), metadata={"Date": None})
    pyplot.close(shown)


def filled(text: str, results: list[Result]) -> str:
    """The page with its generated block up to date."""
    body = "\n\n".join(table(result) for result in results) or "No result is stored."
    return BLOCK.sub(lambda found: f"{found[1]}{body}\n{found[2]}", text)


def main() -> None:
    """Fills the page and draws the charts."""
    results = stored()
    PAGE.write_text(filled(PAGE.read_text("utf-8"), results), "utf-8")
    for result in results:
        if wanted(result):
            draw(result, IMAGES)


if __name__ == "__main__":
    main()
