"""The installed wheel brings one top-level name, `reelbeam`, and lives beside a project's own `models/`."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import textwrap
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
BUILT_FROM = ("setup.py", "pyproject.toml", "README.md", "schemas", "models", "transforms", "pipeline")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tracked folders, so that the checkout stays clean."""
    source = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        subprocess.run(["cp", "-RL", str(REPOSITORY / name), str(source / name)], check=True)
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(source))
    [built] = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel installs, and nothing else."""
    target = tmp_path_factory.mktemp("target")
    pip("install", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    return target


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A training project with names of its own that ours might hide, or be hidden by."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("WHOSE = 'the project'\n")
    (tmp_path / "schemas.py").write_text("WHOSE = 'the project'\n")
    (tmp_path / "pipeline.py").write_text("WHOSE = 'the project'\n")
    return tmp_path


def pip(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments], check=True, timeout=300
    )


def run_in(project: Path, installed: Path, code: str, *arguments: str) -> str:
    """What a program in the project's folder prints, with the wheel and its dependencies at hand.

    `-S` skips the `.pth` files of site-packages, and with them the editable install of this checkout.
    """
    path = os.pathsep.join([str(installed), sysconfig.get_path("purelib")])
    done = subprocess.run(
        [sys.executable, "-S", "-c", textwrap.dedent(code), *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_one_top_level_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"reelbeam"}
    assert len(tops) == 2, tops


def test_the_wheel_holds_every_module_of_the_four_folders_and_nothing_else_of_the_repository(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if name.endswith(".py")}
    wanted = {
        f"reelbeam/{file.relative_to(REPOSITORY)}"
        for folder in ("schemas", "models", "transforms", "pipeline")
        for file in (REPOSITORY / folder).rglob("*.py")
    }
    assert found == wanted


def test_the_wheel_carries_the_weights_of_the_small_clip(wheel: Path) -> None:
    data = {
        file.name
        for file in (REPOSITORY / "models/mini_clip").iterdir()
        if file.suffix in {".json", ".safetensors", ".md", ".txt"}
    }
    with zipfile.ZipFile(wheel) as archive:
        carried = {
            name.rpartition("/")[2] for name in archive.namelist() if name.startswith("reelbeam/models/mini_clip/")
        }
        sizes = {Path(name).suffix: archive.getinfo(name).file_size for name in archive.namelist()}
    assert data <= carried
    assert {"open_clip_config.json", "open_clip_model.safetensors"} <= carried
    assert 100_000 < sizes[".safetensors"] < 17_000_000


def test_a_project_with_its_own_models_and_schemas_keeps_them_and_uses_ours(installed: Path, project: Path) -> None:
    printed = run_in(
        project,
        installed,
        """
        import models, schemas, pipeline
        import reelbeam.models, reelbeam.schemas.tables, reelbeam.pipeline.cli
        assert models.WHOSE == schemas.WHOSE == pipeline.WHOSE == "the project"
        for module in (reelbeam.models, reelbeam.schemas.tables, reelbeam.pipeline.cli):
            print(module.__file__)
        """,
    )
    files = [Path(line) for line in printed.split()]
    assert len(files) == 3
    assert all(file.is_relative_to(installed) for file in files), files


def test_the_clip_of_the_installed_wheel_finds_its_weights_and_encodes(installed: Path, project: Path) -> None:
    printed = run_in(
        project,
        installed,
        """
        import numpy as np
        from reelbeam.models.profiles import profile
        from reelbeam.models.weights import resolve
        spec = profile("offline").clip
        print(resolve(spec.weights))
        frames = np.zeros((2, *spec.pixels.size, 3), np.uint8)
        print(spec.load("cpu").encode(frames).shape == (2, spec.dimension))
        """,
    )
    weights, encoded = printed.split()
    assert Path(weights).is_relative_to(installed)
    assert encoded == "True"


def test_the_command_of_the_installed_wheel_starts(installed: Path, project: Path) -> None:
    assert "reelbeam" in (installed / "bin" / "reelbeam").read_text()
    printed = run_in(
        project,
        installed,
        """
        import sys
        from importlib.metadata import distribution
        [command] = [entry for entry in distribution("reelbeam").entry_points if entry.group == "console_scripts"]
        sys.argv = ["reelbeam", "--help"]
        command.load()()
        """,
    )
    assert "extract" in printed
