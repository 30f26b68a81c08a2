"""Speech is found, packed, heard and timed, with the real weights of the offline profile and espeak-ng's voice."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelbeam.models import ct2_weights, speech
from reelbeam.models.speech import Chunk, find_speech, pack_chunks
from reelbeam.models.weights import resolve
from reelbeam.models.whisper import Transcriber, WhisperSpec, better, is_doubtful, is_silence, plan_batches, tidy_words
from reelbeam.models.whisper_decoding import Decoding, TimedWord
from reelbeam.schemas.elements import SAMPLE_RATE_HZ
from reelbeam.schemas.errors import MissingWeights, UsageError
from reelbeam.transforms.transcribe import video_languages

MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"
RECORDINGS = {
    "openai-whisper/jfk.flac": "and so my fellow americans ask not what your country can do for you ask what you can do "
    "for your country",
    "azure-speech-sdk/whatstheweatherlike.wav": "what's the weather like",
    "gcp-python-samples/audio_silence_padding.wav": "how old is the brooklyn bridge",
}
SENTENCES = ("The harbour was quiet when the first fishing boats came home.", "We could see snow on the mountains.")
ENGINES = {"faster-whisper": WhisperSpec(), "openai-whisper": WhisperSpec(engine="openai-whisper", beam_size=2)}
SLOWER_ONE_LATER = ["faster-whisper", pytest.param("openai-whisper", marks=pytest.mark.slow)]
"""Both engines, the slow one with the slow tests."""
SECOND = SAMPLE_RATE_HZ


@lru_cache
def model(engine: str) -> Transcriber:
    return ENGINES[engine].load("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """torch on one thread: beside busy neighbours, the small steps of openai-whisper wait long for a second one."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def decoded(path: Path) -> np.ndarray:
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), "-ac", "1", "-ar", str(SECOND), "-f", "f32le", "-"],
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout
    return np.frombuffer(raw, np.float32)


def recordings() -> list[np.ndarray]:
    if not MEDIA.is_dir():
        pytest.skip("the folder of real recordings is not here")
    return [decoded(MEDIA / name) for name in RECORDINGS]


@lru_cache
def spoken(sentence: str) -> np.ndarray:
    if not shutil.which("espeak-ng"):
        pytest.skip("espeak-ng is not installed")
    wav = subprocess.run(
        ["espeak-ng", "-v", "en-us", "-s", "150", "--stdout", sentence], check=True, capture_output=True, timeout=60
    ).stdout
    samples = np.frombuffer(wav[44:], np.int16).astype(np.float32) / 32768
    at = np.arange(int(len(samples) * SECOND / 22_050)) * 22_050 / SECOND
    return np.interp(at, np.arange(len(samples)), samples).astype(np.float32)


def plain(text: str) -> str:
    return " ".join("".join(c for c in text.lower() if c.isalnum() or c in " '").split())


# Finding speech


def test_speech_is_found_where_it_is_and_nowhere_else() -> None:
    said = spoken(SENTENCES[0])
    samples = np.concatenate([np.zeros(3 * SECOND, np.float32), said, np.zeros(5 * SECOND, np.float32)])
    spans = find_speech(samples)
    assert abs(spans[0][0] - (3 * SECOND - speech.PAD)) < SECOND // 4
    assert abs(spans[-1][1] - (3 * SECOND + len(said) + speech.PAD)) < SECOND // 2


@pytest.mark.parametrize("kind", ["silence", "white noise", "hum", "chords", "melody"])
def test_silence_noise_and_music_hold_no_speech(kind: str) -> None:
    random = np.random.default_rng(0)
    at = np.arange(20 * SECOND) / SECOND
    notes = np.repeat(random.choice([262, 294, 330, 349, 392, 440], 40), SECOND // 2)
    samples = {
        "silence": np.zeros(len(at)),
        "white noise": random.normal(0, 0.1, len(at)),
        "hum": sum(0.2 / n * np.sin(2 * np.pi * 50 * n * at) for n in range(1, 8)),
        "chords": sum(0.1 * np.sin(2 * np.pi * hz * at) * np.exp(-3 * (at % 0.5)) for hz in (220, 277, 330, 440)),
        "melody": 0.3 * np.sin(2 * np.pi * notes * at),
    }[kind]
    assert find_speech(np.asarray(samples, np.float32)) == []


def test_finding_speech_leaves_the_samples_as_they_were() -> None:
    samples = spoken(SENTENCES[0]).copy()
    before = samples.copy()
    find_speech(samples)
    assert (samples == before).all()


def test_a_weak_word_is_kept_beside_clear_ones_and_dropped_alone() -> None:
    clear, weak, none = [0.95] * 20, [0.6] * 12, [0.0] * 15
    beside = speech.voiced_spans(np.array(weak + none + clear + none), 62 * speech.FRAME)
    assert [start // speech.FRAME for start, _ in beside] == [0, 27]
    assert speech.voiced_spans(np.array(weak + none * 4 + clear + none), 107 * speech.FRAME)[0][0] == 72 * speech.FRAME


@given(st.lists(st.floats(0, 1), max_size=300), st.integers(0, 511), st.integers(1, 40))
@settings(deadline=None)
def test_utterances_are_rising_disjoint_inside_and_short_enough(likely: list[float], more: int, longest_s: int) -> None:
    probabilities = np.array(likely, np.float32)
    length = max(0, len(likely) * speech.FRAME - more)
    longest = longest_s * SECOND // 4 + speech.CUT_RANGE
    energy = np.square(probabilities)
    spans = [
        piece
        for span in speech.voiced_spans(probabilities, length)
        for piece in speech.split_at_quiet(span, energy, longest)
    ]
    padded = speech.pad_spans(spans, length)
    assert len(padded) == len(spans)
    for (start, end), (low, high) in zip(spans, padded, strict=True):
        assert 0 <= low <= start < end <= high <= length
        assert end - start <= longest
        assert start - low <= speech.PAD
        assert high - end <= speech.PAD
    assert all(left[1] <= right[0] for left, right in pairwise(padded))


def test_a_speaker_who_never_pauses_is_cut_at_the_quietest_place() -> None:
    energy = np.ones(60 * SECOND // speech.FRAME)
    energy[700] = 0.1
    pieces = speech.split_at_quiet((0, 60 * SECOND), energy)
    assert pieces[0] == (0, 700 * speech.FRAME + speech.FRAME // 2)
    assert all(end - start <= speech.MAX_UTTERANCE for start, end in pieces)
    assert all(left[1] == right[0] for left, right in pairwise(pieces))
    assert pieces[-1][1] == 60 * SECOND


# Packing


spans_of_a_unit = st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 20_000)), max_size=40).map(
    lambda steps: [
        (sum(g + n for g, n in steps[:i]) + gap, sum(g + n for g, n in steps[:i]) + gap + length)
        for i, (gap, length) in enumerate(steps)
    ]
)


@given(spans_of_a_unit)
@settings(deadline=None)
def test_chunks_hold_every_utterance_once_in_order_and_never_too_much(spans: list[tuple[int, int]]) -> None:
    chunks = pack_chunks(spans, max_s=2)
    assert [span for chunk in chunks for span in chunk.spans] == spans
    assert all(0 < chunk.length <= 2 * SECOND for chunk in chunks)
    for left, right in pairwise(chunks):  # greedy is the fewest for a fixed order
        first, last = right.spans[0]
        assert left.length + last - first > 2 * SECOND


@given(spans_of_a_unit.filter(bool))
@settings(deadline=None)
def test_the_map_back_to_the_unit_is_exact_for_every_sample(spans: list[tuple[int, int]]) -> None:
    source = np.arange(spans[-1][1])
    for chunk in pack_chunks(spans, max_s=2):
        cut = chunk.cut(source)
        assert len(cut) == chunk.length
        for sample in {0, chunk.length // 3, chunk.length // 2, chunk.length - 1}:
            assert chunk.source_of(sample) == cut[sample]


def test_a_word_that_spans_a_joint_stays_in_the_utterance_of_its_middle() -> None:
    chunk = Chunk(((0, SECOND), (10 * SECOND, 11 * SECOND)))
    assert chunk.source_s(0.6, 1.2) == (0.6, 1.0)
    assert chunk.source_s(0.9, 1.3) == (10.0, 10.3)


def test_a_span_longer_than_a_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than a chunk"):
        pack_chunks([(0, 31 * SECOND)])


# Hearing


@pytest.mark.parametrize("engine", SLOWER_ONE_LATER)
def test_real_recordings_are_heard_word_for_word(engine: str) -> None:
    chunks = [chunk.cut(samples) for samples in recordings() for chunk in pack_chunks(find_speech(samples))]
    heard = model(engine).transcribe(chunks)
    assert [plain(transcript.text) for transcript in heard] == list(RECORDINGS.values())
    for transcript, chunk in zip(heard, chunks, strict=True):
        times = [at for word in transcript.words for at in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert 0 <= times[0] <= times[-1] <= len(chunk) / SECOND
        assert all(0 < word.probability <= 1 for word in transcript.words)
        assert transcript.language == "en"
        assert transcript.no_speech_prob < 0.6
        assert -1 < transcript.avg_logprob < 0


@pytest.mark.parametrize("engine", SLOWER_ONE_LATER)
def test_words_and_order_do_not_depend_on_who_else_is_in_the_batch(engine: str) -> None:
    chunks = [spoken(SENTENCES[1]), spoken(SENTENCES[0])]
    together, again = model(engine).transcribe(chunks), model(engine).transcribe(chunks)
    if engine == "faster-whisper":
        assert together == again
    for one, two in zip(together, again, strict=True):  # MKL may share its sums out otherwise on a busy machine
        assert [word.word for word in one.words] == [word.word for word in two.words]
        assert one.avg_logprob == pytest.approx(two.avg_logprob, abs=1e-3)
    assert together[0].text != together[1].text
    [alone] = model(engine).transcribe(chunks[:1])
    assert alone.text == together[0].text
    assert alone.avg_logprob == pytest.approx(together[0].avg_logprob, abs=0.01)


def test_words_are_where_they_were_said() -> None:
    """The same sentence after two different pauses: each word keeps its place in it."""
    said, gap = spoken(SENTENCES[0]), np.zeros(2 * SECOND, np.float32)
    samples = np.concatenate([gap, said, gap, gap, said])
    [chunk] = pack_chunks(find_speech(samples))
    [heard] = model("faster-whisper").transcribe([chunk.cut(samples)])
    starts = [chunk.source_s(word.start_s, word.end_s)[0] for word in heard.words]
    count = len(SENTENCES[0].split())
    assert len(starts) == 2 * count
    shift = np.subtract(starts[count:], starts[:count])
    assert float(np.median(np.abs(shift - (4 + len(said) / SECOND)))) < 0.1
    assert abs(starts[0] - 2) < 0.5


def test_no_chunks_give_no_transcripts_and_a_chunk_too_long_is_refused() -> None:
    assert model("faster-whisper").transcribe([]) == []
    with pytest.raises(ValueError, match="chunk 1 has 480001"):
        model("faster-whisper").transcribe([np.zeros(9, np.float32), np.zeros(480_001, np.float32)])


def test_an_english_only_model_says_so() -> None:
    assert model("faster-whisper").detect_languages([np.zeros(SECOND, np.float32)]) == [("en", 1.0)]


# Deciding what to believe


def test_a_doubted_silence_is_dropped_and_a_loop_is_tried_again() -> None:
    good = Decoding([1], "A sentence like many others.", -0.2, 0.01)
    assert not is_silence(good)
    assert not is_doubtful(good)
    assert is_silence(good._replace(avg_logprob=-1.1, no_speech_prob=0.7))
    assert not is_silence(good._replace(no_speech_prob=0.7))
    assert is_doubtful(good._replace(text="and so on " * 20))
    assert is_doubtful(good._replace(text=" "))
    assert is_doubtful(good._replace(avg_logprob=-1.1))


def test_of_two_tries_the_one_with_text_and_no_loop_wins() -> None:
    good, loop, none = (Decoding([1], text, -0.9, 0.0) for text in ("some words", "again " * 50, ""))
    assert better(loop._replace(avg_logprob=-0.1), good) == good
    assert better(none._replace(avg_logprob=-0.1), loop) == loop
    assert better(good, good._replace(avg_logprob=-0.5)).avg_logprob == -0.5


def test_batches_hold_each_index_once_and_one_language() -> None:
    languages = ["en", "de", "en", "en", "de"]
    batches = plan_batches([3, 5, 9, 1, 7], languages, 2)
    assert batches == [("de", [4, 1]), ("en", [2, 0]), ("en", [3])]


def test_punctuation_joins_its_word_and_a_word_gives_back_the_pause_it_swallowed() -> None:
    words = [
        TimedWord(' "', 0.0, 0.1, 1),
        TimedWord("Yes", 0.1, 0.4, 1),
        TimedWord(",", 0.4, 0.4, 1),
        TimedWord(" now", 0.4, 0.7, 1),
        TimedWord(".", 0.7, 3.0, 1),
        TimedWord(" Go", 3.0, 9.0, 1),
        TimedWord("!", 9.0, 9.1, 1),
    ]
    tidy = tidy_words(words, 9.05)
    assert [word.word for word in tidy] == [' "Yes,', " now.", " Go!"]
    assert tidy[2].start_s == pytest.approx(8.4)
    assert tidy[2].end_s <= 9.05


# Specs and weights


def test_a_spec_is_small_and_its_identity_is_json_and_holds_the_hash() -> None:
    for spec in ENGINES.values():
        assert pickle.loads(pickle.dumps(spec)) == spec
        assert len(json.loads(json.dumps(spec.identity()))["weights_sha256"]) == 64


@pytest.mark.parametrize(("field", "value"), [("engine", "x"), ("task", "x"), ("beam_size", 0), ("batch_size", 0)])
def test_a_value_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{field} .*{value}"):
        WhisperSpec(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("weights", ["no-such-model", "./no/such/folder", "package:no_such_package/model"])
def test_missing_weights_name_the_cure(engine: str, weights: str) -> None:
    for act in (
        WhisperSpec(engine=engine, weights=weights).identity,
        lambda: WhisperSpec(engine=engine, weights=weights).load("cpu"),
    ):
        with pytest.raises(MissingWeights, match="cure"):
            act()


def test_a_folder_converts_to_a_file_that_openai_whisper_opens_with_equal_weights(tmp_path: Path) -> None:
    import whisper

    folder = resolve(WhisperSpec().weights)
    assert folder is not None
    ct2_weights.convert(folder, tmp_path / "tiny.en.pt")
    opened = whisper.load_model(str(tmp_path / "tiny.en.pt"), device="cpu")
    variables = ct2_weights.read_variables(folder / "model.bin")
    assert not opened.is_multilingual
    keys = variables["decoder/layer_2/attention/linear_1/weight"][:384].astype(np.float32)
    np.testing.assert_array_equal(opened.decoder.blocks[2].cross_attn.key.weight.detach().numpy(), keys)
    from_file = WhisperSpec(engine="openai-whisper", weights=str(tmp_path / "tiny.en.pt")).load("cpu")
    heads = from_file.engine.model.alignment_heads.to_dense().nonzero().tolist()  # type: ignore[attr-defined]
    assert heads == sorted([list(pair) for pair in ct2_weights.alignment_heads(folder) or []])


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    folder = resolve(WhisperSpec().weights)
    assert folder is not None
    (tmp_path / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:1_000_000])
    with pytest.raises(MissingWeights, match="not a whole CTranslate2 model"):
        ct2_weights.convert(tmp_path, tmp_path / "out.pt")


def test_quantized_folders_are_refused() -> None:
    with pytest.raises(MissingWeights, match="float16"):
        ct2_weights.openai_state({"encoder/layer_0/ffn/linear_0/weight_scale": np.ones(1, np.float32)})


class Polyglot:
    """Stands for a model of several languages: the first sample of a chunk says which, the second how sure it is."""

    must_detect = True

    def detect_languages(self, chunks: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        return [(("en", "de")[int(chunk[0])], float(chunk[1])) for chunk in chunks]


def heard(language: int, probability: float, seconds: int) -> np.ndarray:
    return np.array([language, probability] + [0] * seconds, np.float32)


def test_a_video_is_heard_in_the_language_that_its_longest_chunks_speak() -> None:
    chunks = [heard(0, 0.9, 1), heard(1, 0.6, 20), heard(1, 0.5, 19), heard(0, 0.8, 18), heard(0, 0.9, 5)]
    assert video_languages(["a"] * 5, chunks, Polyglot()) == ["de"] * 5  # the two short ones are not asked
    assert video_languages(["a", "b", "b", "a", "a"], chunks, Polyglot()) == ["en", "de", "de", "en", "en"]
