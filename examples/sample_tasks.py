"""Plans videos with labels for learning: topic of the video, action of the clip, mood of the video.

In:   (number of videos, seed, names of drawings).
Out:  MP4 files of `CLIPS` clips of CLIP_S seconds, with their labels, captions, questions and split.

The labels are spread over the modalities on purpose, so that each modality has some evidence and none has all of it:
- topic (of the video): the drawing, the thing spoken of and the background sound each show it in some clips only (TELLS), at
  least one of them in each clip. Otherwise they show no topic, and one time in twelve a wrong one.
- action (of the clip): how the drawing moves. Two actions of a pair, such as "comes closer" and "goes away", have the same
  pictures in another order. In some clips, a slide whistle shows which of the two it is, but not which pair. Words do not.
- mood (of the video): a combination of glad or sorry (from the words, but not in every clip) and lively or quiet (from the
  manner of the voice, and music in half of the videos). Pictures do not show it.
So the gain of fusion is there by construction: the results compare models, and do not predict gains on real videos.
"""

import random
from collections.abc import Sequence

from sample_truth import with_article
from sample_video import Manner, Shows, Sound, Video

CLIP_S = 10
"""One window of the default grid."""
CLIPS = 3
TELLS = {"shown": 0.75, "said": 0.7, "heard": 0.5}
"""Probability that each modality shows the topic in a clip."""
WRONG = 1 / 12
"""Probability that a modality which shows a topic shows a wrong one."""
FEELING = 0.75
"""Probability that the words show the mood."""
WHISTLES = 0.7
SPLITS = ("train",) * 12 + ("validation",) * 3 + ("test",) * 5
"""Splits of each 20 consecutive videos."""

TOPICS = {
    "animals": ("tiger", "elephant", "rooster", "owl", "camel", "kangaroo"),
    "food": ("pineapple", "hamburger", "tomato", "potato", "sandwich", "pizza"),
    "sea": ("anchor", "octopus", "turtle", "sailboat", "lobster", "dolphin"),
    "music": ("saxophone", "accordion", "guitar", "trumpet", "flute", "drum"),
    "travel": ("rocket", "tractor", "locomotive", "motorcycle", "helicopter", "bicycle"),
    "tools": ("hammer", "microscope", "ladder", "wrench", "magnet", "toolbox"),
}
"""Things whose names a small Whisper mostly recognises."""
NO_TOPIC = ("umbrella", "candle", "envelope", "crown", "sunflower", "pencil", "trophy", "mailbox")
PLACES = dict(zip(TOPICS, ("chirps", "sizzle", "waves", "organ", "engine", "knocks"), strict=True))
"""The sound of each topic."""
ACTIONS = {
    "appears": ("appears", "shows up"),
    "vanishes": ("vanishes", "disappears"),
    "comes closer": ("comes closer", "grows"),
    "goes away": ("goes away", "shrinks"),
    "moves right": ("moves to the right", "goes right"),
    "moves left": ("moves to the left", "goes left"),
}
"""Actions, and their wordings. Every second action is the reverse of the one before."""
MOODS = {
    ("glad", "lively"): "joy",
    ("glad", "quiet"): "calm",
    ("sorry", "lively"): "anger",
    ("sorry", "quiet"): "sadness",
}
MANNERLY = {"joy": "joyfully", "calm": "calmly", "anger": "angrily", "sadness": "sadly"}
FEELS = {
    "glad": (
        "What a wonderful day.",
        "That was a lovely surprise.",
        "Everyone laughed and was happy.",
        "We were so pleased with it.",
        "It was a beautiful gift.",
    ),
    "sorry": (
        "What a terrible day.",
        "That was an awful mistake.",
        "Everyone cried and was unhappy.",
        "We were so upset about it.",
        "It was a horrible loss.",
    ),
    "neither": ("It was a day in April.", "That was at noon.", "The weather was cloudy.", "It took an hour."),
}
_WHO = ("the teacher", "my sister", "a young farmer", "the old captain", "our neighbor", "the doctor", "my grandmother")
_DID = ("found", "lost", "sold", "painted", "carried", "forgot", "wanted", "remembered")
_WHERE = ("near the river", "behind the school", "at the market", "after the storm", "last summer", "under the bridge")
_VOICES = ("en-us", "en-us+m3", "en-us+f4", "en-gb-x-rp")


def task_plan(videos: int, seed: int, names: Sequence[str]) -> tuple[Video, ...]:
    """Plans videos; equal arguments give equal plans. Topics take turns, so all are equally frequent.

    Raises ValueError when a thing in the lists above is not among the drawings.
    """
    if missing := {thing for things in (*TOPICS.values(), NO_TOPIC) for thing in things} - set(names):
        raise ValueError(f"no drawing of {sorted(missing)}; cure: use the versions in models/mini_clip/drawings.py")
    rng = random.Random(f"tasks {seed}")
    splits: list[str] = []
    while len(splits) < videos:
        splits += rng.sample(SPLITS, len(SPLITS))
    return tuple(_video(number, splits[number], rng) for number in range(videos))


def _video(number: int, split: str, rng: random.Random) -> Video:
    topic, (feel, energy) = list(TOPICS)[number % len(TOPICS)], rng.choice(list(MOODS))
    mood = MOODS[feel, energy]
    shows: list[tuple[str | None, float]] = []
    moves: list[str] = []
    says, sounds, clips = [], [], []
    if rng.random() < 0.5:
        sounds.append(Sound(energy, 0.0, CLIPS * CLIP_S, rng.uniform(0.02, 0.05)))
    for clip in range(CLIPS):
        start_s = clip * CLIP_S
        told = _who_tells(topic, rng)
        shown, said = _things(told["shown"], told["said"], rng)
        if told["heard"]:
            sounds.append(Sound(PLACES[told["heard"]], start_s, CLIP_S, rng.uniform(0.015, 0.04)))
        action = rng.choice(list(ACTIONS))
        if rng.random() < WHISTLES:
            up = list(ACTIONS).index(action) % 2 == 0
            sounds.append(Sound("rising" if up else "falling", start_s, CLIP_S, rng.uniform(0.02, 0.04)))
        scenes, moved = _act(action, shown, rng)
        shows += scenes
        moves += moved
        who, did, where = rng.choice(_WHO), rng.choice(_DID), rng.choice(_WHERE)
        feeling = rng.choice(FEELS[feel if rng.random() < FEELING else "neither"])
        says += [
            (start_s + 0.3, f"{who} {did} {with_article(said)} {where}.".capitalize()),
            (start_s + 6.2, feeling),
        ]
        seen = f"{with_article(shown)} {rng.choice(ACTIONS[action])}"
        clips.append(
            {
                "shown": shown,
                "said": said,
                "tells": told,
                "action": action,
                "caption": f"{seen} while someone {MANNERLY[mood]} speaks of {with_article(said)}",
                "questions": [
                    {"text": f"What is it that {who} {did} {where}?", "answer": said, "found_by": "words"},
                    {"text": f"What do they speak of while {seen}?", "answer": said, "found_by": "frames"},
                ],
            }
        )
    labels = {"split": split, "topic": topic, "mood": mood, "clips": clips}
    return Video(
        f"task_{number:04d}.mp4",
        tuple(shows),
        tuple(says),
        rng.choice(_VOICES),
        fps=5,
        width=160,
        height=120,
        moves=tuple(moves),
        sounds=tuple(sounds),
        manner=_manner(energy, rng),
        labels=labels,
    )


def _who_tells(topic: str, rng: random.Random) -> dict[str, str | None]:
    """The topic that each modality shows in a clip: mostly the video's, or None. At least one modality shows a topic."""
    tells = [sense for sense, often in TELLS.items() if rng.random() < often] or [rng.choice(list(TELLS))]
    others = [known for known in TOPICS if known != topic]
    told = {sense: rng.choice(others) if rng.random() < WRONG else topic for sense in tells}
    return {sense: told.get(sense) for sense in TELLS}


def _things(shown: str | None, said: str | None, rng: random.Random) -> tuple[str, str]:
    """The thing shown and the thing spoken of. They are the same when both show the same topic, or none."""
    of = TOPICS | {None: NO_TOPIC}
    thing = rng.choice(of[shown])
    return thing, thing if said == shown else rng.choice(of[said])


def _act(action: str, shown: str, rng: random.Random) -> tuple[Shows, list[str]]:
    """The scenes of a clip, and how the drawing moves in each."""
    there_s = rng.randint(4, 6)
    if action == "appears":
        return ((None, CLIP_S - there_s), (shown, there_s)), ["", ""]
    if action == "vanishes":
        return ((shown, there_s), (None, CLIP_S - there_s)), ["", ""]
    return ((shown, CLIP_S),), [action]


def _manner(energy: str, rng: random.Random) -> Manner:
    """A random manner of speaking. Lively and quiet ones overlap in each parameter, but less in all of them together."""
    lively = energy == "lively"
    return Manner(
        words_a_minute=round(rng.gauss(158 if lively else 136, 7)),
        pitch=round(rng.gauss(62 if lively else 42, 10)),
        pitch_range=round(rng.gauss(70 if lively else 35, 12)),
        gain=10 ** (rng.gauss(-3 if lively else -8, 2.5) / 20),
    )
