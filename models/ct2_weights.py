"""Reads a CTranslate2 Whisper folder as openai-whisper weights, so that both engines run from the same file.

A CTranslate2 folder (`model.bin`, `config.json`) stores fused attention projections and its own variable names;
openai-whisper reads a `.pt` file `{"dims": ..., "model_state_dict": ...}`. The conversion is lossless: fused matrices are split
where the converter joined them, and every value stays the same.

    python -m reelbeam.models.ct2_weights FOLDER OUT.pt

Source: CTranslate2 `python/ctranslate2/specs/model_spec.py` (the binary format, version 6) and
`converters/transformers.py` (WhisperLoader: which matrices are fused, in which order).
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..schemas.errors import MissingWeights

BINARY_VERSION = 6
"""The only version of `model.bin` that CTranslate2 has written since 2021."""
DTYPES: dict[int, type[np.generic]] = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
"""CTranslate2's `DataType` numbers; 5 is bfloat16, which NumPy lacks."""


def is_ct2_folder(path: Path) -> bool:
    """Whether a path is a folder with a CTranslate2 model."""
    return path.is_dir() and (path / "model.bin").is_file()


def read_variables(file: Path) -> dict[str, np.ndarray]:
    """All variables of a CTranslate2 `model.bin`, by name. Aliases share one array.

    Raises MissingWeights when the file is truncated, has another version, or has an unknown number type.
    """
    with open(file, "rb") as stream:
        try:
            version = _number(stream, "I")
            if version != BINARY_VERSION:
                raise MissingWeights(
                    f"{file}: has version {version} of CTranslate2's format, but only version {BINARY_VERSION} can be read; "
                    "cure: convert the model with a current ct2-transformers-converter"
                )
            _string(stream)  # the name of the spec
            _number(stream, "I")  # its revision
            variables = dict(_variable(stream, file) for _ in range(_number(stream, "I")))
            for _ in range(_number(stream, "I")):
                alias = _string(stream)
                variables[alias] = variables[_string(stream)]
        except (struct.error, UnicodeDecodeError, KeyError, ValueError) as error:
            raise MissingWeights(f"{file}: is not a whole CTranslate2 model ({error}); cure: fetch it again") from error
    return variables


def encoder_width(file: Path) -> int:
    """Dimension of the encoder's states, from the shape of its last norm. Skips the weights themselves.

    Raises MissingWeights when the file is truncated or contains no Whisper encoder.
    """
    with open(file, "rb") as stream:
        try:
            _number(stream, "I")
            _string(stream)
            _number(stream, "I")
            for _ in range(_number(stream, "I")):
                name, shape, _ = _declared(stream)
                if name == "encoder/layer_norm/gamma":
                    return shape[0]
                stream.seek(_number(stream, "I"), 1)
        except (struct.error, UnicodeDecodeError) as error:
            raise MissingWeights(f"{file}: is not a whole CTranslate2 model ({error}); cure: fetch it again") from error
    raise MissingWeights(f"{file}: holds no encoder/layer_norm; cure: name a Whisper model")


def openai_state(variables: Mapping[str, np.ndarray]) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    """Dimensions and state dict of openai-whisper, from CTranslate2's variables. Dtypes stay as they are stored.

    Raises MissingWeights when the variables are not those of a Whisper model, or are quantized.
    """
    if any(name.endswith("weight_scale") for name in variables):
        raise MissingWeights(
            "this CTranslate2 folder stores int8 or int16 weights, which lost precision; cure: use a "
            "float16 or float32 folder (ct2-transformers-converter --quantization float16)"
        )
    try:
        state = dict(_encoder(variables)) | dict(_decoder(variables))
        return _dimensions(variables, state), state
    except KeyError as error:
        raise MissingWeights(f"this CTranslate2 folder is not a Whisper model: it lacks {error}") from error


def alignment_heads(folder: Path) -> list[tuple[int, int]] | None:
    """(layer, head) pairs whose cross attention gives word times; None when the folder does not list them."""
    config = folder / "config.json"
    heads = json.loads(config.read_text()).get("alignment_heads") if config.is_file() else None
    return [(int(layer), int(head)) for layer, head in heads] if heads else None


def checkpoint(folder: Path) -> dict[str, Any]:
    """The folder as openai-whisper's checkpoint: `dims`, `model_state_dict` (float32 tensors), `alignment_heads`.

    `whisper.load_model` ignores the third key (its own files keep the heads in code); `set_alignment_heads` uses it.
    """
    import torch

    dims, state = openai_state(read_variables(folder / "model.bin"))
    tensors = {name: torch.from_numpy(np.array(value, dtype=np.float32)) for name, value in state.items()}
    return {"dims": dims, "model_state_dict": tensors, "alignment_heads": alignment_heads(folder)}


def set_alignment_heads(model: Any, heads: list[tuple[int, int]] | None) -> None:
    """Sets the heads that an openai-whisper model aligns words with. None keeps its default, the upper half of the layers."""
    import torch

    if heads is None:
        return
    mask = torch.zeros(model.dims.n_text_layer, model.dims.n_text_head, dtype=torch.bool)
    for layer, head in heads:
        mask[layer, head] = True
    model.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)


def convert(folder: Path, out: Path) -> None:
    """Writes a CTranslate2 Whisper folder as an openai-whisper `.pt` file that `whisper.load_model` opens.

    Raises MissingWeights as `read_variables` and `openai_state` do.
    """
    import torch

    if not is_ct2_folder(folder):
        raise MissingWeights(f"{folder}: contains no model.bin; cure: name the folder of a CTranslate2 model")
    torch.save(checkpoint(folder), out)


def _number(stream: BinaryIO, kind: str) -> int:
    packed = struct.Struct("<" + kind)
    return int(packed.unpack(stream.read(packed.size))[0])


def _string(stream: BinaryIO) -> str:
    return stream.read(_number(stream, "H"))[:-1].decode()  # its length counts the closing zero


def _declared(stream: BinaryIO) -> tuple[str, list[int], int]:
    """Reads the name, shape and number type of the next variable."""
    return _string(stream), [_number(stream, "I") for _ in range(_number(stream, "B"))], _number(stream, "B")


def _variable(stream: BinaryIO, file: Path) -> tuple[str, np.ndarray]:
    name, shape, dtype = _declared(stream)
    if dtype not in DTYPES:
        raise MissingWeights(f"{file}: {name} has the number type {dtype}, unknown here; cure: use a float16 folder")
    raw = stream.read(_number(stream, "I"))
    return name, np.frombuffer(raw, DTYPES[dtype]).reshape(shape)


def _dimensions(variables: Mapping[str, np.ndarray], state: Mapping[str, np.ndarray]) -> dict[str, int]:
    audio_state, n_mels, _ = state["encoder.conv1.weight"].shape
    vocabulary, text_state = state["decoder.token_embedding.weight"].shape
    return {
        "n_mels": n_mels,
        "n_audio_ctx": len(state["encoder.positional_embedding"]),
        "n_audio_state": audio_state,
        "n_audio_head": int(variables["encoder/num_heads"]),
        "n_audio_layer": _layers(variables, "encoder"),
        "n_vocab": vocabulary,
        "n_text_ctx": len(state["decoder.positional_embedding"]),
        "n_text_state": text_state,
        "n_text_head": int(variables["decoder/num_heads"]),
        "n_text_layer": _layers(variables, "decoder"),
    }


def _layers(variables: Mapping[str, np.ndarray], side: str) -> int:
    return 1 + max(
        int(name.split("/")[1].removeprefix("layer_"))
        for name in variables
        if name.startswith(f"{side}/layer_") and not name.startswith(f"{side}/layer_norm")
    )


def _encoder(variables: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    yield "encoder.positional_embedding", variables["encoder/position_encodings/encodings"]
    for part in ("conv1", "conv2"):
        yield from _pair(variables, f"encoder/{part}", f"encoder.{part}")
    for layer in range(_layers(variables, "encoder")):
        source, target = f"encoder/layer_{layer}", f"encoder.blocks.{layer}"
        yield from _self_attention(variables, source, target)
        yield from _feed_forward(variables, source, target)
    yield from _norm(variables, "encoder/layer_norm", "encoder.ln_post")


def _decoder(variables: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    yield "decoder.positional_embedding", variables["decoder/position_encodings/encodings"]
    yield "decoder.token_embedding.weight", variables["decoder/embeddings/weight"]
    for layer in range(_layers(variables, "decoder")):
        source, target = f"decoder/layer_{layer}", f"decoder.blocks.{layer}"
        yield from _self_attention(variables, source, target)
        yield from _norm(variables, f"{source}/attention/layer_norm", f"{target}.cross_attn_ln")
        yield from _pair(variables, f"{source}/attention/linear_0", f"{target}.cross_attn.query")
        yield from _split(variables, f"{source}/attention/linear_1", f"{target}.cross_attn", ("key", "value"))
        yield from _pair(variables, f"{source}/attention/linear_2", f"{target}.cross_attn.out")
        yield from _feed_forward(variables, source, target)
    yield from _norm(variables, "decoder/layer_norm", "decoder.ln")


def _self_attention(variables: Mapping[str, np.ndarray], source: str, target: str) -> Iterator[tuple[str, np.ndarray]]:
    yield from _norm(variables, f"{source}/self_attention/layer_norm", f"{target}.attn_ln")
    yield from _split(variables, f"{source}/self_attention/linear_0", f"{target}.attn", ("query", "key", "value"))
    yield from _pair(variables, f"{source}/self_attention/linear_1", f"{target}.attn.out")


def _feed_forward(variables: Mapping[str, np.ndarray], source: str, target: str) -> Iterator[tuple[str, np.ndarray]]:
    yield from _norm(variables, f"{source}/ffn/layer_norm", f"{target}.mlp_ln")
    yield from _pair(variables, f"{source}/ffn/linear_0", f"{target}.mlp.0")
    yield from _pair(variables, f"{source}/ffn/linear_1", f"{target}.mlp.2")


def _norm(variables: Mapping[str, np.ndarray], source: str, target: str) -> Iterator[tuple[str, np.ndarray]]:
    yield f"{target}.weight", variables[f"{source}/gamma"]
    yield f"{target}.bias", variables[f"{source}/beta"]


def _pair(variables: Mapping[str, np.ndarray], source: str, target: str) -> Iterator[tuple[str, np.ndarray]]:
    yield f"{target}.weight", variables[f"{source}/weight"]
    yield f"{target}.bias", variables[f"{source}/bias"]


def _split(
    variables: Mapping[str, np.ndarray], source: str, target: str, parts: tuple[str, ...]
) -> Iterator[tuple[str, np.ndarray]]:
    """Splits fused projections. Whisper's key projections have no bias: the converter filled in zeros."""
    for kind in ("weight", "bias"):
        for part, value in zip(parts, np.split(variables[f"{source}/{kind}"], len(parts)), strict=True):
            if (part, kind) != ("key", "bias"):
                yield f"{target}.{part}.{kind}", value


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m reelbeam.models.ct2_weights FOLDER OUT.pt")
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
