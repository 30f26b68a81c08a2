"""Benchmarks keep their results, the documentation shows these and no others, and what became worse is named."""

from __future__ import annotations

import doctest
import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import check, page, results
from benchmarks.results import Figure, Result

ROOT = Path(__file__).resolve().parents[2]
NO_QUICK_FORM = {"gpu", "autofaiss", "index_constants"}
"""Those that need a GPU or another environment, or are run once to choose constants."""


def a_result(**rounds: float | tuple[float, ...]) -> Result:
    """A stored result with figures of at least 2."""
    figures = tuple(Figure.of(name, name, value, at_least=2) for name, value in rounds.items())
    return Result("made", figures, "python -m benchmarks.made", "abc", "2026-11-26", results.machine(), {}, 1.0)


def test_the_page_shows_the_stored_results() -> None:
    text = page.PAGE.read_text("utf-8")
    assert page.filled(text, results.stored()) == text, "cure: python -m benchmarks.page"
    for result in results.stored():
        if page.wanted(result):
            assert (page.IMAGES / page.chart_name(result)).exists()


def test_a_result_is_read_as_it_was_stored() -> None:
    made = a_result(ratio=(1.9, 2.1, 2.0), share=3.0)
    assert Result.from_json(made.to_json()) == made


def test_a_missed_figure_says_so_on_the_page_and_on_the_terminal() -> None:
    made = a_result(ratio=(1.8, 2.0, 1.9))
    assert "MISSED" in made.figures[0].line()
    assert "| 1.9 | 1.8 to 2 | at least 2 | **no** |" in page.table(made)


@pytest.mark.parametrize(
    ("before", "now", "named"),
    [
        ((2.4, 2.4), (2.0, 2.0), True),
        ((2.4, 2.4), (2.3, 2.3), False),  # within 10%
        ((2.9, 1.9), (2.0, 2.0), False),  # within the noise of the rounds
        ((2.0, 2.0), (2.4, 2.4), False),  # better
    ],
)
def test_what_fell_by_more_than_a_tenth_beyond_its_noise_is_named(
    before: tuple[float, ...], now: tuple[float, ...], named: bool
) -> None:
    found = list(check.compared(a_result(ratio=before), a_result(ratio=now)))
    assert [line.startswith("made: ratio") for line in found] == [True] * named


def test_figures_of_another_machine_are_not_compared() -> None:
    other = replace(a_result(ratio=4.0), machine={**results.machine(), "cores": 64})
    assert not list(check.compared(other, a_result(ratio=2.0)))


@pytest.mark.parametrize("module", [check, results])
def test_docstring_examples_are_true(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted
    assert not found.failed


def test_every_benchmark_has_a_quick_form_and_a_line_in_the_documentation() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = dict(re.findall(r"^(bench[\w-]*):.*\n((?:\t.*\n)*)", makefile, re.MULTILINE))
    run = {name: set(re.findall(r"benchmarks\.(\w+)", lines)) for name, lines in targets.items()}
    programs = {
        file.stem
        for file in (ROOT / "benchmarks").glob("*.py")
        if "__main__" in file.read_text() and file.stem not in {"naive", "media", "check", "page"}
    }
    assert programs - NO_QUICK_FORM == run["bench-quick"]
    assert run["bench"] - {"page"} == run["bench-quick"]
    readme = (ROOT / "benchmarks" / "README.md").read_text()
    assert not [name for name in programs if f"benchmarks.{name}" not in readme and f"{name}.py" not in readme]
