"""reelbeam verify OUTPUT"""

from __future__ import annotations

import argparse

from .base import none_left

HELP = "check every hash, count, order and id in OUTPUT"
OPTIONS = None


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="a folder or bucket URL")
    parser.add_argument("--quick", action="store_true", help="compare only the sizes of stored files, by listing them")
    parser.add_argument(
        "--gone", metavar="VIDEO", help="prove instead that no file holds this video, given by uri or id"
    )


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Checks everything; exit code 4 when something is not as promised."""
    from ..dataset import Dataset
    from ..nightly import verify_dataset, verify_sizes

    none_left(rest, "verify")
    if args.gone:
        return gone(args.output, args.gone)
    dataset = Dataset.open(args.output)
    problems = list((verify_sizes if args.quick else verify_dataset)(dataset))
    for problem in problems:
        print(problem)
    snapshot = dataset.snapshot
    print(
        f"snapshot {snapshot.number}: {len(snapshot.shards)} shards, {snapshot.counts.get('windows', 0)} rows, "
        f"{len(snapshot.indexes)} indexes: "
        f"{('all sizes as promised' if args.quick else 'all as promised') if not problems else f'{len(problems)} problems'}"
    )
    return 4 if problems else 0


def gone(output: str, video: str) -> int:
    """Prints every trace of a video; exit code 4 when there is one."""
    from ...schemas import snapshot as snapshots
    from ...schemas.storage import Storage
    from ..dataset import Dataset
    from ..nightly import NamedVideo, find_traces, likely_names

    storage, named = Storage.at(output), NamedVideo.of(video)
    found = list(find_traces(storage, named))
    for trace in found:
        print(trace)
    print(f"{named.uri or video}: {f'{len(found)} traces' if found else 'nothing in OUTPUT holds it'}")
    for uri in likely_names(Dataset(storage, snapshots.load(storage)), video):
        if uri != named.uri:
            print(f"  another video: {uri}")
    return 4 if found else 0
