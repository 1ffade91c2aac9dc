"""How much of a corpus's sets, as published, is to be had: clips are withdrawn, releases differ."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from comsl.corpora.sets import folder_name
from comsl.errors import DataError
from comsl.files import read_lines, write_text

FILE = "published_size"  # in a set's folder: how many utterances the set has as it was published


def write_size(folder: Path, size: int) -> None:
    """Leave a set's published size in its folder."""
    write_text(folder / FILE, f"{size}\n")


def read_coverage(data: Path, name: str, langs: Iterable[str], counts: Mapping) -> dict[str, float]:
    """Language -> percent of the set as published that the `counts` utterances are, of languages
    whose set has a published size below `data`."""
    sizes = {}
    for lang in langs:
        path = data / folder_name(name, lang) / FILE
        if path.is_file():
            sizes[lang] = int(read_lines(path)[0])
    return {lang: round(100 * counts[lang] / size, 1) for lang, size in sizes.items()}


def check_coverage(
    where: Path, counts: Mapping[str, int], sizes: Mapping[str, int], floor: float
) -> None:
    """DataError: of a set, less than the share `floor` is there."""
    for name, size in sizes.items():
        if counts.get(name, 0) < floor * size:
            raise DataError(
                f"{where}: {counts.get(name, 0)} of the {size} clips of {name} are there, less than"
                f" the {floor:.0%} of --min_coverage: unpacked in part, or another release?"
            )
