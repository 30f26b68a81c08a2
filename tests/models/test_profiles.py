"""Profiles name real weights, say what they cost, and where their weights lie on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
from faster_whisper import available_models
from faster_whisper.utils import _MODELS

from reelbeam.models.at_hand import CLIP_REPOSITORIES, WHISPER_REPOSITORIES, cached_snapshot, weights_at_hand
from reelbeam.models.clip import ClipSpec
from reelbeam.models.profiles import PROFILES
from reelbeam.models.text import TextSpec
from reelbeam.models.whisper import WhisperSpec
from reelbeam.pipeline.cli import main
from reelbeam.schemas.errors import MissingWeights

ONLINE = [name for name in PROFILES if name != "offline"]


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with an empty cache and no network, which is told at once."""
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize("name", ONLINE)
def test_every_name_of_a_profile_is_one_that_its_library_knows(name: str) -> None:
    one = PROFILES[name]
    assert (one.clip.architecture, one.clip.weights) in open_clip.list_pretrained()
    assert one.whisper.weights in available_models()
    one.clip.check()
    assert one.clip.pixels.size[0] >= 224
    assert one.good_at
    assert one.costs


def test_the_hub_repositories_are_those_of_the_libraries() -> None:
    used = {(one.clip.architecture, one.clip.weights) for one in PROFILES.values() if one.name != "offline"}
    assert used == set(CLIP_REPOSITORIES)
    for (architecture, tag), repository in CLIP_REPOSITORIES.items():
        assert open_clip.get_pretrained_cfg(architecture, tag)["hf_hub"].strip("/") == repository
    assert WHISPER_REPOSITORIES.items() <= _MODELS.items()
    assert {PROFILES[name].whisper.weights for name in ONLINE} <= set(WHISPER_REPOSITORIES)


@pytest.mark.parametrize("name", ONLINE)
def test_missing_weights_are_one_error_that_names_the_cure(
    name: str, no_hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert (
        main(["extract", str(tmp_path / "a.mp4"), str(tmp_path / "out"), "--models", name]) == MissingWeights.exit_code
    )
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "cure: connect to the internet once" in said
    assert not (tmp_path / "out").exists()
    for spec in (PROFILES[name].whisper, PROFILES[name].text):
        if "package:" not in spec.weights:
            with pytest.raises(MissingWeights, match="cure"):
                spec.identity()


def cached(hub: Path, repository: str, file: str, size: int) -> Path:
    """A file in the hub's cache, as its client keeps one: a link to a blob."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    copy, blob = folder / "snapshots" / "0123", folder / "blobs" / file
    copy.mkdir(parents=True)
    blob.parent.mkdir()
    blob.write_bytes(b"x" * size)
    (copy / file).symlink_to(blob)
    return copy


def test_weights_in_the_cache_are_found_with_their_size(no_hub: Path, tmp_path: Path) -> None:
    best = PROFILES["best"]
    assert weights_at_hand(best.clip).state == weights_at_hand(best.text).state == "absent"
    copy = cached(no_hub, "timm/PE-Core-L-14-336", "open_clip_model.safetensors", 1000)
    held = weights_at_hand(best.clip)
    assert (held.state, held.path, held.bytes) == ("cache", str(copy), 1000)
    (copy / "open_clip_model.safetensors").resolve().unlink()
    assert weights_at_hand(best.clip).state == "absent", "a link to a file that was never fetched is no weights"
    cached(no_hub, "intfloat/multilingual-e5-large", "config.json", 10)
    assert cached_snapshot("intfloat/multilingual-e5-large") is None, "a config alone is no model"


def test_packages_paths_and_names_that_nobody_knows_are_told_apart(tmp_path: Path, no_hub: Path) -> None:
    assert weights_at_hand(PROFILES["offline"].whisper).state == "package"
    assert weights_at_hand(PROFILES["offline"].whisper).bytes > 70_000_000
    (tmp_path / "model.pt").write_bytes(b"12345")
    assert weights_at_hand(ClipSpec("ViT-B-32", str(tmp_path / "model.pt"))).bytes == 5
    lost = weights_at_hand(TextSpec("package:no_such_package/model"))
    assert (lost.state, "pip install" in lost.note) == ("absent", True)
    assert weights_at_hand(WhisperSpec(engine="openai-whisper", weights="no-such-model")).state == "absent"


def test_the_command_lists_profiles_and_imports_no_torch() -> None:
    code = "import sys; from reelbeam.pipeline.cli import main; main(['models', '--json']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert set(found) == set(PROFILES)
    assert found["offline"]["models"]["text"]["state"] == "package"
    assert {part for one in found.values() for part in one["models"]} == {"clip", "whisper", "text"}


def test_the_command_lists_a_models_file_and_refuses_what_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], no_hub: Path
) -> None:
    fields = {"clip": {"architecture": "ViT-L-14", "weights": "datacomp_xl_s13b_b90k"}, "whisper": {"weights": "small"}}
    (tmp_path / "mine.json").write_text(json.dumps(fields))
    assert main(["models", str(tmp_path / "mine.json"), "best"]) == 0
    shown = capsys.readouterr().out
    assert "ViT-L-14:datacomp_xl_s13b_b90k" in shown
    assert "best: the best answers" in shown
    assert "siglip2" not in shown
    assert main(["models", "no-such-profile"]) == 2
