"""Kaldi-style directories: tables of `utterance value` lines, one file a field, sorted by id.

A small set is read whole, as tables; one of any size utterance by utterance, as rows.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby, zip_longest
from operator import itemgetter
from pathlib import Path

from comsl.corpora.file_names import find_file
from comsl.errors import DataError
from comsl.files import atomic_dir, atomic_file, iter_lines, write_text
from comsl.languages import language

Tables = dict[str, dict[str, str]]
Lines = Iterable[tuple[str, str]]  # of a table: (id, value), sorted
Row = tuple[str, dict[str, str]]  # an utterance and its values, by field

TEXT_FIELDS = ("utt2lang", "text.src")  # of every set but an untranscribed one
AUDIO_FIELDS = ("wav.scp", "utt2spk", "utt2dur")
TARGETS = "utt2target"  # language of each translation, where they differ (targets.py)
OPTIONAL_FIELDS = ("utt2num_samples", "text.tgt", TARGETS)


def read_table(path: Path | str, *, empty_ok: bool = False) -> dict[str, str]:
    """Read `id value` lines. `empty_ok` is for hypotheses: a system may have nothing to say.

    DataError with file and line: missing or empty file, not UTF-8, an id without a value, ids out
    of order or repeated.
    """
    return dict(iter_table(path, empty_ok=empty_ok))


def iter_table(path: Path | str, *, empty_ok: bool = False) -> Iterator[tuple[str, str]]:
    """The lines that `read_table` reads, one after the other."""
    previous = ""
    for number, line in enumerate(iter_lines(Path(path)), start=1):
        key, _, value = line.partition(" ")
        value = value.strip()
        where = f"{path}:{number}"
        if not key:
            raise DataError(f"{where}: no id at the start of the line")
        if not value and not empty_ok:
            raise DataError(
                f"{where}: nothing after '{key}'; give it a value or drop the utterance"
            )
        if key == previous:
            raise DataError(f"{where}: '{key}' stands here twice; ids must be unique")
        if key < previous:
            raise DataError(f"{where}: '{key}' after '{previous}'; sort the file (LC_ALL=C sort)")
        yield key, value
        previous = key
    if not previous:
        raise DataError(f"{path}: empty file")


def write_table(path: Path | str, table: dict[str, str]) -> None:
    """Write `id value` lines, sorted as C does. DataError: an id or value would break its line."""
    write_text(path, "".join(_line(path, key, table[key]) for key in sorted(table)))


def _line(path: Path | str, key: str, value: str) -> str:
    if key.split() != [key] or "\n" in value:
        raise DataError(f"{path}: a space in the id or a line break in the value of '{key}'")
    return f"{key} {value}".rstrip() + "\n"


def write_dir(folder: Path | str, tables: Tables) -> None:
    """Write the tables (`{field: {id: value}}`) as one directory; `spk2utt` comes by itself."""
    write_rows(folder, _sorted_rows(tables))


def write_rows(folder: Path | str, rows: Iterable[Row]) -> int:
    """Write rows, in the order of their ids, as one directory; returns how many there are."""
    number = 0
    with atomic_dir(folder) as temporary:
        with row_writer(temporary) as write:
            for key, values in rows:
                write(key, values)
                number += 1
        if (temporary / "utt2spk").is_file():
            write_spk2utt(temporary)
    return number


def write_spk2utt(folder: Path) -> None:
    """`spk2utt` beside `utt2spk`."""
    with row_writer(folder) as write:
        for speaker, utterances in spk2utt(iter_table(folder / "utt2spk")):
            write(speaker, {"spk2utt": utterances})


@contextmanager
def row_writer(folder: Path) -> Iterator[Callable[[str, Mapping[str, str]], None]]:
    """A function that adds an utterance's values to the tables of a folder, in the order of ids.
    The tables are there when the block has ended well."""
    with ExitStack() as stack:
        files = {}

        def write(key: str, values: Mapping[str, str]) -> None:
            for field, value in values.items():
                if field not in files:
                    temporary = stack.enter_context(atomic_file(folder / field))
                    file = temporary.open("w", encoding="utf-8", newline="\n")
                    files[field] = stack.enter_context(file)
                files[field].write(_line(folder / field, key, value))

        yield write


def read_dir(folder: Path | str) -> Tables:
    """The tables that a directory has, `spk2utt` excepted (`write_dir` makes it)."""
    return {field: read_table(Path(folder, field)) for field in fields_of(folder)}


def read_rows(folder: Path | str) -> Iterator[Row]:
    """What `read_dir` reads, utterance by utterance."""
    return rows_of({field: iter_table(Path(folder, field)) for field in fields_of(folder)})


def fields_of(folder: Path | str) -> list[str]:
    """The tables that a directory has. DataError: there is no such directory."""
    if not Path(folder).is_dir():
        raise DataError(f"{folder}: no such directory; run the stage that makes it first")
    fields = [*AUDIO_FIELDS, *TEXT_FIELDS, *OPTIONAL_FIELDS]
    return [field for field in fields if Path(folder, field).is_file()]


def rows_of[Value](
    tables: Mapping[str, Iterable[tuple[str, Value]]],
) -> Iterator[tuple[str, dict[str, Value]]]:
    """Every utterance that one of the tables has, with the values that there are."""
    tagged = [_tagged(field, lines) for field, lines in tables.items()]
    for key, values in groupby(heapq.merge(*tagged, key=itemgetter(0)), itemgetter(0)):
        yield key, {field: value for _, field, value in values}


def _tagged[Value](field: str, lines: Iterable[tuple[str, Value]]) -> Iterator[tuple]:
    return ((key, field, value) for key, value in lines)


def _sorted_rows(tables: Tables) -> Iterator[Row]:
    return rows_of({field: sorted(table.items()) for field, table in tables.items()})


def merge_rows(parts: Iterable[Iterable[Row]]) -> Iterator[Row]:
    """Rows of several directories in one order. DataError: an utterance is in two of them, or not
    all have the same fields."""
    previous, fields = "", None
    for key, values in heapq.merge(*parts, key=itemgetter(0)):
        if key == previous:
            raise DataError(f"utterance '{key}' is in two of the sets to be combined")
        fields = fields or values.keys()
        if odd := fields ^ values.keys():
            raise DataError(f"{min(odd)} is in one of the sets to be combined, and not in another")
        yield key, values
        previous = key


def combine(parts: list[Tables]) -> Tables:
    """Tables of several directories as one. DataError as `merge_rows`."""
    whole: Tables = {field: {} for field in parts[0]}
    for key, values in merge_rows(map(_sorted_rows, parts)):
        for field, value in values.items():
            whole[field][key] = value
    return whole


def spk2utt(utt2spk: Lines) -> Iterator[tuple[str, str]]:
    """Each speaker with the utterances, separated by spaces; both in order.

    An id begins with its speaker, so that a speaker's ids are neighbours, but for those of speakers
    whose own names begin with that name: these are collected together.
    """
    group: dict[str, list[str]] = {}
    shortest = ""
    for utterance, speaker in utt2spk:
        if group and not utterance.startswith(shortest):
            yield from _joined(group)
            group.clear()
        group.setdefault(speaker, []).append(utterance)
        shortest = min(group, key=len)
    yield from _joined(group)


def _joined(group: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    return ((speaker, " ".join(group[speaker])) for speaker in sorted(group))


def validate_dir(
    folder: Path | str, audio: bool = True, texts: Sequence[str] = ("text.src", "text.tgt")
) -> int:
    """Check a whole directory; returns its number of utterances.

    `audio`: speech tables are required (else text only); `texts`: those of transcripts and
    translations that are.
    DataError names the file and utterance: missing or malformed table, ids that differ between
    tables, an id without its speaker's prefix, a bad duration, unknown language, empty or NaN text,
    missing audio.
    """
    folder = Path(folder)
    required = ["utt2lang", *texts, *(AUDIO_FIELDS if audio else ())]
    fields = list(dict.fromkeys([*fields_of(folder), *required]))
    number = 0
    for utterance, values in rows_of({field: iter_table(folder / field) for field in fields}):
        if lost := [field for field in fields if field not in values]:
            there = next(field for field in fields if field in values)
            raise DataError(f"{folder}: utterance '{utterance}' is in {there} but not in {lost[0]}")
        for field, value in values.items():
            if field in CHECKS and (audio or field not in AUDIO_FIELDS):
                _blame(folder / field, utterance, CHECKS[field], value)
        if audio and not utterance.startswith(values["utt2spk"]):
            raise DataError(
                f"{folder}/utt2spk: {utterance}: the id must start with its speaker"
                f" '{values['utt2spk']}', so that both sort alike"
            )
        number += 1
    if audio:
        _check_speakers(folder)
    return number


def check_text(text: str) -> None:
    """DataError if a text says nothing: no letter or digit in it, or a spreadsheet's NaN."""
    if text in ("nan", "NaN") or not any(character.isalnum() for character in text):
        raise DataError(f"empty text '{text}'")


def _blame(path, utterance, check, value) -> None:
    """Run a check of one value; its complaint gets the file and utterance in front."""
    try:
        check(value)
    except DataError as error:
        raise DataError(f"{path}: {utterance}: {error}; correct or drop the utterance") from None


def _check_speakers(folder: Path) -> None:
    made = spk2utt(iter_table(folder / "utt2spk"))
    if any(one != other for one, other in zip_longest(made, iter_table(folder / "spk2utt"))):
        raise DataError(f"{folder}/spk2utt does not match utt2spk; make it anew")


def check_duration(seconds: str) -> None:
    """DataError if it is not a positive number."""
    try:
        good = 0 < float(seconds) < float("inf")
    except ValueError:
        good = False
    if not good:
        raise DataError(f"'{seconds}' is not a duration in seconds")


def _check_file(path: str) -> None:
    if not find_file(Path(path)).is_file():
        raise DataError(f"no audio file '{path}'")


CHECKS = {  # of a field's values
    "utt2lang": language,
    TARGETS: language,
    "text.src": check_text,
    "text.tgt": check_text,
    "utt2dur": check_duration,
    "wav.scp": _check_file,
}
