"""The collection of the ranking benchmark: windows with truth, embedded and indexed by the offline models as any others.

Only pictures, sound and their decoding are left out: a window's frames are drawings on random grounds, embedded by CLIP; what is said,
written and titled is given as text. Windows that are right for one kind of query are wrong for all others.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.ranking_texts import FILLER, known_words, misspelt, names, signs, statements, titles
from reelbeam.models.loaded import loaded
from reelbeam.models.profiles import Profile, profile
from reelbeam.models.sense_registry import with_senses
from reelbeam.pipeline.cli import main as reelbeam
from reelbeam.pipeline.words import update_words
from reelbeam.schemas import snapshot as snapshots
from reelbeam.schemas.elements import Grid
from reelbeam.schemas.example_rows import example_windows
from reelbeam.schemas.file_records import ShardInfo, TableInfo
from reelbeam.schemas.snapshot import Snapshot
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.tables import videos_schema, windows_schema
from reelbeam.schemas.tensors import tensor_array
from reelbeam.transforms.embed_text import text_vectors
from reelbeam.transforms.embed_titles import Titles
from reelbeam.transforms.fusers import fused
from reelbeam.transforms.shard_files import put_table, write_windows

VIDEOS, WINDOWS_A_VIDEO, TICKS = 200, 6, 10
NAMES_DRAWN = 300
KINDS = {"shown": 100, "said": 100, "written": 80, "titled": 80, "exact": 80, "misspelt": 80, "mixed": 120}
"""Queries of each kind."""

Window = tuple[int, int]
"""(number of the video, number of the window)."""


@dataclass
class Scene:
    """One window."""

    shows: str
    says: list[str] = field(default_factory=list)
    writes: str = ""


@dataclass(frozen=True)
class Query:
    """What is asked, and the windows that are right."""

    kind: str
    text: str
    right: frozenset[Window]


@dataclass(frozen=True)
class Made:
    """A collection before it is stored."""

    scenes: dict[Window, Scene]
    titles: list[str]
    queries: list[Query]


def compose(drawn: Sequence[str], seed: int, videos: int = VIDEOS) -> Made:
    """The windows and the queries. `drawn` are the names that can be shown."""
    choose = random.Random(seed)
    pure = [name for name in drawn if not known_words() & set(name.split())]
    shown = choose.sample(pure, min(NAMES_DRAWN, len(pure)))
    scenes = {
        (video, at): Scene(choose.choice(shown), [choose.choice(FILLER)])
        for video in range(videos)
        for at in range(WINDOWS_A_VIDEO)
    }
    order = choose.sample([*scenes], len(scenes))
    asked: dict[str, list[Query]] = {kind: [] for kind in KINDS}
    said: dict[Window, tuple[str, str]] = {}
    for window, (text, question) in zip(order, choose.sample(statements(), min(len(order), 384)), strict=False):
        scenes[window].says.append(text)
        said[window] = (text, question)
        asked["said"].append(Query("said", question, frozenset([window])))
    for window, name in zip(choose.sample([*scenes], len(scenes)), names(choose, 150), strict=False):
        scenes[window].says.append(f"and here is {name} from our office")
        asked["exact"].append(Query("exact", name, frozenset([window])))
        asked["misspelt"].append(Query("misspelt", misspelt(name, choose), frozenset([window])))
    for window, sign in zip(choose.sample([*scenes], len(scenes)), signs(choose), strict=False):
        scenes[window].writes = sign
        asked["written"].append(Query("written", sign.lower(), frozenset([window])))
    for query in asked["said"][: len(asked["said"]) // 3]:
        asked["misspelt"].append(replace(query, kind="misspelt", text=misspelt(query.text, choose)))
    called = choose.sample(titles(), videos)
    for video, (_, question) in enumerate(called):
        whole = frozenset((video, at) for at in range(WINDOWS_A_VIDEO))
        asked["titled"].append(Query("titled", question, whole))
    for name in shown:
        right = frozenset(window for window, scene in scenes.items() if scene.shows == name)
        asked["shown"] += [Query("shown", with_article(name), right)] if right else []
    asked["mixed"] = mixed(scenes, said, called, choose)
    queries = [one for kind, some in asked.items() for one in choose.sample(some, min(KINDS[kind], len(some)))]
    return Made(scenes, [title for title, _ in called], queries)


def mixed(
    scenes: dict[Window, Scene],
    said: dict[Window, tuple[str, str]],
    called: Sequence[tuple[str, str]],
    choose: random.Random,
) -> list[Query]:
    """Queries for a picture and a text of one window: others show the same picture, and often of the same thing is spoken elsewhere."""
    found = []
    for (video, at), scene in scenes.items():
        picture = with_article(scene.shows)
        if (video, at) in said:
            found.append(Query("mixed", f"{picture}, {said[video, at][1]}", frozenset([(video, at)])))
        elif scene.writes:
            found.append(Query("mixed", f"{scene.writes.lower()} with {picture}", frozenset([(video, at)])))
        else:
            right = frozenset(
                (video, other) for other in range(WINDOWS_A_VIDEO) if scenes[video, other].shows == scene.shows
            )
            found.append(Query("mixed", f"{picture} in {called[video][1]}", right))
    return choose.sample(found, len(found))


def with_article(name: str) -> str:
    """A thing with its article.

    >>> with_article("owl")
    'an owl'
    """
    return f"{'an' if name[0] in 'aeio' else 'a'} {name}"


Draw = Callable[[str, np.random.Generator], np.ndarray]
"""(name, random) -> a frame uint8 [h, w, 3]."""


def store(made: Made, folder: Path, draw: Draw) -> str:
    """Writes a collection as a dataset with all its indexes; returns its address."""
    models = with_senses(profile("offline"), ["ocr"])
    grid, shape = Grid(window_ticks=TICKS), models.row_shape(TICKS)
    storage = Storage.at(folder)
    table = windows(made, models, draw)
    info = put_table(storage, "windows/made/windows-00000.parquet", table, write_windows)
    ends = [(table["video_id"][at].as_py(), table["window"][at].as_py()) for at in (0, len(table) - 1)]
    shard = ShardInfo(info.path, info.rows, info.bytes, info.sha256, ends[0], ends[1])
    rows = [
        {
            **{name: 0.0 if pa.types.is_floating(kind) else 0 for name, kind in numbers(shape.text_dim)},
            **dict.fromkeys(("etag", "content_sha256", "container", "video_codec", "audio_codec", "description"), ""),
            **{"video_id": video_id(at), "uri": f"/made/{at}.mp4", "title": title, "status": "ok", "run": "made"},
            **{"duration_ms": WINDOWS_A_VIDEO * TICKS * 1000, "missing_since_ms": 0},
        }
        for at, title in enumerate(made.titles)
    ]
    embedded = Titles(models.text, "cpu", shape.text_dim).embed(rows)
    videos = put_table(storage, "videos/made.parquet", pa.Table.from_pylist(embedded, videos_schema(shape.text_dim)))
    one = TableInfo(videos.path, videos.rows, videos.bytes, videos.sha256)
    empty = Snapshot(1, None, "made", snapshots.now(), {}, models.identities(), "made", grid, shape)
    held, next_row = empty.add_shards([shard])
    counts = {"videos": len(rows), "windows": next_row, "frames": next_row * TICKS}
    snapshots.commit(storage, replace(empty, shards=held, videos=(one,), next_row=next_row, counts=counts))
    reelbeam(["index", storage.root])
    update_words(storage.root)
    return storage.root


def numbers(text_dim: int) -> list[tuple[str, pa.DataType]]:
    """The columns of numbers of the videos table."""
    kinds = (pa.types.is_integer, pa.types.is_floating)
    return [(one.name, one.type) for one in videos_schema(text_dim) if any(kind(one.type) for kind in kinds)]


def video_id(number: int) -> str:
    return f"{number:016x}"


def windows(made: Made, models: Profile, draw: Draw) -> pa.Table:
    """The rows of the windows table."""
    shape = models.row_shape(TICKS)
    order = sorted(made.scenes)
    scenes = [made.scenes[window] for window in order]
    rng = np.random.default_rng(1)
    frames = np.stack([draw(scene.shows, rng) for scene in scenes for _ in range(2)])
    seen = loaded(models.clip, "cpu").encode(frames).reshape(len(order), 2, -1)
    frame_embedding = np.repeat(seen, [TICKS // 2, TICKS - TICKS // 2], axis=1)
    encode = loaded(models.text, "cpu").encode
    texts = [". ".join(scene.says) for scene in scenes]
    vectors, spoken = text_vectors(texts, encode, shape.text_dim)
    signs_, written = text_vectors([scene.writes for scene in scenes], encode, shape.text_dim)
    given: dict[str, Any] = {
        "video_id": [video_id(video) for video, _ in order],
        "uri": [f"/made/{video}.mp4" for video, _ in order],
        "window": [at for _, at in order],
        "start_ms": [at * TICKS * 1000 for _, at in order],
        "end_ms": [(at + 1) * TICKS * 1000 for _, at in order],
        "tick_pts_ms": tensor_array(
            np.array([[(at * TICKS + tick) * 1000 for tick in range(TICKS)] for _, at in order], np.int32)
        ),
        "tick_valid": tensor_array(np.ones((len(order), TICKS), np.uint8)),
        "tick_sound": tensor_array(np.zeros((len(order), TICKS), np.uint8)),
        "shot": tensor_array(
            np.zeros((len(order), TICKS), np.int32) + np.array([at for _, at in order])[:, None].astype(np.int32)
        ),
        "frame_embedding": tensor_array(frame_embedding.astype(np.float16)),
        "text": texts,
        "words": [timed(text, at * TICKS * 1000) for text, (_, at) in zip(texts, order, strict=True)],
        "language": ["en"] * len(order),
        "text_embedding": tensor_array(vectors, spoken),
        "screen_text": [
            [line(scene.writes, at)] if scene.writes else None for scene, (_, at) in zip(scenes, order, strict=True)
        ],
        "screen_embedding": tensor_array(signs_, written),
    }
    bare = with_senses(replace(models, senses=()), [])
    example = example_windows(len(order), 1, bare.row_shape(TICKS))
    schema = windows_schema(shape)
    columns = {one.name: column(one, given, example) for one in schema}
    return fused(pa.table(columns, schema=schema), models, "cpu")


def column(field: pa.Field, given: dict[str, Any], example: pa.Table) -> Any:
    """A column as given, else as the example has it, else "ok" or null."""
    if field.name in given:
        return given[field.name]
    if field.name == "fused_embedding":
        return pa.nulls(len(example), field.type)
    if field.name in example.column_names:
        return example[field.name].combine_chunks()
    return pa.array(["ok" if pa.types.is_string(field.type) else None] * len(example), field.type)


def timed(text: str, start_ms: int) -> list[dict[str, Any]]:
    """The words of a text, one each 0.3 s."""
    return [
        {"word": word, "start_ms": start_ms + 300 * at, "end_ms": start_ms + 300 * at + 300, "probability": 1.0}
        for at, word in enumerate(text.split())
    ]


def line(text: str, window: int) -> dict[str, Any]:
    """A line of text on the screen for all of a window."""
    box = {"left": 0.1, "top": 0.8, "right": 0.7, "bottom": 0.9, "confidence": 0.95}
    return {"text": text, **box, "start_ms": window * TICKS * 1000, "end_ms": (window + 1) * TICKS * 1000}
