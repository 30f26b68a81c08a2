"""The documentation says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from examples.make_explorer_pictures import STORED
from examples.make_pictures import PICTURES
from reelbeam.pipeline.cli import build_parser
from reelbeam.pipeline.reference import RECORDS, fields, filled, pages, sections
from reelbeam.schemas import errors

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {str(page.relative_to(ROOT)): page.read_text("utf-8") for page in pages(ROOT)}


@pytest.mark.parametrize("page", TEXTS)
def test_generated_tables_are_up_to_date(page: str) -> None:
    assert filled(TEXTS[page]) == TEXTS[page], f"{page} is stale; run: python -m reelbeam.pipeline.reference"


@pytest.mark.parametrize("name", sections())
def test_every_generated_section_has_its_place(name: str) -> None:
    assert any(f"<!-- generated: {name} -->" in text for text in TEXTS.values())


@pytest.mark.parametrize("page", TEXTS)
def test_every_mark_names_a_generated_section(page: str) -> None:
    assert set(re.findall("<!-- generated: (.*?) -->", TEXTS[page])) <= set(sections())


def test_every_command_and_every_option_is_documented() -> None:
    reference = TEXTS["docs/reference/commands.md"]
    [commands] = [action for action in build_parser()._actions if action.dest == "command"]
    for name, parser in commands.choices.items():  # type: ignore[union-attr]
        assert f"## reelbeam {name}\n" in reference
        for action in parser._actions:
            if action.dest != "help":
                assert all(f"`{one}`" in reference or f"`{one}, " in reference for one in action.option_strings[:1])


@pytest.mark.parametrize("kind", ["Snapshot", "ShardInfo", "TableInfo", "IndexInfo", "PartInfo"])
def test_every_field_of_a_stored_file_is_explained(kind: str) -> None:
    assert "|  |" not in sections()[kind]


def test_an_option_whose_default_is_zero_is_not_called_off() -> None:
    assert "| `--grace-days` | 0" in TEXTS["docs/reference/commands.md"]


def test_the_exit_codes_are_those_of_the_errors() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.ReelbeamError)}
    assert codes <= set(errors.EXIT_CODES)


def test_the_readme_is_short() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= 150


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_relative_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text("utf-8")):
        assert (ROOT / target).exists(), f"{page} links to {target}, which is not there"


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_every_field_of_a_stored_record_is_explained(kind: type) -> None:
    assert "|  |" not in fields(kind)


def test_every_picture_is_made_by_a_script_and_shown_somewhere() -> None:
    shown = {
        Path(name).name for page in pages(ROOT) for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text())
    }
    stored = {file.name for file in (ROOT / "docs" / "images").iterdir()}
    assert shown == stored
    assert {name for name in stored if not name.startswith("bench_")} == PICTURES | STORED
