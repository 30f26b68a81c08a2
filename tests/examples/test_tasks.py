"""The labelled videos keep their promises, and the task examples learn what is there and nothing else."""

from __future__ import annotations

import importlib
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
T, D, A, E = 6, 8, 5, 7


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    torch.set_num_threads(1)


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def plan() -> tuple[Any, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        tasks = module("sample_tasks")
        return tasks.task_plan(240, 0, sorted({*sum(tasks.TOPICS.values(), ()), *tasks.NO_TOPIC}))


def test_plans_repeat_and_refuse_what_nobody_drew(plan: tuple[Any, ...]) -> None:
    tasks = module("sample_tasks")
    names = sorted({*sum(tasks.TOPICS.values(), ()), *tasks.NO_TOPIC})
    assert tasks.task_plan(240, 0, names) == plan
    assert tasks.task_plan(240, 1, names) != plan
    with pytest.raises(ValueError, match="no drawing of \\['anchor'\\]"):
        tasks.task_plan(20, 0, [name for name in names if name != "anchor"])


def test_of_each_twenty_videos_twelve_are_to_train_on_and_five_to_test(plan: tuple[Any, ...]) -> None:
    for start in range(0, 240, 20):
        splits = [video.labels["split"] for video in plan[start : start + 20]]
        assert [splits.count(split) for split in ("train", "validation", "test")] == [12, 3, 5]


def test_each_clip_tells_its_topic_to_some_sense_and_none_tells_all(plan: tuple[Any, ...]) -> None:
    tasks = module("sample_tasks")
    of = {thing: topic for topic, things in tasks.TOPICS.items() for thing in things}
    told = {sense: [] for sense in tasks.TELLS}
    for video in plan:
        for clip in video.labels["clips"]:
            assert any(clip["tells"].values())
            for sense, topic in clip["tells"].items():
                told[sense].append(topic == video.labels["topic"])
            assert [of.get(clip[sense]) for sense in ("shown", "said")] == [
                clip["tells"]["shown"],
                clip["tells"]["said"],
            ]
    for sense, right in told.items():
        assert np.mean(right) == pytest.approx(tasks.TELLS[sense] * (1 - tasks.WRONG), abs=0.06)


def test_actions_are_pairs_of_the_same_pictures_backwards() -> None:
    frames = module("sample_frames")
    for forth, back in (("comes closer", "goes away"), ("moves right", "moves left")):
        ways = [[frames.along(move, share) for share in np.linspace(0, 1, 11)] for move in (forth, back)]
        np.testing.assert_allclose(ways[0], ways[1][::-1])
        assert all(one != other for one, other in pairwise(ways[0]))


def test_a_sound_lies_in_its_span_alone_and_a_rising_whistle_rises() -> None:
    sounds = module("sample_sounds")
    sound = module("sample_video").Sound
    rate = 8000
    silence = np.zeros(4 * rate, np.int16)
    for kind in sounds.KINDS:
        track = sounds.with_sounds(silence, rate, [sound(kind, 1.0, 2.0, 0.1)], "seed").astype(float)
        assert np.array_equal(track, sounds.with_sounds(silence, rate, [sound(kind, 1.0, 2.0, 0.1)], "seed"))
        assert not track[:rate].any()
        assert not track[3 * rate :].any()
        assert 50 < np.sqrt((track[rate : 3 * rate] ** 2).mean()) < 0.12 * 32767, kind
    for kind, sign in (("rising", 1), ("falling", -1)):
        track = sounds.with_sounds(silence, rate, [sound(kind, 0.0, 4.0, 0.1)], "seed").astype(float)
        loudest = [np.abs(np.fft.rfft(second)).argmax() for second in np.split(track, 4)]
        assert all(np.diff(loudest) * sign > 0)


def test_a_manner_is_heard() -> None:
    speech, video = module("sample_speech"), module("sample_video")
    try:
        voice = speech._synthesiser()
    except OSError:
        pytest.skip("libespeak-ng is not here")
    plain, plain_words = voice.speak("We will sleep in a cabin.", "en-us", video.Manner())
    quick, quick_words = voice.speak("We will sleep in a cabin.", "en-us", video.Manner(190, gain=0.5))
    assert quick_words[-1].end_ms < 0.9 * plain_words[-1].end_ms
    assert np.abs(quick).max() < 0.7 * np.abs(plain).max()


def made_split(rows: int, seed: int, window_label: str = "action") -> Any:
    """Windows whose frames turn from one vector to another, or back: the order of ticks alone tells which."""
    rng = np.random.default_rng(seed)
    forth = np.arange(rows) % 2 == 0
    share = np.linspace(0, 1, T)[None, :, None]
    share = np.where(forth[:, None, None], share, 1 - share)
    ends = np.eye(D)[:2]
    frame = share * ends[0] + (1 - share) * ends[1] + rng.normal(size=(rows, T, D)) * 0.05
    x = {
        "frame": frame / np.linalg.norm(frame, axis=-1, keepdims=True),
        "frame_valid": np.ones((rows, T), bool),
        "audio": rng.normal(size=(rows, T, A)),
        "text": rng.normal(size=(rows, E)) / E**0.5,
        "present": np.ones((rows, 3), bool),
    }
    clips = [{"action": "forth" if each else "back"} for each in forth]
    labelled = module("labelled")
    labels = labelled.Labels({str(row): {"split": "train", "clips": [clip]} for row, clip in enumerate(clips)})
    tensors = {
        name: torch.from_numpy(each).to(torch.bool if each.dtype == bool else torch.float32) for name, each in x.items()
    }
    return labelled.Split(tensors, [str(row) for row in range(rows)], [0] * rows, [""] * rows, labels)


def share_right(learning: ModuleType, only: str, splits: list[Any]) -> float:
    model = learning.train_classifier(splits[0], splits[1], "action", kind="memory", only=only, seed=0, epochs=30)
    answer = learning.log_probabilities(model, splits[2]).argmax(1)
    return float((answer == splits[2].targets("action")).float().mean())


def test_a_classifier_learns_from_the_order_of_ticks_and_from_nothing_that_is_withheld() -> None:
    learning, action = module("task_learning"), module("task_action")
    splits = [made_split(rows, seed) for seed, rows in enumerate((128, 64, 64))]
    assert share_right(learning, "frame", splits) > 0.95
    assert share_right(learning, "", splits) > 0.9
    assert share_right(learning, "text", splits) < 0.75, "the words are noise"
    assert share_right(learning, "frame", [action.out_of_order(split, 3) for split in splits]) < 0.75


def windows_and_sentences(rows: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    sizes = {"frames": D, "motion": D, "words": E, "sound": 2 * A}
    x = {name: torch.from_numpy(rng.normal(size=(rows, size)).astype(np.float32)) for name, size in sizes.items()}
    return module("joint_space").Asked(x, torch.from_numpy(rng.normal(size=(rows, 2, D + E)).astype(np.float32)))


def test_the_joint_space_is_a_weighted_sum_of_cosines() -> None:
    data = windows_and_sentences(5, 0)
    torch.manual_seed(0)
    space = module("joint_space").JointSpace(data.x, D + E).eval()
    space.weights.data = torch.tensor([0.5, -1.0, 0.0, 2.0])
    raised = np.exp(space.weights.detach().numpy())
    wanted = np.zeros((5, 5))
    for weight, block in zip(raised / raised.sum(), space.blocks, strict=True):
        sides = []
        for layer, values in ((space.of_window[block], data.x[block]), (space.of_query[block], data.q[:, 0])):
            side = values.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
            sides.append(side / np.linalg.norm(side, axis=1, keepdims=True))
        wanted += weight * sides[0] @ sides[1].T
    found = space.windows(data.x) @ space.queries(data.q[:, 0]).T
    np.testing.assert_allclose(found.detach().numpy(), wanted, atol=1e-5)


def test_an_untrained_joint_space_is_the_two_pretrained_ones_side_by_side() -> None:
    data = windows_and_sentences(5, 1)
    space = module("joint_space").JointSpace(data.x, D + E, "frame").eval()
    space.weights.data = torch.tensor([0.0, -50.0])  # frames alone, without motion
    found = (space.windows(data.x) @ space.queries(data.q[:, 0]).T).detach().numpy()
    frames, clip = (values / values.norm(dim=1, keepdim=True) for values in (data.x["frames"], data.q[:, 0, :D]))
    np.testing.assert_allclose(found, (frames @ clip.T).numpy(), atol=1e-5)


def test_features_of_motion_and_sound_are_their_formulas() -> None:
    split = made_split(4, 5)
    split.x["frame_valid"][0, 2] = False
    mean, std = torch.full((A,), 0.5), torch.full((A,), 2.0)
    found = module("joint_space").features(split, mean, std)
    ticks = np.arange(T) - (T - 1) / 2
    ticks /= ticks.std(ddof=1)
    frame = split.x["frame"].numpy() * split.x["frame_valid"].numpy()[..., None]
    heard = (split.x["audio"].numpy() - 0.5) / 2
    np.testing.assert_allclose(found["motion"].numpy(), (frame * ticks[:, None]).mean(1) * np.sqrt(D), atol=1e-5)
    slopes = np.concatenate([heard.mean(1), (heard * ticks[:, None]).mean(1)], 1)
    np.testing.assert_allclose(found["sound"].numpy(), slopes, atol=1e-5)


def test_training_a_joint_space_brings_windows_to_their_sentences() -> None:
    joint = module("joint_space")
    rng = np.random.default_rng(3)
    turn = torch.from_numpy(rng.normal(size=(E, 2 * A)).astype(np.float32))

    def made(rows: int, seed: int) -> Any:
        data = windows_and_sentences(rows, seed)
        return joint.Asked({**data.x, "sound": data.q[:, 0, D:] @ turn}, data.q[:, :1])

    train, validation, test = made(256, 4), made(64, 5), made(64, 6)
    recall = []
    for epochs in (0, 40):
        space = joint.train_space(train, validation, "audio", 0, epochs)
        with torch.no_grad():
            recall.append(
                module("fusion_objectives").recall_at(
                    space.queries(test.q[:, 0]).numpy(), space.windows(test.x).numpy(), 1
                )
            )
    assert recall[0] < 0.15
    assert recall[1] > 0.5


def test_an_answer_is_the_sentence_nearest_to_the_question() -> None:
    questions = module("task_questions")
    assert questions.sentences_in("A man sold a key. It rained!") == ["A man sold a key.", "It rained!"]
    vectors = {"A man sold a key.": [1.0, 0.0], "It rained!": [0.0, 1.0], "Nothing": [0.5, 0.5]}
    encode = SimpleNamespace(
        words=SimpleNamespace(encode=lambda texts: np.array([vectors[t] for t in texts], np.float32))
    )
    split = SimpleNamespace(text=["A man sold a key. It rained!", "Nothing"])
    answers = questions.Answers(split, torch.tensor([[1.0, 0.1], [0.0, 1.0]]), encode)
    assert answers.holds(0, 0, "key")
    assert not answers.holds(1, 0, "key")
    assert not answers.holds(0, 1, "key")
    own, asked = (
        torch.tensor([0, 0]),
        [{"answer": "key", "found_by": "words"}, {"answer": "rained", "found_by": "frames"}],
    )
    found = questions.measured(torch.tensor([0, 1]), own, asked, answers)
    assert found["moment right"] == found["answer right"] == 0.5
    assert (found["moment, asked by words"], found["moment, asked by frames"]) == (1.0, 0.0)
    assert questions.by_chance(own, asked, answers, 2)["answer right"] == 0.5
