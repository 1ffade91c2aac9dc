"""What the command line is given to hear: files, folders, standard input."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from comsl.errors import DataError

SUFFIXES = (  # of the files in a folder that are heard
    ".3gp .aac .ac3 .aif .aiff .amr .au .avi .caf .flac .flv .g722 .gsm .m4a .m4b .mka .mkv .mov"
    " .mp2 .mp3 .mp4 .mpeg .mpg .oga .ogg .ogv .opus .ts .wav .webm .wma .wmv"
)
STANDARD_INPUT = "stdin"  # the name of what is typed as `-`


class Source(NamedTuple):
    """A recording's name, and the path, without suffix, that its text is to have in a folder."""

    name: str
    target: Path


@contextmanager
def open_sources(names: list[str]) -> Iterator[dict[Path, Source]]:
    """What there is to hear, by its file.

    A folder stands for the recordings in it, at any depth. Standard input, or a pipe, is kept in a
    temporary file while the block lasts: some containers can't be read in one go. DataError:
    nothing to hear in a folder.
    """
    with ExitStack() as stack:
        sources: dict[Path, Source] = {}
        for name in names:
            path = Path(name)
            if name == "-":
                kept = _keep(sys.stdin.buffer, stack)
                sources[kept] = Source(STANDARD_INPUT, Path(STANDARD_INPUT))
            elif path.is_fifo():
                kept = _keep(stack.enter_context(path.open("rb")), stack)
                sources[kept] = _named(path, path.stem)
            elif path.is_dir():
                sources |= _in_folder(path)
            else:
                sources[path] = _named(path, path.stem)
        yield sources


def check_targets(sources: Iterable[Source]) -> None:
    """DataError: two texts would have the same path."""
    owners: dict[Path, Source] = {}
    for source in sources:
        if (other := owners.setdefault(source.target, source)) is not source:
            raise DataError(
                f"the texts of '{other.name}' and '{source.name}' would have the same name: give"
                " them in two commands"
            )


def _named(path: Path, target: str | Path) -> Source:
    """Its name is text on one line, whatever bytes are in the path."""
    name = os.fsencode(path).decode("utf-8", "replace")
    return Source(" ".join(name.splitlines()), Path(target))


def _in_folder(folder: Path) -> dict[Path, Source]:
    known = SUFFIXES.split()
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in known]
    if not files:
        raise DataError(f"no recordings in the folder '{folder}'")
    return {
        file: _named(file, file.relative_to(folder).with_suffix(""))
        for file in files
        if file.is_file()
    }


def _keep(pipe: BinaryIO, stack: ExitStack) -> Path:
    """All that comes out of a pipe, in a file for as long as the stack lasts."""
    file = Path(stack.enter_context(tempfile.TemporaryDirectory()), "recording")
    with file.open("wb") as copy:
        shutil.copyfileobj(pipe, copy)
    return file
