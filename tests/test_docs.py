"""The README says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelbeam.pipeline.cli import build_parser
from reelbeam.pipeline.reference import filled, sections

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def test_generated_tables_are_up_to_date() -> None:
    assert filled(README) == README, "run: python -m reelbeam.pipeline.reference README.md"


@pytest.mark.parametrize("name", sections())
def test_every_generated_section_has_its_place(name: str) -> None:
    assert f"<!-- generated: {name} -->" in README


def test_every_command_is_documented() -> None:
    [commands] = [action for action in build_parser()._actions if action.dest == "command"]
    for name, parser in commands.choices.items():  # type: ignore[union-attr]
        assert f"reelbeam {name}" in README
        assert parser.format_help()


def test_the_exit_codes_are_those_of_the_errors() -> None:
    from reelbeam.schemas import errors

    codes = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ReelbeamError)
    }
    for code in codes:
        assert f"\n| {code} | " in README
