"""Measures mini CLIP: how often the caption "a <name>" retrieves a frame of that name, among the frames of all names.

In:   the model folder, loaded with open_clip, and every drawing of every set.
Out:  recall@1 and recall@10, printed as the table of CARD.md. A gallery has one frame per name and set. A
      query succeeds when one of its first k frames shows its name.
Time: about a minute on one core.

    python -m reelbeam.models.mini_clip.evaluate --drawings .cache/drawings

Only the drawings are shared with the training scenes: frames are 640 x 360 JPEGs composed with Pillow.
"""

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image

from .drawings import SETS, fetch_drawings, load_drawings, render
from .train import FOLDER, HELD_OUT, TRAINED

WIDTH_PX, HEIGHT_PX = 640, 360


def recall_at(k: int, scores: np.ndarray, shows: np.ndarray) -> float:
    """The share of queries with one of their own frames among the k best of scores [queries, frames].

    >>> recall_at(1, np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]))
    0.5
    """
    asked = np.unique(shows)
    best = np.argsort(-scores[asked], axis=1)[:, :k]
    return float((shows[best] == asked[:, None]).any(axis=1).mean())


def video_frame(rgba: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Composes a frame: one drawing at 35..70 % of the height, off centre, on a random background, JPEG-compressed."""
    coarse = rng.integers(0, 256, (*rng.choice([(1, 1), (1, 2), (2, 2), (3, 4), (6, 10)]), 3), dtype=np.uint8)
    frame = Image.fromarray(coarse).resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.BICUBIC)
    side = int(HEIGHT_PX * rng.uniform(0.35, 0.70))
    drawing = Image.fromarray(rgba).resize((side, side), Image.Resampling.LANCZOS)
    x = WIDTH_PX / 2 + rng.uniform(-0.2, 0.2) * HEIGHT_PX - side / 2
    y = rng.uniform(0, HEIGHT_PX - side)
    frame.paste(drawing, (int(x), int(y)), drawing)
    coded = io.BytesIO()
    frame.save(coded, "JPEG", quality=int(rng.integers(40, 90)))
    return Image.open(coded).convert("RGB")


@torch.inference_mode()
def embed_gallery(
    model: open_clip.CLIP,
    preprocess: Callable[..., torch.Tensor],
    drawings: dict[str, dict[str, str]],
    set_name: str,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Embeds one frame per name of a set: float32 [n, d], unit length, and name numbers int64 [n]."""
    rng = np.random.default_rng([seed, list(SETS).index(set_name)])
    shown = [(i, svgs[set_name]) for i, svgs in enumerate(drawings.values()) if set_name in svgs]
    frames = [preprocess(video_frame(render(svg, 256), rng)) for _, svg in shown]
    features = [model.encode_image(part, normalize=True) for part in torch.stack(frames).split(256)]
    return torch.cat(features).numpy(), np.array([i for i, _ in shown])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drawings", type=Path, default=Path(".cache/drawings"), help="where npm puts them")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the model")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    drawings = load_drawings(fetch_drawings(options.drawings))
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{options.folder}")
    tokenize = open_clip.get_tokenizer(f"local-dir:{options.folder}")
    model.eval()
    with torch.inference_mode():
        queries = model.encode_text(tokenize([f"a {name}" for name in drawings]), normalize=True).numpy()

    galleries = {s: embed_gallery(model, preprocess, drawings, s, options.seed) for s in SETS}
    rows = {f"{s}{', held out' if s == HELD_OUT else ''}": galleries[s] for s in SETS}
    frames, shows = (np.concatenate([galleries[s][part] for s in TRAINED]) for part in (0, 1))
    rows["all trained sets"] = (frames, shows)
    print("| gallery | frames | recall@1 | recall@10 |\n|---|---|---|---|")
    for title, (frames, shows) in rows.items():
        scores = queries @ frames.T
        at_1, at_10 = (recall_at(k, scores, shows) for k in (1, 10))
        print(f"| {title} | {len(frames)} | {at_1:.3f} | {at_10:.3f} |")


if __name__ == "__main__":
    main()
