"""One language of a Common Voice release: unpacked in a folder, or the archive as it is published.

Either way it holds `clips/*.mp3` and `validated.tsv`, with client_id, path, sentence and more.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from comsl.corpora.archives import only, unpacked
from comsl.corpora.columns import read_columns
from comsl.corpora.dropped import Dropped
from comsl.corpora.utterances import Utterance
from comsl.errors import DataError

SITE = "https://datacollective.mozillafoundation.org"
# Names of a language's archive, from version 4 on.
ARCHIVES = (
    *("{lang}.tar.gz", "{lang}.tar", "cv-corpus-*-{lang}.tar.gz"),
    *("mcv-scripted-{lang}-v*.tar.gz", "*-mcv-scripted-{lang}-v*.tar.gz"),
)
# Its tables of clips, what was voted for first; votes may have moved a clip since version 4.
TABLES = ("validated.tsv", "other.tsv", "invalidated.tsv")
ESCAPE = "\\"  # of its tables, and CoVoST's: pandas wrote them without quoting
COLUMNS = ("client_id", "path", "sentence")


@dataclass(frozen=True)
class Release:
    """A language: its folder, and its source, which is that or the archive it came from."""

    lang: str
    folder: Path
    source: Path

    def is_complete(self) -> bool:
        """Whether all that is read here is in it."""
        return (self.folder / "clips").is_dir() and (self.folder / "validated.tsv").is_file()

    def clips(self) -> set[str]:
        """Names of its audio files."""
        return set(os.listdir(self.folder / "clips"))

    def find(self, paths: Collection[str]) -> dict[str, dict[str, str]]:
        """Path -> row of the clips that any of the tables has."""
        found: dict[str, dict[str, str]] = {}
        for name in TABLES:
            if not (self.folder / name).is_file():
                continue
            for _, row in read_columns(self.folder / name, COLUMNS, [], self.lang, ESCAPE):
                if row["path"] in paths:
                    found.setdefault(row["path"], row)
        return found

    def validated(self, dropped: list[Dropped]) -> Iterator[dict[str, str]]:
        """Rows of `validated.tsv`; malformed ones go to `dropped`."""
        table = self.folder / "validated.tsv"
        for _, row in read_columns(table, COLUMNS, dropped, self.lang, ESCAPE):
            yield row

    def utterance(
        self, name: str, path: str, client_id: str, text: str, translation: str
    ) -> Utterance:
        """A clip as an utterance of a set, its audio to go to audio/<lang>."""
        speaker = f"{self.lang}_{client_id[:16]}"  # of 128 digits
        clip = Path(path).stem
        return Utterance(
            set=name,
            lang=self.lang,
            speaker=speaker,
            id=f"{speaker}-{clip}",
            audio=self.folder / "clips" / path,
            flac=Path("audio", self.lang, f"{clip}.flac"),
            text=text,
            translation=translation,
        )


@contextmanager
def opened(folder: Path, lang: str, workspace: Path) -> Iterator[Release]:
    """A language of the release in `folder`; an archive is unpacked into `workspace` and removed
    from there at the end of the block. DataError: it is absent or damaged, or there is no room."""
    source = locate(folder, lang)
    if source.is_dir():
        yield Release(lang, source, source)
        return
    with unpacked(source, workspace / f".{lang}.unpacked") as temporary:
        yield _inside(source, temporary, lang)


def locate(folder: Path, lang: str) -> Path:
    """Where a language lies unpacked, <lang> or up to two folders deeper; else its archive, under
    one of the names that releases have given it. DataError: neither is there, or more than one."""
    folders = [folder / lang, *folder.glob(f"*/{lang}/"), *folder.glob(f"*/*/{lang}/")]
    if found := only(path for path in folders if Release(lang, path, path).is_complete()):
        return found
    archives = [path for name in ARCHIVES for path in folder.glob(name.format(lang=lang))]
    if found := only(path for path in archives if "-delta-" not in path.name):  # new clips alone
        return found
    if (folder / lang).is_dir():
        raise DataError(
            f"{folder / lang}: no clips/ or no validated.tsv, so it was unpacked in part; unpack it"
            f" again, or remove it and put {lang}.tar.gz into {folder}"
        )
    raise DataError(
        f"{folder}: neither {lang}.tar.gz nor an unpacked {lang}/ is there; download Common Voice"
        f" in '{lang}' from {SITE} (its terms have to be accepted there) and put it there, or"
        " correct the folder in db.sh"
    )


def _inside(archive: Path, folder: Path, lang: str) -> Release:
    """Where the language lies in an archive: at the top, or below the release's name."""
    for path in (folder, *sorted(folder.glob(f"{lang}/")), *sorted(folder.glob(f"*/{lang}/"))):
        if (release := Release(lang, path, archive)).is_complete():
            return release
    raise DataError(f"{archive}: no clips/ and validated.tsv in '{lang}': not Common Voice's")
