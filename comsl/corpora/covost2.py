"""CoVoST 2 (Wang et al. 2020, arXiv 2007.10310), 21 languages into English and English into 15:
clips of Common Voice 4 with a translation, from that release or from a later one, which has most of
them. Also clips of a later release that it lacks, without a translation."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from comsl import made
from comsl.corpora import common_voice, kaldi
from comsl.corpora.archives import download, unpack
from comsl.corpora.by_language import Content, Job, Output, make_all, make_usable, text_fault
from comsl.corpora.columns import clean, read_columns
from comsl.corpora.common_voice import ESCAPE, Release
from comsl.corpora.coverage import check_coverage
from comsl.corpora.dropped import Dropped
from comsl.corpora.held_out import HeldOut
from comsl.corpora.sets import folder_name
from comsl.corpora.text import letters
from comsl.corpora.utterances import Utterance
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
# English into each of these, and utterances of SETS of each.
FROM_ENGLISH = "ar ca cy de et fa id ja lv mn sl sv-SE ta tr zh-CN".split()  # noqa: SIM905
PUBLISHED_FROM_ENGLISH = (289430, 15531, 15531)
# Of which pseudo data are made where nobody says otherwise: 17, of the paper's we know only that
# they are 16.
PSEUDO_LANGS = tuple(lang for lang in PUBLISHED if LANGUAGES[lang].group in ("mid", "low"))

Tables = dict[str, list[Path]]  # target language -> its tables
Absent = dict[str, list[Dropped]]  # set -> clips of it that a release lacks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Folders of a Common Voice release and of CoVoST 2's tables, where the sets go, of each set as
    published the least share that the release must have, and the languages of the translations."""

    common_voice: Path
    covost2: Path
    out: Output
    min_coverage: float
    targets: tuple[str, ...] = ("en",)


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
    """Write {train,dev,test}_<lang> and dropped_<lang>.tsv, and, if there is a `later` Common
    Voice, the same of untranslated_<lang>; audio goes to audio/<lang>.

    A language that is complete is not done again. DataError: an unknown language, something
    missing or damaged, too many clips that can't be used, or that the release lacks.
    """
    for lang in (*langs, *pseudo_langs):
        if lang not in (*PUBLISHED, "en"):
            raise DataError(f"CoVoST 2 has no '{lang}'; choose from: {' '.join(PUBLISHED)} en")
    tables = {
        lang: {t: find_tables(settings.covost2, lang, t) for t in _targets(lang, settings.targets)}
        for lang in langs
    }
    jobs = [
        _job(lang, lang, settings.common_voice, SETS, tables[lang], settings.targets,
             partial(_make_translated, settings, lang, tables[lang]))
        for lang in langs
    ]  # fmt: skip
    if later:
        jobs += [
            _job(f"untranslated_{lang}", lang, later, ("untranslated",), tables[lang], (),
                 partial(_make_untranslated, settings.out, later, lang, _first(tables[lang])))
            for lang in langs if lang in pseudo_langs
        ]  # fmt: skip
    make_all(settings.out.folder, jobs)


def _targets(lang: str, targets: Iterable[str]) -> list[str]:
    """Those that CoVoST 2 translates a language into. DataError: none."""
    known = FROM_ENGLISH if lang == "en" else ["en"]
    if chosen := [target for target in targets if target in known]:
        return chosen
    raise DataError(
        f"CoVoST 2 doesn't translate '{lang}' into '{' '.join(targets)}', but into:"
        f" {' '.join(known)}"
    )


def _first(tables: Tables) -> list[Path]:
    return next(iter(tables.values()))


def _job(
    name: str,
    lang: str,
    source: Path,
    sets: tuple[str, ...],
    tables: Tables,
    targets: tuple[str, ...],
    make: Callable[[], Content],
) -> Job:
    """Sets of a language from the Common Voice in `source`, whose archives may be gone when they
    are made: its name is what counts. Where there are several targets, ids have theirs in them."""

    def check() -> None:
        common_voice.locate(source, lang)
        for files in tables.values():
            for table in files:
                next(read_columns(table, _columns(files), [], lang, ESCAPE), None)

    folders = tuple(folder_name(set_name, lang) for set_name in sets)
    files = [table for files in tables.values() for table in files]
    values = {"source": source.name} | ({"targets": "several"} if len(targets) > 1 else {})
    return Job(name, folders, made.describe(values, files), check, make)


def find_tables(folder: Path, lang: str, target: str = "en") -> list[Path]:
    """The official splitter's tables of train, dev and test; where they are not, its input alone,
    which is downloaded if need be. DataError: only some of the three, nothing to be had."""
    whole = folder / f"covost_v2.{lang}_{target}.tsv"
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


def published_sizes(tables: list[Path], lang: str) -> Counter[str]:
    """How many utterances of each set CoVoST 2's tables list, set -> number."""
    sizes: Counter[str] = Counter()
    for number, table in enumerate(tables):
        for _, row in read_columns(table, _columns(tables), [], lang, ESCAPE):
            sizes[SPLITS.get(row["split"]) if len(tables) == 1 else SETS[number]] += 1
    return Counter({name: sizes[name] for name in SETS})


def read_rows(
    tables: list[Path], release: Release, dropped: list[Dropped], absent: Absent
) -> Iterator[Row]:
    """What CoVoST 2 takes: rows of the three split tables, or of the one joined with Common
    Voice's `validated.tsv` as facebookresearch/covost's get_covost_splits.py does. What the release
    doesn't have goes to `absent`, by its set."""
    if len(tables) == 1:
        yield from _join(tables[0], release, dropped, absent)
        return
    for name, table in zip(SETS, tables, strict=True):
        for _, row in read_columns(table, _columns(tables), dropped, release.lang, ESCAPE):
            yield Row(name, *(row[field] for field in _columns(tables)))


def _columns(tables: list[Path]) -> tuple[str, ...]:
    """What is read of the three split tables, or of the one to be joined."""
    return ("path", "translation", "split") if len(tables) == 1 else Row._fields[1:]


def _join(table: Path, release: Release, dropped: list[Dropped], absent: Absent) -> Iterator[Row]:
    rows = [row for _, row in read_columns(table, _columns([table]), dropped, release.lang, ESCAPE)]
    spoken = release.find({row["path"] for row in rows})
    for row in rows:
        path, split = row["path"], row["split"]
        if split in UNUSED_SPLITS:
            continue
        if split not in SPLITS:
            dropped.append(Dropped(path, release.lang, f"'{split}' is no split of CoVoST 2"))
        elif path not in spoken:
            fault = f"in no table of {release.source}"
            absent[SPLITS[split]].append(Dropped(path, release.lang, fault))
        else:
            clip = spoken[path]
            yield Row(SPLITS[split], path, clip["client_id"], clip["sentence"], row["translation"])


def _make_translated(settings: Settings, lang: str, tables: Tables) -> Content:
    dropped: list[Dropped] = []
    absent: Absent = {name: [] for name in SETS}
    counted = [published_sizes(files, lang) for files in tables.values()]
    sizes = {name: sum(one[name] for one in counted) for name in SETS}
    utterances: list[Utterance] = []
    with common_voice.opened(settings.common_voice, lang, settings.out.folder) as release:
        for target, files in tables.items():
            rows = list(read_rows(files, release, dropped, absent))
            into = target if len(settings.targets) > 1 else ""
            utterances += _utterances(release, rows, dropped, absent, into)
        counts = {name: sizes[name] - len(absent[name]) for name in SETS}
        check_coverage(release.source, counts, sizes, settings.min_coverage)
        sets = make_usable(settings.out, release.source, utterances, dropped)
    each = PUBLISHED_FROM_ENGLISH if lang == "en" else PUBLISHED[lang]
    for name, one in zip(SETS, each, strict=True):
        folder, published = folder_name(name, lang), one * len(tables)
        if folder not in sets:
            raise DataError(f"{_first(tables)[0]}: nothing for the {name} set in '{lang}'")
        if (size := sizes[name]) != published:
            logger.warning("%s: %d utterances in its table, published %d", folder, size, published)
    lacking = [item for name in SETS for item in absent[name]]
    by_folder = {folder_name(name, lang): size for name, size in sizes.items()}
    return Content(sets, dropped + lacking, by_folder)


def _make_untranslated(out: Output, later: Path, lang: str, tables: list[Path]) -> Content:
    """Clips that CoVoST 2 doesn't have and that say nothing of its dev or test."""
    known = _known(out.folder, lang, tables)
    dropped: list[Dropped] = []
    excluded: list[Dropped] = []
    rows = []
    with common_voice.opened(later, lang, out.folder) as release:
        for row in release.validated(dropped):
            path, sentence = row["path"], row["sentence"]
            if reason := known.reason(path, clean(sentence)):
                excluded.append(Dropped(path, lang, reason))
            else:
                rows.append(Row("untranslated", path, row["client_id"], sentence, ""))
        utterances = list(_utterances(release, rows, dropped, {"untranslated": dropped}))
        sets = make_usable(out, release.source, utterances, dropped)
    if not sets:
        logger.warning("%s: nothing in '%s' that CoVoST 2 doesn't have", later, lang)
    return Content(sets, dropped + excluded)


def _known(out: Path, lang: str, tables: list[Path]) -> HeldOut:
    """Every clip of CoVoST 2's tables, every sentence of dev and test."""
    rows = (row for table in tables for _, row in read_columns(table, ("path",), [], lang, ESCAPE))
    transcripts = {
        letters(text): f"{name}_{lang}"
        for name in ("dev", "test")
        for text in kaldi.read_table(out / f"{name}_{lang}" / "text.src").values()
    }
    return HeldOut(dict.fromkeys((row["path"] for row in rows), "CoVoST 2"), transcripts, {})


def _utterances(
    release: Release, rows: list[Row], dropped: list[Dropped], absent: Absent, target: str = ""
) -> Iterator[Utterance]:
    """What can be used before its audio is read; the rest goes to `dropped`, and to `absent` where
    the release lacks the clip. target: of the translations, where there are several."""
    clips, seen = release.clips(), set()
    for row in rows:
        text, translation = clean(row.sentence), clean(row.translation)
        texts = [text] if row.set == "untranslated" else [text, translation]
        if row.path not in clips:
            fault = f"not in clips/ of {release.source}"
            absent[row.set].append(Dropped(row.path, release.lang, fault))
        elif row.path in seen:
            dropped.append(Dropped(row.path, release.lang, "the clip stands there twice"))
        elif fault := text_fault(texts):
            dropped.append(Dropped(row.path, release.lang, fault))
        else:
            seen.add(row.path)
            one = release.utterance(row.set, row.path, row.client_id, text, translation)
            yield replace(one, id=f"{one.id}-{target}", target=target) if target else one
