"""doctor says what a report of a fault needs, whatever is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reelbeam.pipeline.cli import main


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, str]]:
    assert main(["doctor", *arguments, "--json"]) == 0
    found: dict[str, dict[str, str]] = json.loads(capsys.readouterr().out)
    return found


def test_it_names_versions_ffmpeg_devices_and_weights(capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys)
    assert found["versions"]["apache-beam"].startswith("2.")
    assert found["ffmpeg"]["path"].endswith("ffmpeg")
    assert int(found["devices"]["cores"]) >= 1
    assert found["weights"]["offline clip"].endswith("at hand")
    assert "hub" in found["weights"]["standard clip"]
    assert "storage" not in found


def test_a_machine_without_ffmpeg_is_told_the_cure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install ffmpeg" in report(capsys)["ffmpeg"]["path"]


def test_an_output_without_a_dataset_is_reached_and_said_to_be_empty(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert report(capsys, str(tmp_path))["storage"]["snapshot"].startswith("none")
    assert list(tmp_path.iterdir()) == [], "it changes nothing"


def test_a_bucket_that_cannot_be_reached_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    assert main(["doctor", str(file)]) == 0
    assert "storage:" in capsys.readouterr().out
