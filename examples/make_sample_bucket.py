"""Makes the sample bucket: small videos in many formats, with the ground truth of what they show and say.

    python examples/make_sample_bucket.py  # examples/sample_bucket, 20 files
    python examples/make_sample_bucket.py --out /tmp/more --videos 240 --seed 7  # random ones
    python examples/make_sample_bucket.py --out /tmp/tasks --videos 240 --tasks  # with labels to learn (sample_tasks.py)
    python examples/make_sample_bucket.py --out /tmp/written --written  # text on the screen and subtitles (sample_written.py)

All but the last need ffmpeg with libx264, libx265, libvpx and libopus, the espeak-ng library, npm once (for the drawings) and
the PyPI package resvg-py. About 4 minutes on 2 cores; the same command on the same machine gives the same bytes.
"""

import argparse
import multiprocessing
import os
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sample_files import Written, frame_times_s, write_video
from sample_frames import Scene, draw_frames
from sample_plan import PLAN
from sample_sounds import with_sounds
from sample_speech import speak_all
from sample_tasks import task_plan
from sample_truth import DRAWN_BY, video_truth, write_truth
from sample_video import Video, random_plan
from sample_written import make_written

from reelbeam.models.mini_clip.drawings import fetch_drawings, load_drawings

Svgs = dict[str, dict[str, str]]


def usable_drawings(folder: Path) -> Svgs:
    """Maps name -> set -> SVG text, for the names that all sets in `DRAWN_BY` draw."""
    drawings = load_drawings(fetch_drawings(folder))
    return {name: {s: sets[s] for s in DRAWN_BY} for name, sets in drawings.items() if set(DRAWN_BY) <= set(sets)}


def cut_scenes(video: Video, times_s: Sequence[float], svgs: Svgs, seed: str) -> list[Scene]:
    """Starts each scene at the first frame at or after its planned time, and chooses the set of its drawing.

    Raises:
      ValueError: no frame starts within a millisecond of a planned cut.
      KeyError: a name that is not among the drawings.
    """
    rng = random.Random(seed)
    cuts, planned_s = [0], 0.0
    for _, seconds in video.shows:
        planned_s += seconds
        cut = next((i for i, t in enumerate(times_s) if t > planned_s - 1e-6), len(times_s))
        if cut < len(times_s) and times_s[cut] - planned_s > 1e-3:
            raise ValueError(f"{video.file}: no frame at {planned_s} s, the next one is at {times_s[cut]} s")
        cuts.append(cut)
    scenes = []
    moves = video.moves or ("",) * len(video.shows)
    for (name, _), move, first, stop in zip(video.shows, moves, cuts, cuts[1:], strict=False):
        drawn_by = None if name is None else rng.choice(DRAWN_BY)
        svg = None if name is None or drawn_by is None else svgs[name][drawn_by]
        scenes.append(Scene(name, drawn_by, svg, first, stop, move))
    return scenes


def make_video(video: Video, scenes: list[Scene], seed: str, out: Path) -> dict:
    """Writes one video into the folder `out` and returns its truth; call it in a fresh process."""
    path = out / video.file
    if video.trait == "not_a_video":
        path.write_text("This is not a video. It only has the name of one.\n" * 40)
        return video_truth(video, [], [], [], Written("text", 0.0, None, None, None))
    times_s = frame_times_s(video)
    track, rate_hz, told = None, 0, []
    if video.says:
        track, rate_hz, told = speak_all(video.says, video.voice, video.seconds or None, video.manner)
        track = with_sounds(track, rate_hz, video.sounds, seed)
    frames = draw_frames(scenes, times_s, video.width, video.height, seed)
    written = write_video(video, frames, track, rate_hz, path)
    return video_truth(video, scenes, times_s, told, written)


def make_bucket(plan: Sequence[Video], svgs: Svgs, out: Path, seed: int, workers: int) -> dict:
    """Writes all videos of `plan`, truth.json and README.md into `out`; returns the truth."""
    out.mkdir(parents=True, exist_ok=True)
    tasks = []
    for video in plan:
        key = f"{seed}/{video.file}"
        tasks.append((video, cut_scenes(video, frame_times_s(video), svgs, key), key, out))
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=1) as pool:
        return write_truth(pool.starmap(make_video, tasks, chunksize=1), out)


def main() -> None:
    """Makes the bucket described by the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).parent
    parser.add_argument("--out", type=Path, default=here / "sample_bucket", help="folder to write into")
    parser.add_argument("--videos", type=int, help="make this many random MP4 files instead of the planned ones")
    parser.add_argument("--tasks", action="store_true", help="give these files labels to learn")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other drawings and motion")
    parser.add_argument("--drawings", type=Path, default=Path(".cache/drawings"), help="where npm puts the drawings")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="videos made at once")
    parser.add_argument("--written", action="store_true", help="make a few videos with text and subtitles instead")
    options = parser.parse_args()
    if options.written:
        with tempfile.TemporaryDirectory(prefix="reelbeam-written-") as work:
            made = make_written(options.out, Path(work), options.seed)["videos"]
        print(f"{options.out}: {len(made)} videos, {sum(len(one['written']) for one in made)} texts on screens")
        return
    svgs = usable_drawings(options.drawings)
    planned = task_plan if options.tasks else random_plan
    plan = PLAN if options.videos is None else planned(options.videos, options.seed, sorted(svgs))
    truth = make_bucket(plan, svgs, options.out, options.seed, options.workers)
    total_bytes = sum((options.out / v["file"]).stat().st_size for v in truth["videos"])
    print(f"{options.out}: {len(truth['videos'])} videos, {total_bytes:,} bytes, {len(truth['queries'])} queries")


if __name__ == "__main__":
    main()
