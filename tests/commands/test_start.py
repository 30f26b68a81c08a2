"""A command imports what it needs and no more: a short one is over before torch would have been imported."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import made_vectors
import pytest
from made_vectors import Clusters, MadeDataset

from reelbeam.models.profiles import PROFILES
from reelbeam.pipeline.cli import build_parser
from reelbeam.pipeline.commands import COMMANDS
from reelbeam.pipeline.indexes.options import IndexOptions
from reelbeam.pipeline.indexes.update import run_index
from reelbeam.schemas import snapshot as snapshots
from reelbeam.schemas.snapshot import Snapshot

PROFILE = PROFILES["offline"]
LISTED = """
import json, sys
from reelbeam.pipeline.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as left:
    code = left.code
print(json.dumps([code or 0, sorted({name.split(".")[0] for name in sys.modules})]))
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset of made-up vectors in the spaces of the offline models, one shard with removed rows, with an index of frames."""
    world = Clusters(PROFILE.clip.dimension, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made_vectors, "TEXT_DIMENSION", PROFILE.text.dimension)
        made = MadeDataset(tmp_path_factory.mktemp("start") / "out", world.dimension)
        made.add([world.draw(80, 1)])
    models = {"clip": PROFILE.clip.identity(), "text": PROFILE.text.identity()}

    def named(parent: Snapshot | None) -> Snapshot:
        assert parent is not None
        return replace(parent, number=parent.number + 1, parent=parent.number, models=models, counts={"frames": 80})

    snapshots.commit_next(made.storage, named)
    run_index(made.root, IndexOptions(device="cpu", queries=20), encode=lambda *given: world.draw(given[1], 9))
    made.remove(set(made.videos()[:1]))
    return made.root


def run(*arguments: str) -> tuple[str, set[str]]:
    """What a command prints, and the packages that it has imported."""
    command = [sys.executable, "-c", LISTED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said, _, listed = done.stdout.rstrip("\n").rpartition("\n")
    code, imported = json.loads(listed)
    assert code == 0, done.stderr
    return said, set(imported)


@pytest.mark.parametrize("place", ["frames", "speech", "all"])
def test_a_search_imports_no_torch(output: str, place: str) -> None:
    said, imported = run("search", output, "a dog on the beach", "--in", place, "--json", "-k", "3", "--device", "cpu")
    assert len(json.loads(said)["moments"]) == 3
    assert {"numpy", "pyarrow", "faiss"} <= imported
    assert not imported & {"torch", "torchvision", "open_clip", "transformers", "sentence_transformers", "pandas"}


def test_status_imports_what_reads_a_table_alone(output: str) -> None:
    said, imported = run("status", output, "--json")
    assert json.loads(said)["counts"] == {"frames": 80}
    assert "pyarrow" in imported
    assert not imported & {"torch", "faiss", "pandas", "apache_beam", "rich", "PIL"}


def test_help_imports_no_numbers() -> None:
    said, imported = run("--help")
    assert all(name in said for name in COMMANDS)
    assert not imported & {"numpy", "pyarrow", "obstore", "rich"}


def parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    [found] = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found)  # type: ignore[arg-type]


def test_a_command_has_the_same_parser_alone_as_among_all() -> None:
    everything = parsers(build_parser())
    assert list(everything) == list(COMMANDS)
    for name, parser in everything.items():
        [alone] = parsers(build_parser([name])).values()
        assert alone.format_help() == parser.format_help()


def test_the_table_of_commands_names_each_module_of_the_folder() -> None:
    folder = Path(sys.modules[type(COMMANDS).__module__].__file__ or "").parent
    modules = {file.stem.replace("_", "-") for file in folder.glob("*.py")} - {"--init--", "base", "tables"}
    assert set(COMMANDS) == modules
    assert "extract" in COMMANDS
    assert "base" not in COMMANDS
