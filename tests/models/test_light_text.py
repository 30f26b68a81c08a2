"""Queries encoded without torch equal those of open_clip and sentence-transformers; what is not known exactly is left to them."""

from __future__ import annotations

import itertools
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.factory import _find_checkpoint_in_dir
from safetensors.torch import load_file, save_file

from reelbeam.models import clip_words, sentence_query
from reelbeam.models.clip import ClipSpec
from reelbeam.models.clip_tokens import clip_tokens
from reelbeam.models.profiles import PROFILES
from reelbeam.models.text import TextSpec
from reelbeam.models.weights import resolve

ODD = (
    "a dog's don't we'LL THE &amp;amp; &lt; café naïve ☃ 日本語 ١٢ Ⅷ <end_of_text> <start_of_text> <END_OF_TEXT> 'ſ ﬁne "
    "“q” Ã© \x1b[0m \u200b \xa0 x² 🎉👨‍👩‍👧 İ ß ǅ e\u0301 antidisestablishmentarianism aaaaaaaaaaa [SEP] [MASK] ##ing 3.14 "
    "\x00 \ufffd \r\n ...!?"
).split(" ")
LONG = "a red car on the beach at night " * 40
TEXTS = ["a dog", "", " ", LONG, *ODD, "x <end_of_text> y", "two  spaces\tand a tab"]
FEW = ["a dog", "", "Don't say café [SEP]", "two  spaces\tand a tab and ten more words than nine tokens hold"]


def padded(text: str, length: int) -> list[int]:
    tokens = clip_tokens()
    assert tokens is not None
    ids = tokens.encode(text, length)
    return ids + [0] * (length - len(ids))


@pytest.fixture(scope="module")
def theirs() -> Callable[[str, int], list[int]]:
    tokenizer = open_clip.SimpleTokenizer()
    return lambda text, length: tokenizer([text], context_length=length)[0].tolist()


def test_token_ids_are_open_clips_for_thousands_of_texts(theirs: Callable[[str, int], list[int]]) -> None:
    draw = random.Random(7)
    letters = ["abcdefghij ABC 0123456789 '!?.,-&;<>", "".join(map(chr, range(0x20, 0x250))), "'s't're've'll ſİKk"]
    texts = [" ".join(draw.choices(ODD, k=draw.randint(0, 9))) for _ in range(2000)]
    texts += ["".join(draw.choices(draw.choice(letters), k=draw.randint(0, 20))) for _ in range(2000)]
    for text, length in zip([*TEXTS, *texts], itertools.cycle((77, 16, 5)), strict=False):
        assert padded(text, length) == theirs(text, length), repr(text)


@settings(max_examples=500)
@given(text=st.text(max_size=40))
def test_token_ids_are_open_clips_for_any_text(theirs: Callable[[str, int], list[int]], text: str) -> None:
    assert padded(text, 77) == theirs(text, 77)


def same_vectors(found: np.ndarray, wanted: np.ndarray) -> None:
    """float32, equal but for rounding."""
    assert found.dtype == wanted.dtype == np.float32
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert (found * wanted).sum(axis=1).min() > 0.999999


def test_the_offline_clips_words_are_the_same_without_torch() -> None:
    spec = PROFILES["offline"].clip
    light = clip_words.clip_words(spec)
    assert light is not None
    same_vectors(light.encode_text(TEXTS), spec.load("cpu").encode_text(TEXTS))
    assert light.encode_text([]).shape == (0, spec.dimension)


TEXT_CFG = {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 3, "mlp_ratio": 2.0}


def clip_folder(folder: Path, dtype: torch.dtype = torch.float32, text: Any = None, **config: Any) -> ClipSpec:
    """A CLIP with random weights in open_clip's layout; `text` adds to its text_cfg."""
    folder.mkdir(parents=True)
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    model_cfg = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": {**TEXT_CFG, **(text or {})}, **config}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": {}}))
    torch.manual_seed(3)
    model = open_clip.CustomTextCLIP if model_cfg.pop("custom_text", False) else open_clip.CLIP
    state = model(**model_cfg).state_dict()
    draw = torch.Generator().manual_seed(4)
    grown = {name: value + 0.3 * torch.rand(value.shape, generator=draw) for name, value in state.items()}
    save_file(
        {name: value.to(dtype).contiguous() for name, value in grown.items()}, folder / "open_clip_model.safetensors"
    )
    return ClipSpec("made", str(folder))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("quick", [False, True])
def test_any_plain_text_tower_gives_open_clips_vectors(tmp_path: Path, dtype: torch.dtype, quick: bool) -> None:
    spec = clip_folder(tmp_path / "clip", dtype, quick_gelu=quick)
    light = clip_words.clip_words(spec)
    assert light is not None
    same_vectors(light.encode_text(TEXTS), spec.load("cpu").encode_text(TEXTS))


def test_the_activation_that_a_models_file_names_is_used(tmp_path: Path) -> None:
    plain = clip_folder(tmp_path / "clip")
    quick = ClipSpec(plain.architecture, plain.weights, quick_gelu=True)
    light, other = clip_words.clip_words(quick), clip_words.clip_words(plain)
    assert light is not None
    assert other is not None
    same_vectors(light.encode_text(TEXTS), quick.load("cpu").encode_text(TEXTS))
    assert np.abs(light.encode_text(TEXTS) - other.encode_text(TEXTS)).max() > 1e-3


@pytest.mark.parametrize(
    "config",
    [
        {"text": {"no_causal_mask": True}},
        {"text": {"pool_type": "last"}},
        {"text": {"proj_bias": True}},
        {"text": {"tokenizer_kwargs": {"clean": "canonicalize"}}},
        {"custom_text": True},
        {"init_logit_bias": -10.0},
    ],
)
def test_a_text_tower_of_another_kind_is_left_to_open_clip(tmp_path: Path, config: dict[str, Any]) -> None:
    spec = clip_folder(tmp_path / "clip", **config)
    assert clip_words.clip_words(spec) is None
    assert type(clip_words.word_encoder(spec, "cpu")).__name__ == "ClipEncoder"


def test_weights_that_are_not_exactly_as_expected_are_left_to_open_clip(tmp_path: Path) -> None:
    spec = clip_folder(tmp_path / "clip")
    file = tmp_path / "clip" / "open_clip_model.safetensors"
    state = load_file(file)
    for name, change in {
        "more": {**state, "extra": torch.zeros(1)},
        "less": {key: value for key, value in state.items() if key != "ln_final.bias"},
        "shape": {**state, "positional_embedding": torch.zeros(11, 32)},
        "dtype": {**state, "ln_final.bias": state["ln_final.bias"].double()},
    }.items():
        folder = tmp_path / name
        shutil.copytree(tmp_path / "clip", folder)
        save_file(change, folder / file.name)
        assert clip_words.clip_words(ClipSpec(spec.architecture, str(folder))) is None, name
    shutil.copytree(tmp_path / "clip", tmp_path / "torn")
    (tmp_path / "torn" / file.name).write_bytes(b"not safetensors at all")
    assert clip_words.clip_words(ClipSpec(spec.architecture, str(tmp_path / "torn"))) is None
    (tmp_path / "torn" / file.name).rename(tmp_path / "torn" / "open_clip_pytorch_model.bin")
    assert clip_words.clip_words(ClipSpec(spec.architecture, str(tmp_path / "torn"))) is None


def test_pretrained_tags_and_gpus_are_left_to_open_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    assert clip_words.clip_words(PROFILES["standard"].clip) is None
    asked: list[str] = []
    monkeypatch.setattr(clip_words, "loaded", lambda spec, device: asked.append(device))
    monkeypatch.setattr(sentence_query, "loaded", lambda spec, device: asked.append(device))
    clip_words.word_encoder(PROFILES["offline"].clip, "cuda:1")
    sentence_query.query_encoder(TextSpec(), "cuda")
    assert asked == ["cuda:1", "cuda"]


def test_the_weights_file_of_a_folder_is_the_one_that_open_clip_takes(tmp_path: Path) -> None:
    names = [*clip_words.PREFERRED, "b.safetensors", "a.bin", "z.pth", "open_clip_config.json"]
    draw = random.Random(5)
    for number in range(200):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in draw.sample(names, draw.randint(0, 4)):
            (folder / name).touch()
        found = clip_words.checkpoint(folder)
        assert (str(found) if found else None) == _find_checkpoint_in_dir(folder)


def made_of(folder: Path, file: str = "", **changed: Any) -> TextSpec:
    """The offline sentence model in a folder of its own, with some fields of one of its JSON files changed."""
    original = resolve(TextSpec().weights)
    assert original is not None
    shutil.copytree(original, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "model.safetensors").symlink_to(original / "model.safetensors")
    if file:
        said = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
        (folder / file).write_text(json.dumps({**said, **changed}))
    return TextSpec(weights=str(folder))


def test_the_offline_sentence_models_queries_are_the_same_without_torch() -> None:
    spec = TextSpec()
    light = sentence_query.sentence_queries(spec)
    assert light is not None
    draw = random.Random(6)
    texts = [LONG, *FEW, *(" ".join(draw.choices(ODD, k=draw.randint(1, 20))) for _ in range(15))]
    texts += ["".join(chr(draw.randint(0x20, 0x3100)) for _ in range(12)) for _ in range(15)]
    same_vectors(light.encode_query(texts), spec.load("cpu").encode_query(texts))
    assert light.encode_query([]).shape == (0, spec.dimension)


def test_prompts_stand_before_the_query(tmp_path: Path) -> None:
    spec = made_of(tmp_path / "model", "config_sentence_transformers.json", prompts={"query": "query: "})
    light = sentence_query.sentence_queries(spec)
    assert light is not None
    same_vectors(light.encode_query(FEW), spec.load("cpu").encode_query(FEW))
    given = TextSpec(weights=spec.weights, prompts={"query": "find a "})
    light = sentence_query.sentence_queries(given)
    assert light is not None
    same_vectors(light.encode_query(FEW), given.load("cpu").encode_query(FEW))


def test_the_length_that_the_folder_states_is_kept(tmp_path: Path) -> None:
    spec = made_of(tmp_path / "model", "sentence_bert_config.json", max_seq_length=9)
    light = sentence_query.sentence_queries(spec)
    assert light is not None
    same_vectors(light.encode_query(FEW), spec.load("cpu").encode_query(FEW))


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}),
        ("1_Pooling/config.json", {"include_prompt": False}),
        ("config.json", {"hidden_act": "gelu_new"}),
        ("config.json", {"position_embedding_type": "relative_key"}),
        ("config.json", {"model_type": "mpnet"}),
        ("config.json", {"some_new_field": 1}),
        ("config.json", {"max_position_embeddings": 128}),
        ("config.json", {"torch_dtype": "float16"}),
        ("sentence_bert_config.json", {"do_lower_case": True}),
        ("sentence_bert_config.json", {"max_seq_length": None}),
        ("config_sentence_transformers.json", {"truncate_dim": 64}),
        ("tokenizer_config.json", {"do_lower_case": False}),
        ("tokenizer_config.json", {"strip_accents": False}),
        ("tokenizer_config.json", {"tokenizer_class": "MPNetTokenizer"}),
        ("tokenizer.json", {"normalizer": None}),
        ("tokenizer.json", {"post_processor": None}),
        ("tokenizer.json", {"added_tokens": []}),
        ("adapter_config.json", {"peft_type": "LORA"}),
    ],
)
def test_a_sentence_model_of_another_kind_is_left_to_its_library(
    tmp_path: Path, file: str, changed: dict[str, Any]
) -> None:
    assert sentence_query.sentence_queries(made_of(tmp_path / "model", file, **changed)) is None


def test_a_chain_of_other_modules_is_left_to_the_library(tmp_path: Path) -> None:
    spec = made_of(tmp_path / "model")
    file = tmp_path / "model" / "modules.json"
    modules = json.loads(file.read_text())
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    file.write_text(json.dumps([*modules[:2], dense]))
    assert sentence_query.sentence_queries(spec) is None
