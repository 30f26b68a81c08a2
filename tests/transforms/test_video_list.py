"""A listing in columns is the sorted list of its records, each uri once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbeam.schemas.elements import Sidecar, Video
from reelbeam.schemas.errors import Failure
from reelbeam.transforms import video_list
from reelbeam.transforms.video_list import VideoList

records = st.builds(
    lambda uri, size, title, failure, sidecars: Video(
        f"id-{uri}", uri, size, "e", title, failure=failure, sidecars=sidecars
    ),
    st.text("ab/é-\U0001f600", max_size=3), st.integers(0, 2**40), st.none() | st.sampled_from(["", "t"]),
    st.sampled_from([None, None, Failure("list", "bad_name", "")]), st.sampled_from([(), (), (Sidecar("s", 1, "e"),)]),
)  # fmt: skip


@pytest.mark.parametrize("batch", [1, 2, 65_536])
@given(given_=st.lists(records, max_size=12))
def test_it_is_the_sorted_list_of_its_records_and_the_first_of_one_uri_counts(given_: list[Video], batch: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video_list, "BATCH", batch)
        listed = VideoList.of(iter(given_))
        first: dict[str, Video] = {}
        for one in given_:
            first.setdefault(one.uri, one)
        wanted = [first[uri] for uri in sorted(first)]
        assert [*listed] == wanted
        assert len(listed) == len(wanted)
        assert listed[1:] == wanted[1:]
        assert [listed[at] for at in range(len(wanted))] == wanted
        assert listed.take([*range(len(wanted))][::-1]) == wanted[::-1]


def test_records_are_found_by_id_and_replaced_by_place() -> None:
    videos = [Video(f"id{at}", f"/{at}", at, "e") for at in range(5)]
    listed = VideoList.of(videos)
    assert listed.find(["id3", "nobody", "id0"]) == {"id0": videos[0], "id3": videos[3]}
    assert listed.find([]) == {}
    other = replace(videos[2], sidecars=(Sidecar("s", 1, "e"),))
    assert [*listed.with_others({2: other})] == [*videos[:2], other, *videos[3:]]
