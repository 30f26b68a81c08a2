"""Every shape of Whisper is heard as its engine's own library hears it: mel bins, suppressed tokens, languages."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from faster_whisper import BatchedInferencePipeline, WhisperModel
from faster_whisper.audio import pad_or_trim
from faster_whisper.tokenizer import _LANGUAGE_CODES, Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens
from whisper_shapes import SHAPES, noise, whisper_folder

from reelbeam.models import ct2_weights
from reelbeam.models.whisper import Transcriber, WhisperSpec
from reelbeam.schemas.errors import MissingWeights, UsageError

pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")
"""openai-whisper sorts a torch tensor by NumPy where a beam search does not end."""

CHUNKS = [noise(25, 1), noise(23, 2)]
"""Long enough to be padded to 30 s, as both libraries pad everything."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("whisper")
    return {name: whisper_folder(top / name, shape) for name, shape in SHAPES.items()}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def load(folder: Path, engine: str = "faster-whisper") -> Transcriber:
    beams = 2 if engine == "faster-whisper" else 1
    return WhisperSpec(engine=engine, weights=str(folder), compute_type="float32", beam_size=beams).load("cpu")


def spoken(name: str) -> str:
    return "de" if SHAPES[name].languages else "en"


@pytest.mark.parametrize("name", SHAPES)
def test_faster_whisper_writes_what_its_own_library_writes(name: str, folders: dict[str, Path]) -> None:
    ours = load(folders[name]).engine
    theirs = WhisperModel(str(folders[name]), device="cpu", compute_type="float32", cpu_threads=1)
    found = ours.decode(ours.encode(CHUNKS), 2, spoken(name), timestamps=False)
    features = np.stack([pad_or_trim(theirs.feature_extractor(chunk)[..., :-1]) for chunk in CHUNKS])
    assert features.shape[1] == SHAPES[name].n_mels
    tokenizer = Tokenizer(theirs.hf_tokenizer, theirs.model.is_multilingual, "transcribe", spoken(name))
    _, wanted = BatchedInferencePipeline(theirs).generate_segment_batched(
        features, tokenizer, library_options(tokenizer)
    )
    for one, two in zip(found, wanted, strict=True):
        assert one.tokens == [token for token in two["tokens"] if token < tokenizer.eot]
        assert one.avg_logprob == pytest.approx(two["avg_logprob"], abs=1e-4)
        assert one.no_speech_prob == pytest.approx(two["no_speech_prob"], abs=1e-6)
    assert any(one.tokens for one in found)


def library_options(tokenizer: Tokenizer) -> object:
    """The library's own defaults, as `BatchedInferencePipeline.transcribe` makes them, with the beams of `load`."""
    from faster_whisper.transcribe import TranscriptionOptions

    fields = dict.fromkeys(TranscriptionOptions.__dataclass_fields__)
    fields |= {"beam_size": 2, "patience": 1, "length_penalty": 1, "repetition_penalty": 1, "no_repeat_ngram_size": 0}
    fields |= {"temperatures": [0.0], "suppress_blank": True, "without_timestamps": True, "multilingual": False}
    return TranscriptionOptions(**{**fields, "suppress_tokens": get_suppressed_tokens(tokenizer, [-1])})


@pytest.mark.parametrize("name", SHAPES)
def test_openai_whisper_writes_what_its_own_library_writes(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    import whisper

    ours = load(folders[name], "openai-whisper").engine
    ct2_weights.convert(folders[name], tmp_path / "model.pt")
    theirs = whisper.load_model(str(tmp_path / "model.pt"), device="cpu")
    assert theirs.dims.n_mels == SHAPES[name].n_mels
    assert theirs.is_multilingual == bool(SHAPES[name].languages)
    options = whisper.DecodingOptions(language=spoken(name), without_timestamps=True, fp16=False)
    found = ours.decode(ours.encode(CHUNKS), 2, spoken(name), timestamps=False)
    end = ours._tokenizer(spoken(name)).eot  # type: ignore[attr-defined]
    for chunk, one in zip(CHUNKS, found, strict=True):
        mel = whisper.log_mel_spectrogram(chunk, theirs.dims.n_mels, padding=160)[:, :-1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            two = whisper.decode(theirs, whisper.pad_or_trim(mel, 3000), options)
        assert one.tokens == [token for token in two.tokens if token < end], (
            "times that a random model writes are no words"
        )
        assert one.avg_logprob == pytest.approx(two.avg_logprob, abs=1e-3)


@pytest.mark.parametrize("name", ["small", "large-v3"])
def test_languages_are_those_that_each_library_detects(name: str, folders: dict[str, Path]) -> None:
    import whisper

    found = load(folders[name]).detect_languages(CHUNKS)
    theirs = WhisperModel(str(folders[name]), device="cpu", compute_type="float32", cpu_threads=1)
    for chunk, one in zip(CHUNKS, found, strict=True):
        language, probability, _ = theirs.detect_language(chunk)
        assert one[0] == language
        assert one[1] == pytest.approx(probability, abs=0.02), "the library reads one frame more behind the sound"
    openai = load(folders[name], "openai-whisper")
    model = openai.engine.model  # type: ignore[attr-defined]
    mels = [whisper.log_mel_spectrogram(chunk, model.dims.n_mels, padding=160)[:, :-1] for chunk in CHUNKS]
    _, each = model.detect_language(torch.stack([whisper.pad_or_trim(mel, 3000) for mel in mels]))
    assert [one[0] for one in openai.detect_languages(CHUNKS)] == [max(one, key=one.get) for one in each]
    assert len(each[0]) == SHAPES[name].languages


@pytest.mark.parametrize("name", ["large-v3", "turbo", "small"])
def test_a_folder_without_preprocessor_config_has_the_mel_bins_of_its_weights(name: str, tmp_path: Path) -> None:
    folder = whisper_folder(tmp_path / name, SHAPES[name])
    with_config = load(folder).engine
    wanted = with_config.states(with_config.encode(CHUNKS[:1]))
    (folder / "preprocessor_config.json").unlink()
    without = load(folder).engine
    np.testing.assert_array_equal(without.states(without.encode(CHUNKS[:1])), wanted)


def test_a_preprocessor_config_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = whisper_folder(tmp_path / "model", SHAPES["turbo"])
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": 80}))
    with pytest.raises(MissingWeights, match=r"80 mel bins.*128.*cure"):
        load(folder)


def test_a_tokenizer_that_is_missing_or_of_another_model_is_refused(
    tmp_path: Path, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = whisper_folder(tmp_path / "model", SHAPES["large-v3"])
    (folder / "tokenizer.json").unlink()
    with pytest.raises(MissingWeights, match=r"no tokenizer\.json.*cure"):
        load(folder)
    (folder / "tokenizer.json").write_bytes((folders["small"] / "tokenizer.json").read_bytes())
    with pytest.raises(MissingWeights, match=r"tokenizer\.json.*another model.*cure"):
        load(folder)


def test_languages_are_checked_before_a_job_starts(folders: dict[str, Path]) -> None:
    from whisper.tokenizer import LANGUAGES as OPENAI

    from reelbeam.models.whisper_settings import LANGUAGES

    assert set(LANGUAGES) == set(OPENAI) == set(_LANGUAGE_CODES)
    with pytest.raises(UsageError, match=r"language 'german'.*en"):
        WhisperSpec(language="german")
    for engine in ("faster-whisper", "openai-whisper"):
        WhisperSpec(engine=engine, weights=str(folders["large-v3"]), language="yue").load("cpu")
        with pytest.raises(UsageError, match="'yue'"):
            WhisperSpec(engine=engine, weights=str(folders["small"]), language="yue").load("cpu")
