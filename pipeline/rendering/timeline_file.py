"""The page of `timeline --html`: the explorer's page of a video, with its frames in it."""

from __future__ import annotations

from pathlib import Path

from ...schemas.addresses import is_remote
from ..answers import FramePictures, described
from ..dataset import Dataset
from .standalone import file_address, picture_address, rendered
from .timeline_drawing import find_video


def timeline_page(dataset: Dataset, asked: str) -> tuple[str, str]:
    """The page of a video with all its windows, and the video's name. A video on this machine plays in it, where the browser can.

    Raises UsageError when no video or several videos match.
    """
    row = find_video(dataset, asked)
    pictures = FramePictures.of(dataset)
    facts = described(dataset, pictures.places, row, most=None)
    frames = [
        frame.model_copy(update={"thumbnail": picture_address(pictures.picture(frame.row, frame.tick)) or ""})
        for frame in facts.frames_shown
    ]
    is_here = not is_remote(row["uri"]) and Path(row["uri"]).is_file()
    media = file_address(row["video_id"], row["uri"], 0) if is_here else ""
    shown = facts.model_copy(update={"frames_shown": frames})
    return rendered(
        dataset, "video.html", video=shown, media=media, at_ms=0, is_signed=False, has_index=False
    ), facts.name
