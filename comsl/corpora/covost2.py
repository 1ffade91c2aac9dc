"""CoVoST 2 (Wang et al. 2020, arXiv 2007.10310), 21 languages into English: clips of Common Voice 4
with a translation. Also, from a later Common Voice, clips that it lacks, without a translation."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from comsl import made
from comsl.corpora import common_voice, kaldi
from comsl.corpora.archives import download, unpack
from comsl.corpora.columns import clean, read_columns
from comsl.corpora.common_voice import ESCAPE, Release
from comsl.corpora.dropped import Dropped, check_share, write_dropped
from comsl.corpora.held_out import HeldOut
from comsl.corpora.text import letters
from comsl.corpora.utterances import Utterance, make_sets
from comsl.errors import DataError
from comsl.languages import LANGUAGES

URL = "https://dl.fbaipublicfiles.com/covost"
SETS = ("train", "dev", "test")
# The splits of `covost_v2.<lang>_en.tsv`; what CoVoST 1 held out, the official splitter leaves out.
SPLITS = {"train": "train", "train_covost": "train", "dev": "dev", "test": "test"}
UNUSED_SPLITS = ("dev_covost", "test_covost")
# Utterances of SETS, commonly published.
PUBLISHED = {
    "fr": (207374, 14760, 14760),
    "de": (127834, 13511, 13511),
    "es": (79015, 13221, 13221),
    "ca": (95854, 12730, 12730),
    "it": (31698, 8940, 8951),
    "ru": (12112, 6110, 6300),
    "zh-CN": (7085, 4843, 4898),
    "pt": (9158, 3318, 4023),
    "fa": (53949, 3445, 3445),
    "et": (1782, 1576, 1571),
    "mn": (2067, 1761, 1759),
    "nl": (7108, 1699, 1699),
    "tr": (3966, 1624, 1629),
    "ar": (2283, 1758, 1695),
    "sv-SE": (2160, 1349, 1595),
    "lv": (2337, 1125, 1629),
    "sl": (1843, 509, 360),
    "ta": (1358, 384, 786),
    "ja": (1119, 635, 684),
    "id": (1243, 792, 844),
    "cy": (1241, 690, 690),
}
# Of which pseudo data are made where nobody says otherwise: 17, of the paper's we know only that
# they are 16.
PSEUDO_LANGS = tuple(lang for lang in PUBLISHED if LANGUAGES[lang].group in ("mid", "low"))

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Folders to read (Common Voice 4, CoVoST 2's tables) and to write, processes, and the share
    of a language's clips that may be unusable."""

    common_voice: Path
    covost2: Path
    out: Path
    nj: int
    max_dropped: float


class Job(NamedTuple):
    """The sets to make of a language: CoVoST 2's, or what a later Common Voice has beyond it.

    name: that of its list and mark; source: folder of the Common Voice.
    """

    name: str
    lang: str
    source: Path
    sets: tuple[str, ...]


class Row(NamedTuple):
    """A clip in a set, as the tables give it."""

    set: str
    path: str
    client_id: str
    sentence: str
    translation: str


def prepare(
    settings: Settings, langs: list[str], later: Path | None, pseudo_langs: list[str]
) -> None:
    """Write out/{train,dev,test}_<lang> and out/dropped_<lang>.tsv, and, if there is a `later`
    Common Voice, the same of untranslated_<lang>; audio goes to out/audio/<lang>.

    A language that is complete is not done again. DataError: an unknown language, something
    missing or damaged, too many clips that can't be used.
    """
    for lang in (*langs, *pseudo_langs):
        if lang not in PUBLISHED:
            raise DataError(f"CoVoST 2 has no '{lang}'; choose from: {' '.join(PUBLISHED)}")
    jobs = [Job(lang, lang, settings.common_voice, SETS) for lang in langs]
    if later:
        chosen = [lang for lang in langs if lang in pseudo_langs]
        jobs += [Job(f"untranslated_{lang}", lang, later, ("untranslated",)) for lang in chosen]
    tables = {lang: find_tables(settings.covost2, lang) for lang in langs}
    records = {job: _record(job, tables[job.lang]) for job in jobs}
    folders = {job: [settings.out / f"{name}_{job.lang}" for name in job.sets] for job in jobs}
    pending = [
        job for job in jobs if not all(made.is_made(path, records[job]) for path in folders[job])
    ]
    for job in pending:  # what is missing is told before the first of them takes hours
        common_voice.locate(job.source, job.lang)
        for table in tables[job.lang]:
            next(read_columns(table, _columns(tables[job.lang]), [], job.lang, ESCAPE), None)
    for job in pending:
        for folder in folders[job]:
            made.record_of(folder).unlink(missing_ok=True)  # all are made anew
        make = _make_translated if job.sets == SETS else _make_untranslated
        make(settings, job, tables[job.lang])
        for folder in filter(Path.is_dir, folders[job]):
            made.begin(folder, records[job], made.KEEP)
            made.finish(folder)


def _record(job: Job, tables: list[Path]) -> dict:
    """Of what a job reads, but for the clips: their archive may be gone when it's done."""
    return made.describe({} if job.sets == SETS else {"source": job.source.name}, tables)


def find_tables(folder: Path, lang: str) -> list[Path]:
    """The official splitter's tables of train, dev and test; where they are not, its input alone,
    which is downloaded if need be. DataError: only some of the three, nothing to be had."""
    whole = folder / f"covost_v2.{lang}_en.tsv"
    split = [whole.with_suffix(f".{name}.tsv") for name in SETS]
    missing = [table for table in split if not table.is_file()]
    if not missing:
        return split
    if len(missing) < len(split) and not whole.is_file():
        raise DataError(f"{missing[0]}: no such file beside the other splits; put it there")
    if not whole.is_file():
        _fetch(whole)
    return [whole]


def _fetch(table: Path) -> None:
    """Unpack a table's archive, which is downloaded unless it lies there."""
    archive = table.with_name(f"{table.name}.tar.gz")
    if not archive.is_file():
        logger.info("downloading %s/%s", URL, archive.name)
        try:
            download(f"{URL}/{archive.name}", archive)
        except DataError as error:
            raise DataError(
                f"{error}, or put that file, or {table.name}, into {table.parent}"
            ) from None
    with TemporaryDirectory(prefix=".fetch-", dir=table.parent) as folder:
        unpack(archive, Path(folder))
        if not (Path(folder) / table.name).is_file():
            raise DataError(f"{archive}: no {table.name} in it; remove it and download it again")
        (Path(folder) / table.name).replace(table)


def read_rows(tables: list[Path], release: Release, dropped: list[Dropped]) -> Iterator[Row]:
    """What CoVoST 2 takes: rows of the three split tables, or of the one joined with Common
    Voice's `validated.tsv` as facebookresearch/covost's get_covost_splits.py does."""
    if len(tables) == 1:
        yield from _join(tables[0], release, dropped)
        return
    for name, table in zip(SETS, tables, strict=True):
        for _, row in read_columns(table, _columns(tables), dropped, release.lang, ESCAPE):
            yield Row(name, *(row[field] for field in _columns(tables)))


def _columns(tables: list[Path]) -> tuple[str, ...]:
    """What is read of the three split tables, or of the one to be joined."""
    return ("path", "translation", "split") if len(tables) == 1 else Row._fields[1:]


def _join(table: Path, release: Release, dropped: list[Dropped]) -> Iterator[Row]:
    spoken = {row["path"]: row for row in release.validated(dropped)}
    for _, row in read_columns(table, _columns([table]), dropped, release.lang, ESCAPE):
        path, split = row["path"], row["split"]
        if split in UNUSED_SPLITS:
            continue
        if split not in SPLITS:
            dropped.append(Dropped(path, release.lang, f"'{split}' is no split of CoVoST 2"))
        elif path not in spoken:
            fault = f"not in validated.tsv of {release.source}: another Common Voice than 4?"
            dropped.append(Dropped(path, release.lang, fault))
        else:
            clip = spoken[path]
            yield Row(SPLITS[split], path, clip["client_id"], clip["sentence"], row["translation"])


def _make_translated(settings: Settings, job: Job, tables: list[Path]) -> None:
    dropped: list[Dropped] = []
    with common_voice.opened(job.source, job.lang, settings.out) as release:
        rows = list(read_rows(tables, release, dropped))
        sets = _make_sets(settings, release, rows, dropped)
    if lost := [name for name in SETS if f"{name}_{job.lang}" not in sets]:
        raise DataError(f"{tables[0]}: nothing for the {lost[0]} set in '{job.lang}'")
    _write(settings.out, job, sets, dropped)
    for name, published in zip(SETS, PUBLISHED[job.lang], strict=True):
        if (count := len(sets[f"{name}_{job.lang}"]["utt2lang"])) != published:
            logger.warning("%s_%s: %d utterances, published %d", name, job.lang, count, published)


def _make_untranslated(settings: Settings, job: Job, tables: list[Path]) -> None:
    """Clips that CoVoST 2 doesn't have and that say nothing of its dev or test."""
    known = _known(settings.out, job.lang, tables)
    dropped: list[Dropped] = []
    excluded: list[Dropped] = []
    rows = []
    with common_voice.opened(job.source, job.lang, settings.out) as release:
        for row in release.validated(dropped):
            path, sentence = row["path"], row["sentence"]
            if reason := known.reason(path, clean(sentence)):
                excluded.append(Dropped(path, job.lang, reason))
            else:
                rows.append(Row("untranslated", path, row["client_id"], sentence, ""))
        sets = _make_sets(settings, release, rows, dropped)
    if not sets:
        logger.warning("%s: nothing in '%s' that CoVoST 2 doesn't have", job.source, job.lang)
    _write(settings.out, job, sets, dropped + excluded)


def _known(out: Path, lang: str, tables: list[Path]) -> HeldOut:
    """Every clip of CoVoST 2's tables, every sentence of dev and test."""
    rows = (row for table in tables for _, row in read_columns(table, ("path",), [], lang, ESCAPE))
    transcripts = {
        letters(text): f"{name}_{lang}"
        for name in ("dev", "test")
        for text in kaldi.read_table(out / f"{name}_{lang}" / "text.src").values()
    }
    return HeldOut(dict.fromkeys((row["path"] for row in rows), "CoVoST 2"), transcripts, {})


def _make_sets(
    settings: Settings, release: Release, rows: list[Row], dropped: list[Dropped]
) -> dict[str, kaldi.Tables]:
    """The sets of one language; what can't be used, before or after its audio was read, goes to
    `dropped`. DataError: too much of it."""
    total = len(rows) + len(dropped)
    utterances = list(_utterances(release, rows, dropped))
    check = partial(check_share, release.source, dropped, total, settings.max_dropped)
    check()  # before the hours that the audio takes
    sets = make_sets(settings.out, utterances, dropped, settings.nj)
    check()
    return sets


def _utterances(release: Release, rows: list[Row], dropped: list[Dropped]) -> Iterator[Utterance]:
    clips, seen = release.clips(), set()
    for row in rows:
        text, translation = clean(row.sentence), clean(row.translation)
        texts = [text] if row.set == "untranslated" else [text, translation]
        if row.path in seen:
            fault = "the clip stands there twice"
        elif row.path not in clips:
            fault = f"not in clips/ of {release.source}: unpacked in part, or another release?"
        else:
            fault = _fault(texts)
        if fault:
            dropped.append(Dropped(row.path, release.lang, fault))
        else:
            seen.add(row.path)
            yield release.utterance(row.set, row.path, row.client_id, text, translation)


def _fault(texts: list[str]) -> str | None:
    try:
        for text in texts:
            kaldi.check_text(text)
    except DataError as error:
        return str(error)
    return None


def _write(out: Path, job: Job, sets: dict[str, kaldi.Tables], dropped: list[Dropped]) -> None:
    for folder, tables in sets.items():
        kaldi.write_dir(out / folder, tables)
        logger.info("%s: %d utterances", out / folder, len(tables["utt2lang"]))
    write_dropped(out / f"dropped_{job.name}.tsv", dropped)
    logger.info("%s: %d left out, listed in dropped_%s.tsv", job.name, len(dropped), job.name)
