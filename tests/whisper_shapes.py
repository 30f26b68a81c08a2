"""Whisper models of the real shapes (mel bins, vocabulary, languages) with tiny random weights, as CTranslate2 folders."""

from __future__ import annotations

import functools
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import whisper.tokenizer
from ctranslate2.converters.transformers import WhisperLoader
from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import WhisperConfig, WhisperForConditionalGeneration
from transformers.convert_slow_tokenizer import bytes_to_unicode


@dataclass(frozen=True)
class Shape:
    """What tells one Whisper from another, beside its size."""

    n_mels: int
    languages: int
    """0 for a model that knows English alone."""
    decoder_layers: int = 2


SHAPES = {"tiny.en": Shape(80, 0), "small": Shape(80, 99), "large-v3": Shape(128, 100), "turbo": Shape(128, 100, 1)}
"""Source: openai-whisper's `model_dims` of these files; turbo is large-v3 with 4 of its 32 decoder layers."""

ALIGNMENT_HEADS = [(0, 1)]


@functools.lru_cache
def tokenizer_of(languages: int) -> Tokenizer:
    """Whisper's own tokenizer, in the form that faster-whisper reads."""
    name = "multilingual" if languages else "gpt2"
    with warnings.catch_warnings():  # openai-whisper never closes its vocabulary file
        warnings.simplefilter("ignore", ResourceWarning)
        encoding = whisper.tokenizer.get_encoding(name, num_languages=languages or 99)
    ranks, letters = encoding._mergeable_ranks, bytes_to_unicode()
    spelt = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = [
        (rank, spelt[token[:at]], spelt[token[at:]])
        for token, rank in ranks.items()
        for at in range(1, len(token))
        if token[:at] in ranks and token[at:] in ranks
    ]
    merges.sort(key=lambda merge: merge[0])
    found = Tokenizer(BPE({spelt[token]: rank for token, rank in ranks.items()}, [merge[1:] for merge in merges]))
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    found.decoder = decoders.ByteLevel()
    special = sorted(encoding._special_tokens, key=lambda token: encoding._special_tokens[token])
    found.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    assert found.get_vocab_size() == encoding.n_vocab
    return found


def whisper_folder(folder: Path, shape: Shape, seed: int = 0) -> Path:
    """A CTranslate2 folder as `ct2-transformers-converter --copy_files tokenizer.json preprocessor_config.json` leaves it."""
    tokens = tokenizer_of(shape.languages)
    end = tokens.token_to_id("<|endoftext|>")
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=tokens.get_vocab_size(),
            num_mel_bins=shape.n_mels,
            d_model=64,
            encoder_layers=2,
            decoder_layers=shape.decoder_layers,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=256,
            decoder_ffn_dim=256,
            max_target_positions=448,
            init_std=0.25,
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=end,
            decoder_start_token_id=end + 1,
        )
    ).eval()
    with torch.no_grad():  # an end that comes: decodings of a few words
        model.model.decoder.embed_tokens.weight[end] *= 2
    loader = WhisperLoader()
    spec = loader.get_model_spec(model)
    first = tokens.token_to_id("<|startoftranscript|>") + 1
    spec.config.lang_ids = list(range(first, first + shape.languages))
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [tokens.encode(" ").ids[0], end]
    spec.config.alignment_heads = ALIGNMENT_HEADS
    loader.set_vocabulary(spec, [tokens.id_to_token(number) for number in range(tokens.get_vocab_size())])
    spec.validate()
    folder.mkdir(parents=True)
    spec.save(str(folder))
    tokens.save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": shape.n_mels, "chunk_length": 30}))
    return folder


def noise(seconds: float, seed: int) -> np.ndarray:
    """Sound that no two seeds share, float32 at 16 kHz."""
    random = np.random.default_rng(seed)
    return (random.normal(0, 0.1, int(seconds * 16_000)) * np.sin(np.arange(int(seconds * 16_000)) / 900)).astype(
        np.float32
    )
