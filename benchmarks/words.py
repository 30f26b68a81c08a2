"""The index of words: size, build time beside bare tantivy, time of single queries, cost of a night of +1%.

    python -m benchmarks.words [--windows 1000000] [--quick]

The nights come before the queries, which so search an index as it is in use. A process is warm after WARM queries: what it needs of the
shards is then mostly in memory. The first queries are measured too.

The windows are made: 25 words each out of a vocabulary of 30,000 with Zipf's frequencies. Bare tantivy gets the same documents from memory,
through `Document.from_dict`: the same fields, analyzers, number of threads and memory, and the same texts, which end with three words of
the next window. Ours reads the rows from the shards, makes the documents, and stores, hashes and publishes. `build_ratio_alone` compares
with bare tantivy over the 25 words alone, which finds no phrase across two windows.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import tantivy

from benchmarks.measure import ROOT
from benchmarks.results import Figure, finish
from reelbeam.models.devices import cores
from reelbeam.pipeline.search import Searches
from reelbeam.pipeline.words import parse_query, update_words
from reelbeam.pipeline.words.analyzers import analyzers_for, register, schema_of
from reelbeam.pipeline.words.documents import window_words
from reelbeam.pipeline.words.window_texts import fields_of
from reelbeam.pipeline.words.words_build import MOST_HEAP_BYTES, MOST_THREADS

sys.path.insert(0, str(ROOT / "tests"))
from made_words import MadeWords, Said

WORDS_A_WINDOW, WINDOWS_A_VIDEO, SHARD = 25, 100, 20_000
VOCABULARY = 30_000
WARM, QUERIES = 400, 200
ROUNDS, NIGHTS = 3, 3
MOST_RATIO, MOST_QUERY_MS, MOST_NIGHT = 1.3, 20.0, 0.05


def texts(count: int, seed: int) -> Iterator[str]:
    """Made sentences."""
    choose = random.Random(seed)
    spell = random.Random(0)
    vocabulary = ["".join(spell.choices("etaoinshrdlucm", k=spell.randint(2, 9))) for _ in range(VOCABULARY)]
    weights = [*itertools.accumulate(1 / (1 + rank) for rank in range(VOCABULARY))]
    for _ in range(count):
        yield " ".join(choose.choices(vocabulary, cum_weights=weights, k=WORDS_A_WINDOW))


def say(made: MadeWords, count: int, first_video: int, seed: int) -> None:
    """Commits windows, a shard at a time."""
    said: list[Said] = []
    for at, text in enumerate(texts(count, seed)):
        said.append((first_video + at // WINDOWS_A_VIDEO, at % WINDOWS_A_VIDEO, "en", text))
        if len(said) == SHARD or at == count - 1:
            made.say(said)
            said = []


def night(made: MadeWords, count: int, number: int) -> float:
    """Seconds that an update takes after a night that brought so many windows."""
    say(made, count, (1 + number) * 10**9, seed=3 + number)
    started = time.monotonic()
    update_words(made.root)
    return time.monotonic() - started


def percentile_95(values: list[float]) -> float:
    """The value that 95% do not exceed."""
    return sorted(values)[int(0.95 * (len(values) - 1))]


def bare(sentences: list[str], kinds: tuple[str, ...]) -> float:
    """Seconds that bare tantivy takes for texts in a schema with these kinds of text."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        analyzers = analyzers_for(["en"])
        schema = schema_of(analyzers, kinds)
        index = register(tantivy.Index(schema, path=folder), analyzers)
        writer = index.writer(MOST_HEAP_BYTES, min(MOST_THREADS, cores()))
        for row, text in enumerate(sentences):
            writer.add_document(tantivy.Document.from_dict({"row": row, "speech_en": text}, schema))
        writer.commit()
        writer.wait_merging_threads()
        return time.monotonic() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    count = 5000 if options.quick else options.windows
    with tempfile.TemporaryDirectory(prefix="reelbeam-bench-words-") as folder:
        made = MadeWords(Path(folder, "out"))
        say(made, count, 1, seed=1)
        sentences, kinds = [*texts(count, 1)], fields_of(made.shape)
        documents = [text for one in window_words(made.data, made.data.snapshot.shards) for _, text in one.texts]
        alone = bare(sentences, kinds)
        plain, built = [], []
        for _ in range(ROUNDS):
            plain.append(bare(documents, kinds))
            started = time.monotonic()
            _, manifest = update_words(made.root, full=True)
            built.append(time.monotonic() - started)
        whole = statistics.median(built)
        del documents
        nights = [night(made, count // 100, number) for number in range(NIGHTS)]
        searches = Searches(made.data)
        choose = random.Random(2)
        hits: list[float] = []
        moments: list[float] = []
        for _ in range((WARM + QUERIES) // (10 if options.quick else 1)):
            query = " ".join(choose.choices(choose.choice(sentences).split(), k=2))
            clauses = parse_query(query)
            started = time.monotonic()
            searches.words.index.hits(clauses, 10)
            hits.append(1000 * (time.monotonic() - started))
            started = time.monotonic()
            searches.words.moments(clauses, 10)
            moments.append(1000 * (time.monotonic() - started))
    figures = [
        Figure.of(
            "build_ratio",
            "time of a build over bare tantivy's",
            [ours / theirs for ours, theirs in zip(built, plain, strict=True)],
            at_most=MOST_RATIO,
        ),
        Figure.of("build_ratio_alone", "the same over bare tantivy without words of the next window", whole / alone),
        Figure.of("build_s", "seconds of a build", built),
        Figure.of("bytes_per_window", "bytes of the index per window of 25 words", manifest.size_bytes / count),
        Figure.of("index_ms", "median of a query to the index, ms", statistics.median(hits), at_most=MOST_QUERY_MS),
        Figure.of(
            "moments_ms",
            "median of a query with the rows of its ten moments from a warm process, ms",
            statistics.median(moments[-len(moments) // 3 :]),
            at_most=MOST_QUERY_MS,
        ),
        Figure.of("moments_p95_ms", "95% of these take at most, ms", percentile_95(moments[-len(moments) // 3 :])),
        Figure.of(
            "first_moments_ms", "median of the first 20 queries of a process, ms", statistics.median(moments[:20])
        ),
        Figure.of(
            "night_share", "time of a night of +1% over a build's", [one / whole for one in nights], at_most=MOST_NIGHT
        ),
    ]
    missed = finish("words", figures, options.quick, windows=count, bare_s=round(statistics.median(plain), 2))
    return 0 if options.quick else int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
