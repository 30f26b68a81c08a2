"""`pip install reelbeam` brings what reading takes, and no more: what it declares is enough to read, train and ask for status."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from made_vectors import Clusters, MadeDataset

from reelbeam.schemas.extras import EXTRA_OF

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def name_of(requirement: str) -> str:
    return re.split(r"[ ;<>=!\[(~]", requirement)[0]


def with_all_they_need(names: Iterable[str]) -> set[str]:
    """Distributions and, again and again, what they require without an extra."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name in found:
            continue
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # for another platform
            continue
        found.add(name)
        left += [name_of(line) for line in required if "extra ==" not in line]
    return found


def installed_alone(folder: Path, names: Iterable[str]) -> Path:
    """A virtual environment that holds these distributions, as links to those installed here, and Reelbeam's folders."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [site] = folder.glob("lib/python*/site-packages")
    for name in with_all_they_need(names):
        files = importlib.metadata.distribution(name).files or []
        for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            found = next(iter(files)).locate().parents[len(next(iter(files)).parts) - 1] / top
            if found.exists() and not (site / top).exists():
                (site / top).symlink_to(found)
    (site / "reelbeam").mkdir()
    for top in ("schemas", "models", "transforms", "pipeline"):
        (site / "reelbeam" / top).symlink_to(REPOSITORY / top)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed_alone(tmp_path_factory.mktemp("base") / "venv", map(name_of, PROJECT["dependencies"]))


@pytest.fixture(scope="module")
def with_torch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = [*map(name_of, PROJECT["dependencies"]), "torch"]
    return installed_alone(tmp_path_factory.mktemp("torch") / "venv", names)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = MadeDataset(tmp_path_factory.mktemp("data") / "out", dimension=8)
    made.add([Clusters(8, 4).draw(40, 1)])
    return made.root


def run(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run([str(python), *arguments], capture_output=True, text=True, timeout=120, env=environment)


def test_with_the_base_and_torch_alone_a_window_dataset_trains(with_torch: Path, output: str) -> None:
    code = """
        import sys, torch
        for heavy in ("apache_beam", "faiss", "whisper", "open_clip"):
            try:
                __import__(heavy)
            except ImportError:
                continue
            sys.exit(f"{heavy} is importable: this environment is not light")
        from reelbeam.pipeline.dataset import Dataset
        from reelbeam.pipeline.training import WindowDataset
        dataset = Dataset.open(sys.argv[1])
        batches = list(WindowDataset(dataset, ["frame_embedding"], batch_size=4))
        frames = batches[0]["frame_embedding"].float()
        model = torch.nn.Linear(frames.shape[-1], 1)
        loss = model(frames).square().mean()
        loss.backward()
        print(len(batches), tuple(frames.shape), float(loss) >= 0)
    """
    done = run(with_torch, "-c", textwrap.dedent(code), output)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("True")


@pytest.mark.parametrize("command", [["status", "--json"], ["snapshots"]])
def test_the_base_alone_reads_a_dataset(base: Path, output: str, command: list[str]) -> None:
    done = run(base, "-m", "reelbeam.pipeline.cli", command[0], output, *command[1:])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["search", "OUTPUT", "a dog"], "search"),
        (["index", "OUTPUT"], "search|extract"),
        (["extract", "OUTPUT", "OTHER"], "extract"),
        (["report", "OUTPUT", "--html", "OTHER"], "search"),
    ],
)
def test_a_command_whose_extra_is_missing_says_which_to_install(
    base: Path, output: str, tmp_path: Path, arguments: list[str], extra: str
) -> None:
    places = {"OUTPUT": output, "OTHER": str(tmp_path / "other")}
    done = run(base, "-m", "reelbeam.pipeline.cli", *(places.get(one, one) for one in arguments))
    assert done.returncode == 2, done.stderr
    assert re.search(rf"pip install 'reelbeam\[({extra})\]'", done.stderr), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_every_extra_that_a_message_names_exists() -> None:
    assert set(EXTRA_OF.values()) <= set(PROJECT["optional-dependencies"])
