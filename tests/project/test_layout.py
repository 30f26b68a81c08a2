"""The shape of the code base holds: imports run one way, and nothing heavy is imported where it need not be."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ORDER = ["schemas", "models", "transforms", "pipeline"]
ROOMS = [
    "dataset",
    "workers",
    "words",
    "extraction",
    "indexes",
    "search",
    "training",
    "nightly",
    "views",
    "surveys",
    "playing",
    "answers",
    "rendering",
    "explorer",
    "commands",
]
"""The rooms of pipeline/: a room imports only from those before it."""
SAYS_NOTHING = {"util", "utils", "data", "info", "meta", "manager", "said", "traces", "carry", "where", "rows", "describe"} | {
    "page", "pages", "memory", "job", "indexed", "misc", "helpers", "common"
}  # fmt: skip
LINES_AT_MOST = 300
TESTS = {*ORDER[:3], *ROOMS, "examples", "project"}
"""Folders of tests: as the folders and rooms, the examples, and the project itself (layout, docs, packaging, deployment)."""


def sources(folder: Path = REPOSITORY) -> list[Path]:
    """Our Python files below a folder of the repository."""
    return [file for top in ORDER for file in sorted((REPOSITORY / top).rglob("*.py")) if file.is_relative_to(folder)]


def room_imports(file: Path, text: str | None = None) -> list[tuple[str, str]]:
    """(room, what is imported from it) for each import of another room; a submodule shows as "room.module"."""
    own = file.relative_to(REPOSITORY / "pipeline").parts
    found = []
    for node in ast.walk(ast.parse(text if text is not None else file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == len(own):
            first, _, rest = (node.module or "").partition(".")
            if first in ROOMS and first != own[0]:
                found += [(first, f"{rest}.{alias.name}" if rest else alias.name) for alias in node.names]
    return found


def door_of(room: str) -> set[str]:
    """The names in a room's `__init__.pyi`."""
    tree = ast.parse((REPOSITORY / "pipeline" / room / "__init__.pyi").read_text())
    return {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def wrong_room_imports(file: Path, text: str | None = None) -> list[str]:
    """What a file of a room imports that it must not: from a later room, or past a door."""
    own = file.relative_to(REPOSITORY / "pipeline").parts[0]
    allowed = ROOMS[: ROOMS.index(own)] if own in ROOMS else ROOMS
    wrong = []
    for room, name in room_imports(file, text):
        if room not in allowed:
            wrong.append(f"{file.name} imports {name} from {room}/, which is not below {own}/")
        elif room != "commands" and name not in door_of(room):
            wrong.append(f"{file.name} imports {name}, which is not in the door of {room}/")
    return wrong


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


@pytest.mark.parametrize("file", sources(REPOSITORY / "pipeline"), ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_rooms_import_downwards_and_through_doors(file: Path) -> None:
    assert not wrong_room_imports(file)


def test_an_import_that_looks_upward_or_past_a_door_is_found() -> None:
    file = REPOSITORY / "pipeline" / "dataset" / "read.py"
    assert wrong_room_imports(file, "from ..search import open_index")
    night = REPOSITORY / "pipeline" / "nightly" / "run.py"
    assert wrong_room_imports(night, "from ..dataset.commit import version")
    assert wrong_room_imports(night, "from ..dataset import version")
    assert not wrong_room_imports(night, "from ..dataset import Dataset")


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "commands"])
def test_every_name_of_a_door_exists_and_is_used(room: str) -> None:
    module = importlib.import_module(f"reelbeam.pipeline.{room}")
    assert module.__doc__
    assert set(module.__all__) == door_of(room)
    for name in module.__all__:
        assert getattr(module, name) is not None
    files = [file for file in (REPOSITORY / "pipeline" / room).glob("*.py") if file.name != "__init__.py"]
    assert 4 <= len(files) <= 10, "a room has 4 to 10 files"


def test_files_are_short_and_named_after_what_they_hold() -> None:
    for file in sources():
        assert len(file.read_text().splitlines()) <= LINES_AT_MOST, f"{file} is longer than {LINES_AT_MOST} lines"
        assert file.stem not in SAYS_NOTHING, f"{file}: the name does not say what is inside"


@pytest.mark.parametrize(
    ("room", "banned"),
    [
        ("dataset", {"apache_beam", "torch", "faiss", "whisper", "open_clip", "sentence_transformers"}),
        ("training", {"apache_beam", "faiss", "whisper", "open_clip", "sentence_transformers"}),
        ("words", {"apache_beam", "torch", "faiss", "whisper", "open_clip", "sentence_transformers"}),
        ("search", {"apache_beam", "whisper"}),
    ],
)
def test_reading_training_and_searching_never_import_what_they_do_not_need(room: str, banned: set[str]) -> None:
    code = (
        f"import sys, reelbeam.pipeline.{room} as room; [getattr(room, name) for name in room.__all__]; "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & banned


def test_tests_lie_in_the_rooms_that_they_test() -> None:
    tests = REPOSITORY / "tests"
    found = {file.relative_to(tests).parts[0] for file in tests.rglob("test_*.py")}
    assert found == TESTS, "tests/<folder or room>/test_<subject>.py"
    names = [file.name for file in tests.rglob("test_*.py")]
    assert len(names) == len(set(names)), "two files of one name cannot be told apart in a report"
