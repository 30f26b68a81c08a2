"""What tests of nights share: a bucket and an OUTPUT to change at will, and what is in it, by name."""

from __future__ import annotations

from pathlib import Path

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset

OFFLINE = ("--models", "offline", "--max-removed", "1")


class World:
    """A bucket and an OUTPUT."""

    def __init__(self, bucket: Path, output: Path):
        self.bucket, self.output = bucket, output
        self._reports = set(self._all_reports())

    def night(self, *flags: str) -> int:
        return main(["nightly", str(self.bucket), str(self.output), *OFFLINE, *flags])

    @property
    def data(self) -> Dataset:
        return Dataset.open(str(self.output))

    def names(self) -> set[str]:
        """The files that the books hold."""
        return {Path(row["uri"]).name for row in self.data.videos.values()}

    def files(self) -> dict[Path, int]:
        """Every file of OUTPUT with its mtime."""
        return {file: file.stat().st_mtime_ns for file in Path(self.output).rglob("*") if file.is_file()}

    def _all_reports(self) -> list[Path]:
        return sorted(Path(self.output).glob("runs/*.report.json"))

    def new_reports(self) -> list[Path]:
        """The reports of the nights since this world was opened."""
        return [report for report in self._all_reports() if report not in self._reports]

    def content(self) -> dict[tuple[str, int], tuple[object, ...]]:
        """What each row says and shows, by uri and window."""
        names = ["uri", "window", "text", "words", "frame_embedding", "audio_feature", "text_embedding"]
        found = {}
        for _, batch in self.data.batches(names):
            for row in batch.to_pylist():
                key = (row["uri"], row["window"])
                assert key not in found, f"{key} is stored twice"
                found[key] = (row["text"], str(row["words"]), *(row[name] for name in names[4:]))
        return found

    def numbers(self) -> dict[tuple[str, int], int]:
        """Each row's global number, by uri and window."""
        return {
            (row["uri"], row["window"]): int(number)
            for given, batch in self.data.batches(["uri", "window"])
            for number, row in zip(given, batch.to_pylist(), strict=True)
        }

    def verified(self) -> bool:
        return main(["verify", str(self.output)]) == 0


def move_video(dataset: Dataset, name: str, uri: str | Path) -> str:
    """Makes an open dataset say that a video lies elsewhere; its id."""
    row = next(row for row in dataset.facts.values() if row["uri"].endswith(name))
    vars(dataset)["facts"] = {**dataset.facts, row["video_id"]: {**row, "uri": str(uri)}}
    return str(row["video_id"])
