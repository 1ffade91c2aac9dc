"""FLEURS (Conneau et al. 2022, arXiv 2205.12446): 2,009 sentences, each read in 102 languages, so
that the number of a sentence leads to its translation into any of them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from comsl import made
from comsl.corpora.archives import temporary_folder, unpack
from comsl.corpora.by_language import Content, Job, Output, make_all, make_usable, text_fault
from comsl.corpora.columns import clean, read_columns
from comsl.corpora.dropped import Dropped
from comsl.corpora.sets import folder_name
from comsl.corpora.utterances import Utterance
from comsl.errors import DataError
from comsl.hub import unreachable
from comsl.languages import FLEURS

HUB = "google/fleurs"
SETS = ("train", "dev", "test")
EXPORTED = {"train": "train", "dev": "validation", "test": "test"}  # as `datasets` calls them
COLUMNS = ("id", "file", "text", "normalised", "characters", "samples", "gender")  # no header
logger = logging.getLogger(__name__)


class Row(NamedTuple):
    """A recording of a sentence: the sentence's number, the file's name, the text."""

    id: int
    file: str
    text: str


@dataclass(frozen=True)
class Hub:
    """A language in the layout of the hub's repository, what is missing to be fetched from there:
    data/<name>/<set>.tsv, data/<name>/audio/<set>.tar.gz."""

    folder: Path
    lang: str

    def tables(self) -> list[Path]:
        """The tables of all sets."""
        return [self._fetch(f"{name}.tsv") for name in SETS]

    def rows(self, name: str, dropped: list[Dropped]) -> Iterator[Row]:
        """The rows of a set; what can't be read goes to `dropped`."""
        table = self._fetch(f"{name}.tsv")
        for line, row in read_columns(table, (), dropped, self.lang, header=COLUMNS):
            if row["id"].isdecimal():
                yield Row(int(row["id"]), row["file"], clean(row["text"]))
            else:
                fault = f"'{row['id']}' is not the number of a sentence"
                dropped.append(Dropped(f"{table.name}:{line}", self.lang, fault))

    @contextmanager
    def audio(self, workspace: Path) -> Iterator[Path]:
        """A block in which the audio of all sets lies in a folder."""
        with temporary_folder(workspace / f".{self.lang}.unpacked") as folder:
            for name in SETS:
                (folder / name).mkdir()
                unpack(self._fetch(f"audio/{name}.tar.gz"), folder / name)
            yield folder

    def _fetch(self, name: str) -> Path:
        path = f"data/{FLEURS[self.lang]}/{name}"
        if not (self.folder / path).is_file():
            _download(path, self.folder)
        return self.folder / path


def _download(path: str, folder: Path) -> None:
    """Get a file of the hub's repository, to the same place in `folder`. DataError: can't be."""
    from httpx2 import HTTPError  # what the hub's client speaks HTTP with
    from huggingface_hub import hf_hub_download

    logger.info("fetching %s of %s", path, HUB)
    unreachable()  # then what follows fails at once
    try:
        hf_hub_download(HUB, path, repo_type="dataset", local_dir=folder)
    except (HTTPError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path} of {HUB} can't be fetched from Hugging Face's hub ({reason[:200]}): check the"
            f" network, or put the file to {folder / path}"
        ) from None


@dataclass(frozen=True)
class Export:
    """A language as `datasets` exports it: Parquet, <name>/<set>*.parquet, with the audio in it."""

    folder: Path
    lang: str

    def tables(self) -> list[Path]:
        """The files of all sets. DataError: a set has none."""
        return [path for name in SETS for path in self._files(name)]

    def rows(self, name: str, dropped: list[Dropped]) -> Iterator[Row]:
        """The rows of a set."""
        for _, row in self._read(name, ["id", "path", "raw_transcription"]):
            yield Row(row["id"], Path(row["path"]).name, clean(row["raw_transcription"]))

    @contextmanager
    def audio(self, workspace: Path) -> Iterator[Path]:
        """A block in which the audio of all sets lies in a folder."""
        with temporary_folder(workspace / f".{self.lang}.unpacked") as folder:
            for name in SETS:
                (folder / name).mkdir()
                for path, row in self._read(name, ["path", "audio"]):
                    if row["audio"] is None or row["audio"]["bytes"] is None:
                        raise DataError(f"{path}: audio by path alone; export it with its bytes")
                    audio = folder / name / Path(row["path"]).name
                    audio.write_bytes(row["audio"]["bytes"])
            yield folder

    def _files(self, name: str) -> list[Path]:
        folder, name = self.folder / FLEURS[self.lang], EXPORTED[name]
        found = [*folder.glob(f"{name}*.parquet"), *folder.glob(f"{name}/*.parquet")]
        if not found:
            raise DataError(f"{folder}: no {name}*.parquet beside the other sets'")
        return sorted(found)

    def _read(self, name: str, columns: list[str]) -> Iterator[tuple[Path, dict]]:
        """(file, row) of a set, some rows in memory at a time. DataError: no such table."""
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        for path in self._files(name):
            try:
                with ParquetFile(path) as file:
                    if lost := set(columns) - set(file.schema_arrow.names):
                        raise DataError(f"{path}: no column '{min(lost)}': is it FLEURS?")
                    for batch in file.iter_batches(batch_size=64, columns=columns):
                        for row in batch.to_pylist():
                            yield path, row
            except (ArrowException, OSError) as error:
                raise DataError(f"{path}: damaged, or there in part ({error})") from None


def find(folder: Path, lang: str) -> Hub | Export:
    """A language below `folder`, in whichever layout it is there; else the hub's. DataError: FLEURS
    doesn't have the language."""
    if lang not in FLEURS:
        raise DataError(f"FLEURS has no '{lang}'; choose from: {' '.join(sorted(FLEURS))}")
    exported = any((folder / FLEURS[lang]).rglob("*.parquet"))
    return Export(folder, lang) if exported else Hub(folder, lang)


def prepare(folder: Path, langs: list[str], target_lang: str, out: Output) -> None:
    """Write {train,dev,test}_<lang> and dropped_<lang>.tsv, audio to audio/<lang>.

    folder: FLEURS, what is missing in it is fetched. A language that is complete is not done
    again. DataError: an unknown language, something missing or damaged, too many clips that can't
    be used.
    """
    target = find(folder, target_lang)
    jobs = []
    for lang in langs:
        if lang == target_lang:
            raise DataError(f"--langs: '{lang}' is the language to translate into")
        source = find(folder, lang)
        record = made.describe({}, [*source.tables(), *target.tables()])
        folders = tuple(folder_name(name, lang) for name in SETS)
        make = partial(_make, source, target, out)
        jobs.append(Job(lang, folders, record, check=lambda: None, make=make))
    make_all(out.folder, jobs)


def _make(source: Hub | Export, target: Hub | Export, out: Output) -> Content:
    """The sets of a language. A sentence that nobody has read in the target language, in the same
    set, has no translation: it is left out, but isn't at fault."""
    dropped: list[Dropped] = []
    absent: list[Dropped] = []
    sizes: dict[str, int] = {}
    utterances: list[Utterance] = []
    with source.audio(out.folder) as audio:
        for name in SETS:
            rows = list(source.rows(name, dropped))
            sizes[folder_name(name, source.lang)] = len(rows)
            translations = {row.id: row.text for row in target.rows(name, [])}
            known = [row for row in rows if row.id in translations]
            reason = f"'{target.lang}' has no such sentence in {name}"
            absent += [
                Dropped(row.file, source.lang, reason) for row in rows if row.id not in translations
            ]
            files = {path.name: path for path in (audio / name).rglob("*.*")}
            utterances += _utterances(name, source.lang, known, translations, files, dropped)
        sets = make_usable(out, source.folder, utterances, dropped)
    if lost := [folder for folder in sizes if folder not in sets]:
        raise DataError(f"{source.folder}: nothing for {lost[0]}")
    return Content(sets, dropped + absent, sizes)


def _utterances(
    name: str,
    lang: str,
    rows: Sequence[Row],
    translations: Mapping[int, str],
    files: Mapping[str, Path],
    dropped: list[Dropped],
) -> Iterator[Utterance]:
    """What can be used before its audio is read. Speakers are not known: each recording has one."""
    seen = set()
    for row in rows:
        texts = row.text, translations[row.id]
        if row.file in seen:
            fault = "the recording stands there twice"
        elif row.file not in files:
            fault = f"not in the audio of {name}"
        else:
            fault = text_fault(texts)
        if fault:
            dropped.append(Dropped(row.file, lang, fault))
            continue
        seen.add(row.file)
        key = f"{lang}_{row.id:04d}_{Path(row.file).stem}"
        flac = Path("audio", lang, f"{key}.flac")
        yield Utterance(name, lang, key, key, files[row.file], flac, *texts)
