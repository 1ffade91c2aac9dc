"""Europarl-ST (Iranzo-Sánchez et al. 2020, arXiv 1911.03167): debates of the European Parliament,
nine languages into one another."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePath
from typing import ClassVar

from comsl.corpora.segments import Layout, Source, Stretch, read_given


class EuroparlSt(Layout):
    """<source>/audios with whole speeches, <source>/<target>/<set> with the segments."""

    title = "Europarl-ST"
    site = "https://www.mllp.upv.es/europarl-st"
    sets: ClassVar = {"train": "train", "dev": "dev", "test": "test"}
    archives = ("v1.*.tar.gz", "europarl-st*.tar.gz")  # of all languages

    def roots(self, folder: Path, source: Source) -> Iterator[Path]:
        """<source>, or one folder deeper."""
        for path in (folder / source.lang, *folder.glob(f"*/{source.lang}/")):
            if (path / "audios").is_dir():
                yield path

    def wanted(self, member: str, source: Source) -> bool:
        """Recordings of the language, and texts of the direction."""
        folders = PurePath(member).parts[-4:]
        own = (source.lang, "audios"), (source.lang, source.target_lang)
        return any(pair in own for pair in pairwise(folders))

    def audio(self, root: Path, name: str) -> Path:
        """Those of all sets."""
        return root / "audios"

    def texts(self, root: Path, source: Source, name: str) -> tuple[Path, Path]:
        """segments.<language>."""
        folder = root / source.target_lang / name
        return folder / f"segments.{source.lang}", folder / f"segments.{source.target_lang}"

    def stretches(self, root: Path, source: Source, name: str) -> list[Stretch | str]:
        """Those of segments.lst; who a speech is by is not used."""
        lines = read_given(root / source.target_lang / name / "segments.lst")
        return [_stretch(line) for line in lines]


def _stretch(line: str) -> Stretch | str:
    try:
        recording, start, end = line.split()
        return Stretch(recording, recording, float(start), float(end))
    except ValueError:
        return f"no recording, start and end in '{line}'"
