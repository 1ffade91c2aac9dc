"""A corpus of one's own, from one table: audio, language, transcript, translation, and if wanted
the set, the stretch of the audio, and the speaker."""

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from comsl.corpora import kaldi
from comsl.corpora.columns import clean, read_columns
from comsl.corpora.dropped import Dropped, check_share, write_dropped
from comsl.corpora.file_names import find_file
from comsl.corpora.sets import sets_of
from comsl.corpora.split import fold_of
from comsl.corpora.text import letters
from comsl.corpora.utterances import (
    Utterance,
    make_sets,
    plain_name,
    stretch_name,
    without_repeats,
)
from comsl.errors import DataError
from comsl.files import atomic_dir
from comsl.languages import language

COLUMNS = ("audio", "lang", "transcript", "translation")
FURTHER_COLUMNS = ("split", "start", "end", "speaker", "target_lang")
TEST = ("test", "tst")  # so names of test sets begin, such as tst-COMMON

logger = logging.getLogger(__name__)


def prepare(
    table: Path,
    langs: list[str],
    target_lang: str,
    out: Path,
    folds: int,
    nj: int,
    max_dropped: float,
) -> None:
    """Write out/{train,dev,test}_<lang>, out/untranslated_<lang> and out/untranscribed_<lang> for
    rows without the one text or the other, out/audio where a stretch is cut out, out/dropped.tsv.

    folds: where a row names no set, 1 of `folds` sentences is for test and 1 for dev. DataError:
    a column, a language or a set without a row, too many rows that can't be used.
    """
    dropped: list[Dropped] = []
    rows = _rows(table, langs, dropped)
    total = len(rows) + len(dropped)
    _settle_targets(table, rows, target_lang)
    utterances = _unique(rows, table.parent, folds, dropped)
    given = {utterance.id for row, utterance in utterances if _is_given(row, utterance)}
    kept = without_repeats((item for _, item in utterances), dropped, _sentences, given)
    _check_place(out, [table, *(utterance.audio for utterance in kept)])

    def check(names: Collection[str]) -> None:
        check_share(table, dropped, total, max_dropped)
        _check_sets(table, names, langs)

    check({f"{utterance.set}_{utterance.lang}" for utterance in kept})  # before audio is read
    with atomic_dir(out, sign="dropped.tsv") as temporary:
        sets = make_sets(temporary, kept, dropped, nj, home=out)
        check(sets)
        for name, tables in sets.items():
            kaldi.write_dir(temporary / name, tables)
            logger.info("%s: %d utterances", out / name, len(tables["utt2lang"]))
        write_dropped(temporary / "dropped.tsv", dropped)
    logger.info("%d of %d rows left out, listed in dropped.tsv", len(dropped), total)


def _rows(table: Path, langs: list[str], dropped: list[Dropped]) -> list[dict[str, str]]:
    """Rows in the languages, with their `line`, every cell stripped, texts cleaned, and "" for
    columns that aren't there. DataError: an unknown language, or one without a row."""
    rows = []
    found: Counter[str] = Counter()
    for number, cells in read_columns(table, COLUMNS, dropped, optional=FURTHER_COLUMNS):
        row = {"line": f"{table.name}:{number}"} | dict.fromkeys(FURTHER_COLUMNS, "")
        row |= {column: cell.strip() for column, cell in cells.items()}
        row |= {column: _text(row[column]) for column in ("transcript", "translation")}
        found[row["lang"]] += 1
        if row["lang"] in langs:
            rows.append(row)
    others = ", ".join(f"{count} of '{lang}'" for lang, count in found.items() if lang not in langs)
    for lang in langs:
        if not found[language(lang).code]:
            raise DataError(
                f"{table}: no row with '{lang}' in the column lang; there are {others or 'none'}:"
                " correct the column, or --langs"
            )
    if others:
        logger.info("rows of languages that --langs hasn't: %s", others)
    return rows


def _check_place(out: Path, paths: list[Path]) -> None:
    """DataError: a path is inside the folder, which is about to be replaced."""
    for folder in {path.parent for path in paths}:
        if out.resolve() in (folder.resolve() / "any").parents:
            raise DataError(
                f"{folder} has files of the corpus, and lies in {out}, which this stage replaces:"
                " move it elsewhere, or choose another name with --recipe"
            )


def _text(cell: str) -> str:
    """The sentence in a cell, "" for one that says nothing, such as a spreadsheet's NaN."""
    text = clean(cell)
    try:
        kaldi.check_text(text)
    except DataError:
        return ""
    return text


def _settle_targets(table: Path, rows: list[dict[str, str]], target_lang: str) -> None:
    """Leave in the column target_lang what tells translations apart: nothing where all are into one
    language. DataError: a row's is none of those that were named."""
    targets = target_lang.split()
    for row in rows:
        target = row["target_lang"] or ("" if targets[1:] else targets[0])
        if target not in targets or target == row["lang"]:
            said = f"'{target}'" if target else "nothing"
            raise DataError(
                f"{table.parent / row['line']}: {said} in the column target_lang of a row in"
                f" '{row['lang']}', but --target_lang is '{target_lang}': correct one of them"
            )
        row["target_lang"] = target if targets[1:] else ""


def _unique(
    rows: list[dict[str, str]], folder: Path, folds: int, dropped: list[Dropped]
) -> list[tuple[dict[str, str], Utterance]]:
    """Every row with its utterance, if it makes sense and the audio isn't that of a row before."""
    unique: dict[tuple, tuple[dict[str, str], Utterance]] = {}
    for row in rows:
        try:
            utterance = _utterance(row, folder, folds)
            times = utterance.start, utterance.end
            milliseconds = [None if time is None else round(1000 * time) for time in times]
            place = os.path.abspath(utterance.audio), *milliseconds  # as fine as an id
            stretch = *place, utterance.target
            if before := unique.get(stretch):
                raise DataError(f"the same audio as {before[0]['line']}")
        except DataError as error:
            dropped.append(Dropped(row["line"], row["lang"], str(error)))
        else:
            unique[stretch] = row, utterance
    return list(unique.values())


def _utterance(row: dict[str, str], folder: Path, folds: int) -> Utterance:
    """An utterance whose id holds a name for its audio file and, in ms, the stretch of it.

    DataError: a cell that makes no sense, or one that the others need is empty.
    """
    if not row["audio"]:
        raise DataError("nothing in the column audio")
    start, end = _seconds(row["start"]) or 0.0, _seconds(row["end"])
    audio = find_file(folder / row["audio"])
    key = f"{plain_name(audio.stem)}-{hashlib.sha256(row['audio'].encode()).hexdigest()[:8]}"
    speaker = f"{row['lang']}_{plain_name(row['speaker']) or key}"
    utterance = f"{speaker}-{key}" if row["speaker"] else speaker
    flac = None
    if (start, end) != (0.0, None):
        utterance += f"-{stretch_name(start, end)}"
        flac = Path("audio", row["lang"], f"{utterance}.flac")
    name, target = _set(row, folds), row["target_lang"]
    texts = row["transcript"], row["translation"]
    if target:
        utterance += f"-{target}"
    return Utterance(name, row["lang"], speaker, utterance, audio, flac, *texts, start, end, target)


def _seconds(cell: str) -> float | None:
    if not cell:
        return None
    if not re.fullmatch(r"\d+(\.\d*)?", cell):
        raise DataError(f"'{cell}' is not a time in seconds")
    return float(cell)


def _set(row: dict[str, str], folds: int) -> str:
    """The row's set: what it says, else what the hash of its translation says.

    DataError: none that it may be, nothing to learn from it, or dev or test without both texts.
    """
    split, text, translation = row["split"], row["transcript"], row["translation"]
    if not re.fullmatch(rf"|train|dev|({'|'.join(TEST)})[\w-]*", split):
        raise DataError(f"split '{split}': it takes train, dev or test, or nothing")
    if not text and not translation:
        raise DataError("neither transcript nor translation")
    if text and translation:
        sentence = text if row["target_lang"] else translation  # of several translations
        made = {0: "test", 1: "dev"}.get(fold_of(letters(sentence), folds), "train")
        return split or made
    if split and split != "train":
        raise DataError(f"no {'translation' if text else 'transcript'}, which {split} needs")
    return "untranslated" if text else "untranscribed"


def _is_given(row: dict[str, str], utterance: Utterance) -> bool:
    """Whether the table itself says that the utterance belongs to its set."""
    return row["split"] == utterance.set


def _sentences(utterance: Utterance) -> Iterator[tuple[str, str]]:
    """What may not be in two sets: a transcript; a translation, which may be a transcript of the
    other direction where there are several target languages."""
    if utterance.text:
        yield utterance.lang, letters(utterance.text)
    if utterance.translation:
        yield utterance.target or "translation", letters(utterance.translation)


def _check_sets(table: Path, sets: Collection[str], langs: list[str]) -> None:
    """DataError: nothing to train on, to choose models by, or to test a language on."""
    lost = [name for name in ("train", "dev") if not sets_of(name, " ".join(langs)).keys() & sets]
    tests = [name for name in sets if name.startswith(TEST)]
    lost += [f"test_{lang}" for lang in langs if not any(x.endswith(f"_{lang}") for x in tests)]
    if lost:
        raise DataError(
            f"{table}: no row for {lost[0]}; fill the column split, or, where it is empty, try"
            ' --local_data_opts "--folds 5", which takes a larger share for dev and test'
        )
