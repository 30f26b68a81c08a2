"""Pictures of a snapshot's frames: those that it stores, else made from the videos."""

from __future__ import annotations

from ..dataset import Dataset
from ..playing import FramePlaces, Thumbnails, VideoSources
from .stored_frames import StoredFrames


class FramePictures:
    """Pictures by row and tick. May be asked by several threads."""

    def __init__(self, places: FramePlaces, stored: StoredFrames, made: Thumbnails):
        """All three are of one snapshot."""
        self.places, self.stored, self.made = places, stored, made

    @classmethod
    def of(cls, dataset: Dataset) -> FramePictures:
        """With places and thumbnails of its own."""
        made = Thumbnails(VideoSources(), dataset.snapshot.options.get("video_stream", ""))
        return cls(FramePlaces(dataset), StoredFrames(dataset), made)

    def picture(self, row: int, tick: int) -> bytes | None:
        """A WebP file where it is stored, else a JPEG file; None where there is no such frame, or its video cannot be read."""
        place = self.places.frame(row, tick)
        video = self.places.dataset.facts.get(place[0]) if place else None
        if not place or not video:
            return None
        return self.stored.webp(row, tick) or self.made.jpeg(video, place[1])


def picture_type(picture: bytes) -> str:
    """
    >>> picture_type(b"RIFF....WEBP"), picture_type(b"\\xff\\xd8\\xff")
    ('image/webp', 'image/jpeg')
    """
    return "image/webp" if picture[:4] == b"RIFF" else "image/jpeg"
