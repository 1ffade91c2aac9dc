"""CTranslate2's file format, and Whisper in it under openai-whisper's names."""

import struct
from math import prod
from pathlib import Path

import numpy as np
import torch

from comsl.errors import DataError

_TYPES = [np.dtype(code) for code in ("<f4", "i1", "<i2", "<i4", "<f2")]

# CTranslate2's name within a layer -> openai-whisper's modules, whose rows it stacks in this order.
_LAYER = {
    "self_attention/layer_norm": ["attn_ln"],
    "self_attention/linear_0": ["attn.query", "attn.key", "attn.value"],
    "self_attention/linear_1": ["attn.out"],
    "attention/layer_norm": ["cross_attn_ln"],
    "attention/linear_0": ["cross_attn.query"],
    "attention/linear_1": ["cross_attn.key", "cross_attn.value"],
    "attention/linear_2": ["cross_attn.out"],
    "ffn/layer_norm": ["mlp_ln"],
    "ffn/linear_0": ["mlp.0"],
    "ffn/linear_1": ["mlp.2"],
}
_TOP = {
    "encoder/conv1": ["encoder.conv1"],
    "encoder/conv2": ["encoder.conv2"],
    "encoder/layer_norm": ["encoder.ln_post"],
    "decoder/layer_norm": ["decoder.ln"],
    "decoder/embeddings": ["decoder.token_embedding"],
}
_LEAF = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
_POSITIONS = "position_encodings/encodings"


def read_whisper(path: Path) -> dict:
    """A Whisper from CTranslate2's `model.bin` (fp16 or fp32, not quantised), in the form of
    OpenAI's checkpoints: `dims` and `model_state_dict`.

    DataError, KeyError, IndexError or ValueError: truncated, malformed, or not a Whisper.
    """
    variables = read_variables(path.read_bytes())
    return {"dims": _dimensions(variables), "model_state_dict": _openai_state(variables)}


def read_variables(data: bytes) -> dict[str, np.ndarray]:
    """The named arrays of a CTranslate2 file, version 6. The bytes are not trusted: DataError."""
    reader = _Reader(data)
    version, _, _, count = reader.u32(), reader.string(), reader.u32(), reader.u32()
    if version != 6:
        raise DataError(f"version {version} of the format, not 6")
    variables = {}
    for _ in range(count):
        name = reader.string()
        shape = [reader.u32() for _ in range(reader.u8())]
        kind, size = reader.u8(), reader.u32()
        if kind >= len(_TYPES) or prod(shape) * _TYPES[kind].itemsize != size:
            raise DataError(f"variable '{name}' has type {kind}, shape {shape} and {size} bytes")
        variables[name] = np.frombuffer(reader.take(size), _TYPES[kind]).reshape(shape)
    return variables  # the aliases that follow say only that the projection is the embedding


class _Reader:
    """Little-endian fields from the front of a byte string; DataError at its end."""

    def __init__(self, data: bytes):
        self.data = memoryview(data)
        self.position = 0

    def take(self, size: int) -> memoryview:
        end = self.position + size
        if end > len(self.data):
            raise DataError(f"cut short: {len(self.data)} bytes, at least {end} expected")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def u8(self) -> int:
        return self.take(1)[0]

    def u32(self) -> int:
        return struct.unpack("<I", self.take(4))[0]

    def string(self) -> str:
        (size,) = struct.unpack("<H", self.take(2))
        return bytes(self.take(size)).rstrip(b"\0").decode("utf-8")


def _dimensions(variables: dict[str, np.ndarray]) -> dict[str, int]:
    def layers(part: str) -> int:
        return len({name.split("/")[1] for name in variables if name.startswith(f"{part}/layer_")})

    n_audio_ctx, n_audio_state = variables[f"encoder/{_POSITIONS}"].shape
    n_text_ctx, n_text_state = variables[f"decoder/{_POSITIONS}"].shape
    return dict(
        n_mels=variables["encoder/conv1/weight"].shape[1],
        n_audio_ctx=n_audio_ctx,
        n_audio_state=n_audio_state,
        n_audio_head=int(variables["encoder/num_heads"]),
        n_audio_layer=layers("encoder") - 1,  # one of the names is layer_norm
        n_vocab=variables["decoder/embeddings/weight"].shape[0],
        n_text_ctx=n_text_ctx,
        n_text_state=n_text_state,
        n_text_head=int(variables["decoder/num_heads"]),
        n_text_layer=layers("decoder") - 1,
    )


def _openai_state(variables: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Weights under openai-whisper's names; variables that are settings are left out."""
    state = {}
    for name, array in variables.items():
        part, _, rest = name.partition("/")
        if rest == _POSITIONS:
            state[f"{part}.positional_embedding"] = torch.from_numpy(array.copy())
            continue
        path, _, leaf = name.rpartition("/")
        if modules := _modules(path):
            for module, rows in zip(modules, np.split(array, len(modules)), strict=True):
                state[f"{module}.{_LEAF[leaf]}"] = torch.from_numpy(rows.copy())
                if module.endswith("attn.key"):  # Whisper's keys have no bias; stacked, it is zero
                    state.pop(f"{module}.bias", None)
    return state


def _modules(path: str) -> list[str]:
    """openai-whisper's modules that a CTranslate2 layer holds; none for a setting."""
    part, _, rest = path.partition("/")
    layer, _, inner = rest.partition("/")
    if inner in _LAYER and layer.startswith("layer_"):
        number = layer.removeprefix("layer_")
        return [f"{part}.blocks.{number}.{module}" for module in _LAYER[inner]]
    return _TOP.get(path, [])
