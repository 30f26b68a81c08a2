"""Trains mini CLIP to match words with drawings, in an hour on two CPU cores.

In:   the drawings of `drawings.py` (npm fetches them once), four sets to learn from, one held out.
Out:  beside this file: open_clip_config.json, open_clip_model.safetensors (float16) and names.txt, rewritten
      every 5 minutes and at the end. open_clip loads the folder as "local-dir:models/mini_clip".
Time: `--minutes`, 60 by default. Uses a GPU when there is one.

    python -m reelbeam.models.mini_clip.train --drawings .cache/drawings

Each step shows 480 different names once, each as a drawing of one of its sets, and a few empty frames. The loss
is CLIP's, except that all captions with the same meaning count as correct.
"""

import argparse
import copy
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from open_clip import SimpleTokenizer
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.model import CLIP
from safetensors.torch import load_file, save_file
from torch import Tensor

from .drawings import SETS, fetch_drawings, load_drawings, render
from .scenes import SIZE_PX, Sprites, inked, scenes

FOLDER = Path(__file__).parent
HELD_OUT = "openmoji"
TRAINED = tuple(s for s in SETS if s != HELD_OUT)
CONTEXT_LENGTH = 16
CONFIG = {
    "model_cfg": {
        "embed_dim": 128,
        "vision_cfg": {"image_size": SIZE_PX, "layers": [1, 1, 2, 1], "width": 24, "patch_size": None},
        "text_cfg": {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": 49408,
            "width": 64,
            "heads": 2,
            "layers": 2,
        },
    },
    "preprocess_cfg": {
        "size": SIZE_PX,
        "mode": "RGB",
        "mean": list(OPENAI_DATASET_MEAN),
        "std": list(OPENAI_DATASET_STD),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}
CAPTIONS = (
    "a {}",
    "{}",
    "the {}",
    "a drawing of a {}",
    "a picture of a {}",
    "there is a {} on the screen",
    "a {} moving across the screen",
    "a video of a {}",
)
EMPTY_CAPTIONS = ("nothing", "an empty background", "a background with nothing on it", "no drawing")

NAMES_A_STEP = 480
EMPTY_A_STEP = 8
INKED = 0.25  # share of drawings shown with outlines, for styles that the sets do not have
EASY = 0.2  # of the time, over which scenes go from easy to hard; without it nothing is learned for long
PEAK_LEARNING_RATE = 2e-3
WARM_UP = 0.03  # of the time
WEIGHT_DECAY = 0.05  # matrices only
AVERAGE_DECAY = 0.998  # the weights kept are a running mean over some 500 steps
SAVE_MINUTES = 5.0


def render_all(drawings: dict[str, dict[str, str]], sets: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Renders every drawing of `sets`: uint8 [n, 64, 64, 4], and int64 [n], which name each shows."""
    shown = [(i, svgs[s]) for i, svgs in enumerate(drawings.values()) for s in sets if s in svgs]
    return np.stack([render(svg, SIZE_PX) for _, svg in shown]), np.array([i for i, _ in shown])


def caption_tokens(names: list[str]) -> Tensor:
    """Tokenizes each name in each caption: int64 [names + 1, captions, 16]. The last row describes empty frames."""
    tokenize = SimpleTokenizer(context_length=CONTEXT_LENGTH)
    empty = [EMPTY_CAPTIONS[i % len(EMPTY_CAPTIONS)] for i in range(len(CAPTIONS))]
    return torch.stack([tokenize([c.format(n) for c in CAPTIONS]) for n in names] + [tokenize(empty)])


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, labels: Tensor) -> Tensor:
    """CLIP's loss of unit vectors [b, d] of images and captions. Items with equal labels share the target equally."""
    logits = scale * images.float() @ texts.float().T
    same = (labels[:, None] == labels).float()
    target = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def learning_rate(progress: float) -> float:
    """Rises for the first 3 % of the time, then falls along half a cosine.

    >>> learning_rate(0.015), learning_rate(0.03), learning_rate(1.0)
    (0.001, 0.002, 0.0)
    """
    if progress < WARM_UP:
        return PEAK_LEARNING_RATE * progress / WARM_UP
    return PEAK_LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1 - WARM_UP))))


def save(model: CLIP, names: list[str], folder: Path) -> None:
    """Writes the files that open_clip loads. Each is replaced atomically, so readers never see a partial file."""
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    weights = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in state.items()}
    part = folder / "open_clip_model.safetensors.part"
    save_file(weights, part)
    part.chmod(0o644)  # safetensors creates files readable only by the owner
    os.replace(part, folder / "open_clip_model.safetensors")
    texts = {"open_clip_config.json": json.dumps(CONFIG, indent=2), "names.txt": "\n".join(names)}
    for name, text in texts.items():
        part = folder / f"{name}.part"
        part.write_text(text + "\n")
        os.replace(part, folder / name)


def train(drawings: dict[str, dict[str, str]], minutes: float, seed: int, folder: Path, resume: Path | None) -> CLIP:
    """Trains for `minutes` and returns the running mean of the weights, also saved in `folder`.

    `resume` is a folder with initial weights; training then uses hard scenes and half the learning rate.
    """
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names = list(drawings)
    rgba, name_of = render_all(drawings, TRAINED)
    sprites = Sprites(np.concatenate([rgba, inked(rgba)]), device)
    drawn_as = [torch.from_numpy(np.flatnonzero(name_of == i)) for i in range(len(names))]
    tokens = caption_tokens(names).to(device)

    model = CLIP(**CONFIG["model_cfg"])
    if resume:
        model.load_state_dict(load_file(resume / "open_clip_model.safetensors"))
    with torch.no_grad():  # embeddings of tokens in no caption are zeroed: they are never used, and compress well
        unused = torch.ones(len(model.token_embedding.weight), dtype=torch.bool)
        unused[tokens.flatten().cpu()] = False
        model.token_embedding.weight[unused] = 0
    model = model.to(device, memory_format=torch.channels_last)
    mean_model = copy.deepcopy(model).eval()
    matrices = [p for n, p in model.named_parameters() if p.ndim > 1 and "embedding" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim <= 1 or "embedding" in n]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)
    pixel_mean = torch.tensor(OPENAI_DATASET_MEAN, device=device).view(3, 1, 1)
    pixel_std = torch.tensor(OPENAI_DATASET_STD, device=device).view(3, 1, 1)

    start, step, drawing_s, next_save_min = time.monotonic(), 0, 0.0, SAVE_MINUTES
    while (elapsed_min := (time.monotonic() - start) / 60) < minutes:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(elapsed_min / minutes) * (0.5 if resume else 1)
        chosen = torch.randperm(len(names))[:NAMES_A_STEP]
        which = torch.stack([drawn_as[i][torch.randint(len(drawn_as[i]), ())] for i in chosen])
        which += len(rgba) * (torch.rand(len(which)) < INKED)
        which = torch.cat([which, torch.full((EMPTY_A_STEP,), -1)]).to(device)
        labels = torch.cat([chosen, torch.full((EMPTY_A_STEP,), len(names))]).to(device)
        began = time.monotonic()
        hardness = 1.0 if resume else min(1.0, 0.1 + elapsed_min / minutes / EASY)
        frames = (scenes(sprites, which, hardness) - pixel_mean) / pixel_std
        drawing_s += time.monotonic() - began

        captions = tokens[labels, torch.randint(len(CAPTIONS), (len(labels),), device=device)]
        with torch.autocast(device.type, torch.bfloat16):
            images = model.encode_image(frames.contiguous(memory_format=torch.channels_last), normalize=True)
            texts = model.encode_text(captions, normalize=True)
        loss = contrastive_loss(images, texts, model.logit_scale.exp(), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
            keep = min(AVERAGE_DECAY, (step + 1) / (step + 10))
            for mean, now in zip(mean_model.state_dict().values(), model.state_dict().values(), strict=True):
                mean.lerp_(now, 1 - keep) if mean.is_floating_point() else mean.copy_(now)
        if step % 50 == 0:
            share = drawing_s / (time.monotonic() - start)
            line = f"{elapsed_min:5.1f} min  step {step:5d}  loss {loss.item():.3f}  scenes {share:.0%}"
            print(line, flush=True)
        if elapsed_min > next_save_min:
            save(mean_model, names, folder)
            next_save_min += SAVE_MINUTES
        step += 1
    save(mean_model, names, folder)
    print(f"saved after {step} steps, {step * NAMES_A_STEP / len(names):.0f} frames of each name", flush=True)
    return mean_model


def main() -> None:
    """Trains with the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drawings", type=Path, default=Path(".cache/drawings"), help="where npm puts them")
    parser.add_argument("--minutes", type=float, default=60.0, help="training time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the model goes")
    parser.add_argument("--resume", type=Path, help="a folder of weights to start from")
    options = parser.parse_args()
    drawings = load_drawings(fetch_drawings(options.drawings))
    train(drawings, options.minutes, options.seed, options.folder, options.resume)


if __name__ == "__main__":
    main()
