"""The page of `search --html`: each query's moments with the frames found."""

from __future__ import annotations

from collections.abc import Sequence

from ..answers import FramePictures, MomentAnswer, as_answers
from ..dataset import Dataset
from ..search import Moment
from .standalone import picture_address, rendered


def moments_page(dataset: Dataset, results: Sequence[tuple[str, Sequence[Moment]]]) -> str:
    """A page that shows the moments of each query."""
    pictures = FramePictures.of(dataset)

    def pictured(moment: MomentAnswer) -> MomentAnswer:
        row, tick = moment.row, moment.tick
        shown = pictures.picture(row, tick) if row is not None and tick is not None else None
        return moment.model_copy(update={"thumbnail": picture_address(shown)})

    shown = [(query, [pictured(one) for one in as_answers(moments, pictures.places)]) for query, moments in results]
    return rendered(dataset, "moments.html", results=shown)
