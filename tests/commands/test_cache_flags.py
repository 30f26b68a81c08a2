"""--cache and --cache-gb: where the copies of a bucket's files lie while a command runs."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.commands import COMMANDS
from reelbeam.schemas.local_cache import LocalCache


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[LocalCache]:
    """The cache as `reelbeam status` finds it."""
    found: list[LocalCache] = []

    def run(args: argparse.Namespace, rest: list[str]) -> int:
        found.append(LocalCache.at())
        return 0

    monkeypatch.setattr(COMMANDS["status"], "run", run)
    return found


def test_the_flags_hold_for_one_command_and_go_before_the_environment(
    seen: list[LocalCache], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELBEAM_CACHE", str(tmp_path / "named"))
    monkeypatch.delenv("REELBEAM_CACHE_GB", raising=False)
    assert main(["status", "x", "--cache", str(tmp_path / "given"), "--cache-gb", "0.5"]) == 0
    assert main(["status", "x"]) == 0
    assert [(cache.folder.name, cache.most_bytes) for cache in seen] == [
        ("given", 500_000_000),
        ("named", 100_000_000_000),
    ]


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "much"])
def test_a_limit_that_is_no_size_is_refused(
    wrong: str, seen: list[LocalCache], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["status", "x", f"--cache-gb={wrong}"])
    assert ended.value.code == 2
    assert "GB above 0" in capsys.readouterr().err
    assert not seen
