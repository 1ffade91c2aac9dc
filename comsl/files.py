"""Text files of any kind, and files and folders that appear only when they are whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comsl.errors import DataError


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 file, split at newlines only (text may hold other separators).

    DataError: no such file, or not UTF-8.
    """
    return list(iter_lines(path))


def iter_lines(path: Path) -> Iterator[str]:
    """The same, one after the other."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; run the stage that makes it first")
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield line.decode("utf-8").removesuffix("\n").rstrip("\r")
            except UnicodeDecodeError:
                fault = "not UTF-8; convert the file (iconv -t UTF-8)"
                raise DataError(f"{path}:{number}: {fault}") from None


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 file in one step: under a temporary name, then renamed."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """A new file to write, in a folder that need not exist yet; it takes `path`'s place only when
    the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Jobs may fetch one file at once; a name has 255 bytes, a letter up to four.
    temporary = path.with_name(f".{path.name[-60:]}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_dir(folder: Path | str, sign: str = "") -> Iterator[Path]:
    """A new folder to fill, which takes `folder`'s place only when the block ends well; where that
    is a link, the place that it points to.

    sign: a file that whatever is replaced must have: it shows who made it. DataError: it hasn't.
    """
    folder = Path(os.path.realpath(folder)) if os.path.islink(folder) else Path(folder)
    if folder.is_dir() and not (folder / sign).exists() and any(folder.iterdir()):
        raise DataError(
            f"{folder} exists, and this stage, which did not make it, would replace it: move it"
            " away, or choose another name with --recipe"
        )
    temporary, old = (folder.with_name(f".{folder.name}.{suffix}") for suffix in ("tmp", "old"))
    for leftover in (temporary, old):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if folder.exists():
        os.replace(folder, old)
    os.replace(temporary, folder)
    shutil.rmtree(old, ignore_errors=True)
