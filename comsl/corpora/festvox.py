"""festvox-ru: a Russian voice of Festival, in Debian, with the recordings that it was made from:
texts without a translation."""

import re
from collections.abc import Iterator
from pathlib import Path

from comsl.errors import DataError

VOICE = "usr/share/festival/voices/russian/msu_ru_nsh_clunits"
_LINE = re.compile(r'\( *(\S+) +"(.*)" *\)')


def lines(folder: Path) -> Iterator[tuple[Path, str]]:
    """Of the unpacked package: a recording, and what is said. DataError: a line of another form."""
    table = folder / VOICE / "etc/txt.done.data"
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), start=1):
        if not (match := _LINE.fullmatch(line.strip())):
            raise DataError(f"{table}:{number}: no '( id \"text\" )'")
        identifier, text = match.groups()
        yield folder / VOICE / "wav" / f"{identifier}.wav", clean(text)


def clean(text: str) -> str:
    """Without the marks of stress, and without the commas and dashes, which mark pauses here."""
    text = re.sub(r",|(?:^|(?<=\s))-+(?=\s|$)", "", text.replace("+", ""))
    return re.sub(r"\s+(?=[.?!])", "", " ".join(text.split()))
