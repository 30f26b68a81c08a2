"""The shape of the code base holds: imports run one way, and nothing heavy is imported where it need not be."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ORDER = ["schemas", "models", "transforms", "pipeline"]


def imported_folders(file: Path) -> set[str]:
    """The reelbeam folders that a file imports from, by its relative imports."""
    depth = len(file.relative_to(REPOSITORY).parts) - 1
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == depth + 1:
            found.add((node.module or node.names[0].name).split(".")[0])
    return found


@pytest.mark.parametrize("folder", ORDER)
def test_imports_run_one_way(folder: str) -> None:
    allowed = set(ORDER[: ORDER.index(folder) + 1])
    for file in (REPOSITORY / folder).rglob("*.py"):
        assert imported_folders(file) <= allowed, f"{file} imports from a later folder"


@pytest.mark.parametrize(
    ("folder", "banned"), [("schemas", {"apache_beam", "torch", "faiss"}), ("models", {"apache_beam", "faiss"})]
)
def test_a_folder_knows_nothing_of_what_comes_after_it(folder: str, banned: set[str]) -> None:
    for file in (REPOSITORY / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not {name.split(".")[0] for name in names} & banned, f"{file} imports {names}"
