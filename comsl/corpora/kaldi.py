"""Kaldi-style directories: tables of `utterance value` lines, one file a field, sorted by id."""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from comsl.corpora.file_names import find_file
from comsl.errors import DataError
from comsl.languages import language

Tables = dict[str, dict[str, str]]

TEXT_FIELDS = ("utt2lang", "text.src")  # of every set but an untranscribed one
AUDIO_FIELDS = ("wav.scp", "utt2spk", "utt2dur")
TARGETS = "utt2target"  # language of each translation, where they differ (targets.py)
OPTIONAL_FIELDS = ("utt2num_samples", "text.tgt", TARGETS)


def read_table(path: Path | str, *, empty_ok: bool = False) -> dict[str, str]:
    """Read `id value` lines. `empty_ok` is for hypotheses: a system may have nothing to say.

    DataError with file and line: missing or empty file, not UTF-8, an id without a value, ids out
    of order or repeated.
    """
    table: dict[str, str] = {}
    previous = ""
    for number, line in enumerate(read_lines(Path(path)), start=1):
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
        table[key] = value
        previous = key
    if not table:
        raise DataError(f"{path}: empty file")
    return table


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 file, split at newlines only (text may hold other separators).

    DataError: no such file, or not UTF-8.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; run the stage that makes it first")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{number}: not UTF-8; convert the file (iconv -t UTF-8)") from None
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 file in one step: under a temporary name, then renamed."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_table(path: Path | str, table: dict[str, str]) -> None:
    """Write `id value` lines, sorted as C does. DataError: an id or value would break its line."""
    for key, value in table.items():
        if key.split() != [key] or "\n" in value:
            raise DataError(f"{path}: a space in the id or a line break in the value of '{key}'")
    lines = (f"{key} {table[key]}".rstrip() + "\n" for key in sorted(table))
    write_text(path, "".join(lines))


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """A new file to write, in a folder that need not exist yet; it takes `path`'s place only when
    the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    temporary.replace(path)


@contextmanager
def atomic_dir(folder: Path | str, sign: str = "") -> Iterator[Path]:
    """A new folder to fill, which takes `folder`'s place only when the block ends well; where that
    is a link, the place that it points to.

    sign: a file that whatever is replaced must have: it shows who made it. DataError: it hasn't.
    """
    folder = Path(os.path.realpath(folder)) if os.path.islink(folder) else Path(folder)
    if folder.is_dir() and not (folder / sign).exists() and any(folder.iterdir()):
        raise DataError(
            f"{folder} exists, and isn't what this stage makes, which would take its place: move it"
            " away, or choose another name with --recipe"
        )
    temporary, old = (folder.with_name(f".{folder.name}.{suffix}") for suffix in ("tmp", "old"))
    for leftover in (temporary, old):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if folder.exists():
        os.replace(folder, old)
    os.replace(temporary, folder)
    shutil.rmtree(old, ignore_errors=True)


def write_dir(folder: Path | str, tables: Tables) -> None:
    """Write the tables (`{field: {id: value}}`) as one directory; `spk2utt` comes by itself."""
    with atomic_dir(folder) as temporary:
        for field, table in tables.items():
            write_table(temporary / field, table)
        if "utt2spk" in tables:
            write_table(temporary / "spk2utt", spk2utt(tables["utt2spk"]))


def read_dir(folder: Path | str) -> Tables:
    """The tables that a directory has, `spk2utt` excepted (`write_dir` makes it)."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such directory; run the stage that makes it first")
    fields = [*AUDIO_FIELDS, *TEXT_FIELDS, *OPTIONAL_FIELDS]
    return {field: read_table(folder / field) for field in fields if (folder / field).is_file()}


def spk2utt(utt2spk: dict[str, str]) -> dict[str, str]:
    """Speaker to its utterances, separated by spaces."""
    utterances = defaultdict(list)
    for utterance in sorted(utt2spk):
        utterances[utt2spk[utterance]].append(utterance)
    return {speaker: " ".join(ids) for speaker, ids in utterances.items()}


def combine(parts: list[Tables]) -> Tables:
    """Tables of several directories as one. DataError: an utterance in two of them."""
    whole: Tables = {field: {} for field in parts[0]}
    for part in parts:
        if part.keys() != parts[0].keys():
            field = min(part.keys() ^ parts[0].keys())
            raise DataError(f"{field} is in one of the sets to be combined, and not in another")
        for field, table in whole.items():
            if repeated := sorted(table.keys() & part[field].keys()):
                raise DataError(f"utterance '{repeated[0]}' is in two of the sets to be combined")
            table.update(part[field])
    return whole


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
    tables = read_dir(folder) | {field: read_table(folder / field) for field in required}
    _check_ids(folder, tables)
    for field in ("utt2lang", TARGETS):
        for utterance, code in tables.get(field, {}).items():
            _blame(folder / field, utterance, language, code)
    for field in ("text.src", "text.tgt"):
        for utterance, text in tables.get(field, {}).items():
            _blame(folder / field, utterance, check_text, text)
    if audio:
        _check_speakers(folder, tables["utt2spk"])
        for utterance, seconds in tables["utt2dur"].items():
            _blame(folder / "utt2dur", utterance, check_duration, seconds)
        for utterance, path in tables["wav.scp"].items():
            _blame(folder / "wav.scp", utterance, _check_file, path)
    return len(tables["utt2lang"])


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


def _check_ids(folder: Path, tables: Tables) -> None:
    """Every table must hold the ids of the first one."""
    first, *others = tables
    for field in others:
        for one, other in ((first, field), (field, first)):
            if lost := sorted(tables[one].keys() - tables[other].keys()):
                raise DataError(f"{folder}: utterance '{lost[0]}' is in {one} but not in {other}")


def _check_speakers(folder: Path, utt2spk: dict[str, str]) -> None:
    for utterance, speaker in utt2spk.items():
        if not utterance.startswith(speaker):
            raise DataError(
                f"{folder}/utt2spk: {utterance}: the id must start with its speaker '{speaker}',"
                " so that both sort alike"
            )
    if read_table(folder / "spk2utt") != spk2utt(utt2spk):
        raise DataError(f"{folder}/spk2utt does not match utt2spk; make it anew")


def check_duration(seconds: str) -> None:
    """DataError if it is not a positive number."""
    try:
        good = 0 < float(seconds) < float("inf")
    except ValueError:
        good = False
    if not good:
        raise DataError(f"'{seconds}' is no duration in seconds")


def _check_file(path: str) -> None:
    if not find_file(Path(path)).is_file():
        raise DataError(f"no audio file '{path}'")
