"""What the command line is given to hear: files, folders, standard input."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from comsl.errors import DataError

SUFFIXES = (  # of the files in a folder that are heard
    ".3gp .aac .ac3 .aif .aiff .amr .au .avi .caf .flac .flv .g722 .gsm .m4a .m4b .mka .mkv .mov"
    " .mp2 .mp3 .mp4 .mpeg .mpg .oga .ogg .ogv .opus .ts .wav .webm .wma .wmv"
)
STANDARD_INPUT = Path("stdin")  # the name of what is typed as `-`


@contextmanager
def open_sources(names: list[str]) -> Iterator[dict[Path, Path]]:
    """File to be heard -> the path, without suffix, that its text is to have in a folder.

    A folder stands for the recordings in it, at any depth. Standard input, or a pipe, is kept in a
    temporary file while the block lasts: some containers can't be read in one go. DataError:
    nothing to hear in a folder.
    """
    with ExitStack() as stack:
        sources: dict[Path, Path] = {}
        for name in names:
            path = Path(name)
            if name == "-" or path.is_fifo():
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                pipe = sys.stdin.buffer if name == "-" else stack.enter_context(path.open("rb"))
                target = STANDARD_INPUT if name == "-" else Path(path.name)
                sources[_keep(pipe, folder / target)] = target
            elif path.is_dir():
                sources |= _in_folder(path)
            else:
                sources[path] = Path(path.stem)
        yield sources


def check_targets(sources: Mapping[Path, Path]) -> None:
    """DataError: two texts would have the same path."""
    owners: dict[Path, Path] = {}
    for source, target in sources.items():
        if (other := owners.setdefault(target, source)) != source:
            raise DataError(
                f"the texts of '{other}' and '{source}' would have the same name: give them in two"
                " commands"
            )


def _in_folder(folder: Path) -> dict[Path, Path]:
    known = SUFFIXES.split()
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in known]
    if not files:
        raise DataError(f"no recordings in the folder '{folder}'")
    return {file: file.relative_to(folder).with_suffix("") for file in files if file.is_file()}


def _keep(pipe: BinaryIO, file: Path) -> Path:
    with file.open("wb") as copy:
        shutil.copyfileobj(pipe, copy)
    return file
