"""Tab-separated files with a header line, as corpora of speech are published: without quoting."""

import csv
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from comsl.data.dropped import Dropped
from comsl.data.kaldi import read_lines
from comsl.data.parallel_text import unquote
from comsl.errors import DataError


def read_columns(
    path: Path,
    required: Sequence[str],
    dropped: list[Dropped],
    lang: str = "",
    escape: str | None = None,
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, {column: cell}) of every row; one of another width goes to `dropped`, with `lang`.

    escape: the character that takes a special meaning from the next one. DataError: no such file,
    not UTF-8, a required column that the header lacks or has twice.
    """
    if not path.is_file():
        raise DataError(f"{path.absolute()}: no such file")
    lines = read_lines(path) or [""]
    lines[0] = lines[0].removeprefix("\ufeff")
    rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar=escape)
    try:
        header = next(rows)
        _check_header(path, header, required)
        for row in rows:
            if len(row) == len(header):
                yield rows.line_num, dict(zip(header, row, strict=True))
            elif row:
                fault = f"{len(row)} columns, not {len(header)}: a tab or line break in a cell?"
                dropped.append(Dropped(f"{path.name}:{rows.line_num}", lang, fault))
    except csv.Error as error:
        raise DataError(f"{path}:{rows.line_num}: {error}") from None


def _check_header(path: Path, header: list[str], required: Sequence[str]) -> None:
    if missing := [name for name in required if name not in header]:
        raise DataError(
            f"{path}: no column '{missing[0]}' in its header '{' '.join(header)[:200]}'; it takes"
            f" {' '.join(required)}, separated by tabs, without quotes"
        )
    for name in required:
        if header.count(name) > 1:
            raise DataError(f"{path}: {header.count(name)} columns '{name}' in its header")


def clean(cell: str) -> str:
    """A cell as a sentence: NFC, single spaces, no quotation marks that only the file needed.

    Those are CSV's (around a cell in which others are doubled), those around the whole, and those
    without a partner.
    """
    text = " ".join(unicodedata.normalize("NFC", cell).split())
    if re.fullmatch(r'"([^"]|"")*"', text):
        text = text[1:-1]
    return unquote(text.replace('""', '"'))
