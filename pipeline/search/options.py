"""Options of the retrieval commands."""

from __future__ import annotations

from dataclasses import dataclass

from ...schemas.options import Options, option


@dataclass(frozen=True)
class TableOptions(Options):
    """Options of every command that answers with a table."""

    json: bool = option(False, "answer as JSON")
    out: str = option("", "write the whole answer as Parquet to this file")


@dataclass(frozen=True)
class NeighbourOptions(TableOptions):
    """Options of those that ask an index."""

    name: str = option("frames", "index to use")


@dataclass(frozen=True)
class KnnOptions(Options):
    """reelbeam knn"""

    k: int = option(10, "frames to find for each query", low=1, high=10_000)
    column: str = option("vector", "column of the queries: lists of numbers, a tensor, or text")
    uri: str = option("", "only videos whose uri matches this pattern; * stands for any text")
    language: str = option("", "only windows in this language")
    name: str = option("frames", "index to search")
    device: str = option("auto", "where text is encoded: auto, cpu, cuda")


@dataclass(frozen=True)
class SimilarOptions(NeighbourOptions):
    """reelbeam similar"""

    k: int = option(10, "videos to find", low=1, high=10_000)


@dataclass(frozen=True)
class NearDuplicatesOptions(NeighbourOptions):
    """reelbeam near-duplicates"""

    threshold: float = option(
        0.0, "cosine at and above which two frames count as copies (0: chosen from the distribution)", low=0, high=1
    )
    least: int = option(2, "shortest repeated span, in frames", low=1, high=10_000)


@dataclass(frozen=True)
class TagOptions(TableOptions):
    """reelbeam tag"""

    top: int = option(1, "labels for each window", low=1, high=1000)
    device: str = option("auto", "where labels are encoded: auto, cpu, cuda")


@dataclass(frozen=True)
class KeyframesOptions(TableOptions):
    """reelbeam keyframes"""

    k: int = option(5, "frames to choose", low=1, high=1000)


@dataclass(frozen=True)
class OutliersOptions(NeighbourOptions):
    """reelbeam outliers"""

    k: int = option(10, "moments to find", low=1, high=10_000)


@dataclass(frozen=True)
class SearchOptions(Options):
    """reelbeam search"""

    image: str = option("", "search with a picture instead of words")
    search_in: str = option(
        "frames",
        "what is searched: frames, speech, the fused vectors of both, titles and descriptions, exact words, or those on the screen or in "
        "subtitles alone; all joins the lists",
        choices=("frames", "speech", "fused", "titles", "words", "screen", "subtitles", "all"),
        flag="--in",
    )
    phrase: bool = option(False, "find exactly these words in a row in what was said")
    k: int = option(10, "moments to find", low=1, high=10_000)
    json: bool = option(False, "answer as JSON")
    html: str = option("", "write a page with the frames found to this file")
    models: str = option("", "models to encode the query with; default: those that made the dataset")
    name: str = option("frames", "index to search")
    device: str = option("auto", "where the query is encoded: auto, cpu, cuda")
