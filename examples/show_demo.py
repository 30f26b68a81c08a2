"""Shows the search results of the demo: a table of queries and moments, whether they are right, and a page with frames.

python examples/show_demo.py demo_output/features demo_output/search.html
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.rendering import moments_page, write_page
from reelbeam.pipeline.search.frames import FrameIndex, Moment, query_vector
from reelbeam.pipeline.search.options import SearchOptions
from reelbeam.pipeline.views import clock

TRUTH = Path(__file__).parent / "sample_bucket" / "truth.json"
SHOWN = 12
"""Number of queries in the table, evenly spaced among those in the truth file."""


def is_right(moment: Moment, wanted: list[dict[str, int | str]]) -> bool:
    """Whether a moment overlaps one of the moments in the truth file."""
    return any(
        Path(moment.uri).name == true["file"]
        and moment.start_ms < int(true["end_ms"])
        and moment.end_ms > int(true["start_ms"])
        for true in wanted
    )


def main(output: str, page_file: str) -> None:
    truth = json.loads(TRUTH.read_text())
    queries = [query for query in truth["queries"] if query["kind"] == "frame"]
    index = FrameIndex(Dataset.open(output))
    options = SearchOptions(k=5)
    found = {query["text"]: index.search(query_vector(index, query["text"], options), options.k) for query in queries}
    right = {query["text"]: is_right(found[query["text"]][0], query["moments"]) for query in queries}
    shown = queries[:: max(1, len(queries) // SHOWN)]

    table = Table("query", "best moment", "video", "score", "right", "words spoken there", title="What the demo found")
    for query in shown:
        text = query["text"]
        best = found[text][0]
        span = f"{clock(best.start_ms)} to {clock(best.end_ms)}"
        mark = "yes" if right[text] else "no"
        table.add_row(text, span, Path(best.uri).name, f"{best.score:.3f}", mark, best.text)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    write_page(page_file, moments_page(index.dataset, [(query["text"], found[query["text"]]) for query in shown]))
    print(f"{sum(right.values())} of {len(right)} queries find the right moment first. The frames found: {page_file}")
    print(f'Try your own: .venv/bin/reelbeam search {output} "a rocket"')
    print(f"Look at it in a browser: make explore, or .venv/bin/reelbeam explore {output}")


if __name__ == "__main__":
    main(*sys.argv[1:])
