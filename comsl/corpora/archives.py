"""Files from the network, and what is packed in them."""

import gzip
import logging
import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.request import urlopen

from tqdm import tqdm

from comsl.errors import DataError
from comsl.files import atomic_file

logger = logging.getLogger(__name__)

# What reading a zip, a tar or a compressed file raises where that is cut short or damaged.
DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError),
    *(EOFError, struct.error),
)


@contextmanager
def reading(archive: Path) -> Iterator[None]:
    """A block that reads a packed file. DataError: it is damaged."""
    try:
        yield
    except DAMAGED as error:
        raise DataError(
            f"{archive}: damaged, or there in part ({error}); remove it and fetch it again"
        ) from None


def open_url(url: str) -> BinaryIO:
    """The bytes behind a URL."""
    return urlopen(url, timeout=30)


def download(url: str, target: Path) -> None:
    """Save a URL in one step: under a temporary name, then renamed. DataError: out of reach."""
    with atomic_file(target) as temporary:
        try:
            with open_url(url) as response, temporary.open("wb") as file:
                shutil.copyfileobj(response, file)
        except (OSError, HTTPException) as error:
            raise DataError(f"{url} can't be downloaded ({error}); check the network") from None


def only(paths: Iterable[Path]) -> Path | None:
    """The one path, None where there is none. DataError: two of them, of which one is meant."""
    found = sorted(paths)
    if len(found) > 1:
        raise DataError(f"{found[0]} and {found[1]}: which of them? Give each a folder of its own")
    return found[0] if found else None


@contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """A block in which a folder is there, empty at first; it is removed with what is in it, also
    what an interrupted run has left there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unpack(archive: Path, folder: Path, wanted: Callable[[str], bool] = bool) -> None:
    """Extract a tar archive, compressed or not, into a folder that exists; of its members those
    whose name is `wanted`.

    DataError: damaged or cut short, or less room than the archive itself takes.
    """
    logger.info("unpacking %s", archive)
    size, free = archive.stat().st_size, shutil.disk_usage(folder).free
    if size > free:
        raise DataError(
            f"{archive}: no room to unpack its {size / 1e9:.1f} GB: {folder} has {free / 1e9:.1f}"
        )
    meter = {"total": size, "desc": archive.name, "mininterval": 5, "miniters": 1}
    with (
        reading(archive),
        archive.open("rb") as file,
        tqdm.wrapattr(file, "read", **meter) as packed,
        tarfile.open(fileobj=packed) as tar,
    ):
        for member in tar:
            if wanted(member.name):
                tar.extract(member, folder, filter="data")


@contextmanager
def unpacked(archive: Path, folder: Path, wanted: Callable[[str], bool] = bool) -> Iterator[Path]:
    """A block in which an archive lies unpacked in a folder, as `unpack` does it. DataErrors in it
    name the archive in place of that folder, which is removed at the end."""
    with temporary_folder(folder):
        unpack(archive, folder, wanted)
        try:
            yield folder
        except DataError as error:
            raise DataError(str(error).replace(str(folder), str(archive))) from None
