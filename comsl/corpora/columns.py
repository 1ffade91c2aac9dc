"""Tab-separated files with a header line, as corpora of speech are published: without quoting."""

import csv
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from comsl.corpora.dropped import Dropped
from comsl.corpora.parallel_text import unquote
from comsl.errors import DataError
from comsl.files import iter_lines


def read_columns(
    path: Path,
    required: Sequence[str],
    dropped: list[Dropped],
    lang: str = "",
    escape: str | None = None,
    optional: Sequence[str] = (),
    header: Sequence[str] = (),
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, {column: cell}) of every row; one that can't be read goes to `dropped`, with `lang`.

    escape: the character that takes a special meaning from the next one; header: the columns of a
    file without a header line. DataError: no such file, not UTF-8, a required column that the
    header lacks, one of either kind that it has twice or spells otherwise.
    """
    if not path.is_file():
        raise DataError(f"{path.absolute()}: no such file")
    lines = iter_lines(path)
    lines = chain([next(lines, "").removeprefix("\ufeff")], lines)
    rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar=escape)
    if not header:
        first = _next(rows) or []
        if isinstance(first, csv.Error):
            raise DataError(f"{path}:1: {first}")
        header = [name.strip() for name in first]
        _check_header(path, header, required, optional)
    while (row := _next(rows)) is not None:
        if row == []:
            continue
        if fault := _fault(row, header):
            dropped.append(Dropped(f"{path.name}:{rows.line_num}", lang, fault))
        else:
            yield rows.line_num, dict(zip(header, row, strict=True))


def _next(rows: Iterator[list[str]]) -> list[str] | csv.Error | None:
    """The next row, or why it is none; None after the last."""
    try:
        return next(rows, None)
    except csv.Error as error:
        return error


def _fault(row: list[str] | csv.Error, header: Sequence[str]) -> str | None:
    if isinstance(row, csv.Error):
        return f"a carriage return in a cell, or a cell without end ({row})"
    if len(row) != len(header):
        return f"{len(row)} columns, not {len(header)}: a tab or line break in a cell?"
    return None


def _check_header(
    path: Path, header: list[str], required: Sequence[str], optional: Sequence[str]
) -> None:
    if missing := [name for name in required if name not in header]:
        raise DataError(
            f"{path}: no column '{missing[0]}' in its header '{' '.join(header)[:200]}'; it takes"
            f" {' '.join(required)}, separated by tabs, without quotes"
        )
    for name in (*required, *optional):
        if header.count(name) > 1:
            raise DataError(f"{path}: {header.count(name)} columns '{name}' in its header")
        for other in header:
            if other != name and other.lower() == name:
                raise DataError(f"{path}: the column '{other}' is called '{name}': correct it")


def clean(cell: str) -> str:
    """A cell as a sentence: NFC, single spaces, no control characters, and no quotation marks that
    only the file needed.

    Those are CSV's (around a cell in which others are doubled), those around the whole, and those
    without a partner.
    """
    text = "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in cell)
    text = " ".join(unicodedata.normalize("NFC", text).split())
    if re.fullmatch(r'"([^"]|"")*"', text):
        text = text[1:-1]
    return unquote(text.replace('""', '"'))
