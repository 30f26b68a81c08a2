"""Beam's own command-line options, checked before a run."""

from __future__ import annotations

import argparse

from apache_beam.options.pipeline_options import PipelineOptions

from ...schemas.errors import UsageError


def beam_options(flags: list[str]) -> PipelineOptions:
    """Parses Beam's own flags. Raises UsageError for a flag that neither Reelbeam nor Beam knows."""
    from apache_beam.options.pipeline_options import PipelineOptions

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for kind in {PipelineOptions, *_subclasses(PipelineOptions)}:
        if "_add_argparse_args" in vars(kind):
            try:
                kind._add_argparse_args(parser)  # type: ignore[attr-defined]
            except argparse.ArgumentError:  # two of Beam's option classes may declare the same flag
                continue
    _, unknown = parser.parse_known_args(flags)
    if unknown:
        raise UsageError(
            f"unknown option {unknown[0]}; cure: use an option of reelbeam extract --help, or one of Beam's pipeline options"
        )
    return PipelineOptions(flags)


def _subclasses(kind: type) -> set[type]:
    direct: list[type] = kind.__subclasses__()
    return {deeper for found in direct for deeper in {found, *_subclasses(found)}}


LOCAL_RUNNER = "FnApiRunner"
