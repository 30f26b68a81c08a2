"""What Whisper's encoder heard of a window is the mean of its own states over the speech there, from the pass that the words come from."""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import REPOSITORY, made_unit
from hypothesis import given, settings
from hypothesis import strategies as st

from reelbeam.models import ct2_weights
from reelbeam.models.speech import Chunk, find_speech, pack_chunks
from reelbeam.models.weights import resolve
from reelbeam.models.whisper import Transcriber, WhisperSpec
from reelbeam.models.whisper_decoding import STATE_SAMPLES
from reelbeam.models.whisper_weights import encoder_width
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.schemas.elements import SAMPLE_RATE_HZ, Decoded, Grid, UnitFeatures
from reelbeam.schemas.example_rows import example_windows
from reelbeam.schemas.tables import RowShape, validate_windows
from reelbeam.schemas.tensors import tensor
from reelbeam.transforms.align import align
from reelbeam.transforms.decode import covered_windows
from reelbeam.transforms.pool_speech import pool_weights
from reelbeam.transforms.transcribe import transcribe_group

BUCKET = REPOSITORY / "examples" / "sample_bucket"
ENGINES = ("faster-whisper", "openai-whisper")


@lru_cache
def model(engine: str) -> Transcriber:
    return WhisperSpec(engine=engine, beam_size=1, audio_embedding=True).load("cpu")


spans_of_a_unit = st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 2000)), min_size=1, max_size=8).map(
    lambda steps: tuple(
        (sum(g + n for g, n in steps[:i]) + gap, sum(g + n for g, n in steps[:i]) + gap + length)
        for i, (gap, length) in enumerate(steps)
    )
)


@given(spans_of_a_unit, st.integers(-4000, 4000), st.lists(st.integers(1, 5000), min_size=1, max_size=5))
@settings(deadline=None, max_examples=60)
def test_each_sample_of_a_chunk_counts_once_for_the_state_and_the_window_that_it_lies_in(
    spans: tuple[tuple[int, int], ...], first: int, lengths: list[int]
) -> None:
    chunk, edges = Chunk(spans), np.cumsum([first, *lengths])
    wanted = np.zeros((len(lengths), -(-chunk.length // STATE_SAMPLES)))
    for sample in range(chunk.length):
        for window in range(len(lengths)):
            if edges[window] <= chunk.source_of(sample) < edges[window + 1]:
                wanted[window, sample // STATE_SAMPLES] += 1
    np.testing.assert_array_equal(pool_weights(chunk, edges), wanted)


def sound_of(name: str) -> np.ndarray:
    import subprocess

    command = ["ffmpeg", "-v", "error", "-i", str(BUCKET / name), "-ac", "1", "-ar", "16000", "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout, np.float32)


def heard_unit(samples: np.ndarray, start_ms: int = 0, silence: int = 0) -> UnitFeatures:
    samples = np.concatenate([np.zeros(silence, np.float32), samples])
    end_ms = start_ms + len(samples) * 1000 // SAMPLE_RATE_HZ
    none = np.zeros(0, np.int32)
    decoded = Decoded(np.zeros((0, 1, 1, 3), np.uint8), none, none, samples, start_ms, max(0, start_ms), end_ms, none)
    return UnitFeatures(made_unit(windows=-(-end_ms // 10_000)), decoded)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_states_are_those_of_the_one_pass_of_the_engine_s_own_encoder(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recogniser = model(engine)
    calls: list[int] = []
    states: list[np.ndarray] = []
    real = recogniser.engine.encode

    def counted(chunks):  # type: ignore[no-untyped-def]
        calls.append(len(chunks))
        heard = real(chunks)
        states.extend(recogniser.engine.states(heard))
        return heard

    unit = heard_unit(sound_of("desk.mp4"), start_ms=-700)
    assert unit.decoded is not None
    chunks = pack_chunks(find_speech(unit.decoded.samples))
    with monkeypatch.context() as patch:
        patch.setattr(recogniser.engine, "encode", counted)
        [done] = transcribe_group((unit,), recogniser, Grid())
    assert sum(calls) == len(chunks)  # none was doubtful, none was encoded twice
    windows = covered_windows(unit.unit, unit.decoded, Grid())
    wanted = np.zeros((len(windows), recogniser.spec.audio_embedding_dim))
    order = sorted(range(len(chunks)), key=lambda at: -chunks[at].length)  # batches hold the longest first
    for chunk, found in zip([chunks[at] for at in order], states, strict=True):
        for sample in range(0, chunk.length, 16):  # a millisecond of sound at a time
            at_ms = unit.decoded.samples_start_ms + chunk.source_of(sample) / 16
            if 0 <= at_ms < len(windows) * 10_000:
                wanted[int(at_ms // 10_000)] += found[sample // STATE_SAMPLES]
    assert done.speech_states is not None
    spoken = np.linalg.norm(wanted, axis=1) > 0
    assert spoken.any()
    lengths = np.linalg.norm(wanted, axis=1) * np.linalg.norm(done.speech_states, axis=1)
    cosines = (wanted * done.speech_states).sum(axis=1)[spoken] / lengths[spoken]
    assert cosines.min() > 0.9999
    assert (np.linalg.norm(done.speech_states, axis=1) > 0).tolist() == spoken.tolist()
    row_shape = RowShape(10, 4, 3, 2, 0, recogniser.spec.audio_embedding_dim)
    table = align(done, Grid(), row_shape).table
    stored = tensor(table, "audio_embedding").astype(np.float32)
    there = table["audio_embedding"].is_valid().to_numpy(zero_copy_only=False)
    assert there.tolist() == [bool(spoken[at]) for at in table["window"].to_pylist()]
    np.testing.assert_allclose(np.linalg.norm(stored[there], axis=1), 1, atol=2e-3)
    direction = wanted / np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-9)
    assert (stored * direction[table["window"].to_numpy()]).sum(axis=1)[there].min() > 0.999


@pytest.mark.parametrize("engine", ENGINES)
def test_what_was_padded_counts_for_nothing(engine: str) -> None:
    """Three seconds are padded to 10 or 30 s, and the encoder hears that too."""
    said = sound_of("desk.mp4")
    chunk = pack_chunks(find_speech(said))[0].cut(said)
    short = chunk[: 3 * SAMPLE_RATE_HZ]
    pool = np.ones((1, len(short) // STATE_SAMPLES), np.float32)
    [one] = model(engine).transcribe([short], None, [pool])
    assert one.pooled is not None
    states = model(engine).engine.states(model(engine).engine.encode([short]))[0]
    assert len(states) > pool.shape[1]
    np.testing.assert_allclose(one.pooled[0], states[: pool.shape[1]].sum(axis=0), rtol=1e-3, atol=0.05)
    whole = states.mean(axis=0)
    cosine = float(one.pooled[0] @ whole / np.linalg.norm(one.pooled[0]) / np.linalg.norm(whole))
    assert cosine < 0.99  # the padding would have been heard


def test_both_engines_hear_nearly_the_same() -> None:
    pooled = []
    for engine in ENGINES:
        [done] = transcribe_group((heard_unit(sound_of("desk.mp4")),), model(engine), Grid())
        assert done.speech_states is not None
        pooled.append(done.speech_states[0] / np.linalg.norm(done.speech_states[0]))
    assert float(pooled[0] @ pooled[1]) > 0.97


def test_a_unit_without_speech_has_no_state() -> None:
    [done] = transcribe_group((heard_unit(np.zeros(5 * SAMPLE_RATE_HZ, np.float32)),), model("faster-whisper"), Grid())
    assert done.speech_states is None
    table = align(done, Grid(), RowShape(10, 4, 3, 2, 0, 384)).table
    assert table["audio_embedding"].null_count == len(table) == 1


def test_the_width_of_an_encoder_is_known_without_loading_it(tmp_path: Path) -> None:
    assert encoder_width(WhisperSpec()) == 384
    assert WhisperSpec().audio_embedding_dim == 0
    assert encoder_width(WhisperSpec(engine="openai-whisper", weights="large-v3-turbo")) == 1280
    assert encoder_width(WhisperSpec(engine="openai-whisper", weights="base.en")) == 512
    folder = resolve(WhisperSpec().weights)
    assert folder is not None
    ct2_weights.convert(folder, tmp_path / "tiny.pt")
    assert encoder_width(WhisperSpec(engine="openai-whisper", weights=str(tmp_path / "tiny.pt"))) == 384


def test_a_spec_without_it_is_who_it_was_before_there_was_a_choice() -> None:
    assert "audio_embedding" not in WhisperSpec().identity()
    assert WhisperSpec(audio_embedding=True).identity() == {**WhisperSpec().identity(), "audio_embedding": True}


def test_example_rows_with_it_are_valid() -> None:
    shape = RowShape(4, 8, 5, 6, 7, 9)
    validate_windows(example_windows(6, 1, shape), shape)
    assert example_windows(6, 1, shape)["audio_embedding"].null_count == 3
    assert RowShape.from_json({"ticks": 4, "frame_dim": 8, "audio_dim": 5, "text_dim": 6}).audio_embedding_dim == 0


def column(output: Path) -> dict[tuple[str, int], bytes | None]:
    found = Dataset.open(str(output)).batches(["uri", "window", "audio_embedding"])
    rows = [row for _, batch in found for row in pa.Table.from_batches([batch]).to_pylist()]
    return {(row["uri"], row["window"]): row["audio_embedding"] for row in rows}


@pytest.mark.slow
def test_it_is_stored_when_asked_for_and_a_remodel_adds_it_without_a_look_at_a_picture(tmp_path: Path) -> None:
    bucket = tmp_path / "in"
    bucket.mkdir()
    for name in ("desk.mp4", "radio_story.m4a", "market_silent.mp4"):
        shutil.copy(BUCKET / name, bucket / name)
    plain, asked = tmp_path / "plain", tmp_path / "asked"
    assert main(["nightly", str(bucket), str(plain), "--models", "offline"]) == 0
    assert Dataset.open(str(plain)).snapshot.shape.audio_embedding_dim == 0
    assert main(["extract", str(bucket), str(asked), "--models", "offline", "--audio-embedding"]) == 0
    stored = column(asked)
    assert len(stored) == Dataset.open(str(asked)).snapshot.counts["windows"]
    ratios = {
        (row["uri"], row["window"]): row["speech_ratio"]
        for _, batch in Dataset.open(str(asked)).batches(["uri", "window", "speech_ratio"])
        for row in batch.to_pylist()
    }
    assert {key for key, value in stored.items() if value} == {key for key, ratio in ratios.items() if ratio > 0}
    assert 0 < sum(value is None for value in stored.values()) < len(stored)
    before = [numbers.tolist() for numbers, _ in Dataset.open(str(plain)).batches(["window"])]
    assert main(["nightly", str(bucket), str(plain), "--models", "offline", "--audio-embedding"]) == 2
    assert main(["nightly", str(bucket), str(plain), "--models", "offline", "--audio-embedding", "--remodel"]) == 0
    assert column(plain) == stored
    assert [numbers.tolist() for numbers, _ in Dataset.open(str(plain)).batches(["window"])] == before
    assert main(["verify", str(plain)]) == 0
    assert main(["nightly", str(bucket), str(plain), "--models", "offline", "--remodel"]) == 0
    assert Dataset.open(str(plain)).snapshot.shape.audio_embedding_dim == 0
    assert main(["verify", str(plain)]) == 0
