"""The recording scripts of the Asterisk prompts, cleaned: `key: text` to natural sentences."""

import csv
import gzip
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from comsl.corpora.archives import reading
from comsl.corpora.parallel_text import unquote
from comsl.errors import DataError

PHRASE_WORDS = 3  # from here on a prompt is a phrase; below, a word of a menu or a number
Corrections = list[tuple[re.Pattern, str]]

_KEY = r"[\w/-]+"
_SOUND = re.compile(r"\s*(\[[^]]*\]|<[^>]*>|\([^)]*\))[\s.]*")
# A sentence that follows a full stop or colon without a space: "5.Pour", "options:Pour".
_MISSING_SPACE = re.compile(r'(?<=[a-zà-ÿа-яё\d»"][.:])(?=[A-ZÀ-ÞА-ЯЁ«])')
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "’": "'", "…": "..."})


def read_tsv(path: Path) -> list[list[str]]:
    """Rows of a tab-separated file below its header, all three columns wide."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    for number, row in enumerate(rows, start=1):
        if len(row) != 3:
            raise DataError(f"{path}:{number}: {len(row)} columns, not 3")
    return rows[1:]


def read_corrections(path: Path, lang: str) -> Corrections:
    """A language's rows of `language, wrong, right`, as whole words and in the file's order."""
    return [
        (re.compile(rf"(?<![\w/-]){re.escape(wrong)}(?![\w:/-])", re.IGNORECASE), right)
        for language, wrong, right in read_tsv(path)
        if language == lang
    ]


def read_script(path: Path, corrections: Corrections) -> dict[str, str]:
    """{key: text} of a script (plain or .gz), corrected, run-together entries taken apart.

    Of a key's texts the first one counts: where the recordings were compared, it was spoken.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    texts: dict[str, str] = {}
    with reading(path), opener(path, "rt", encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip() or line.startswith(";"):
                continue
            if not re.match(rf"{_KEY}:", line):
                raise DataError(f"{path}:{number}: no 'key: text' in '{line.strip()}'")
            for key, text in _entries(correct(line, corrections)):
                if text:
                    texts.setdefault(key, text)
    return texts


def _entries(line: str) -> Iterable[tuple[str, str]]:
    """(key, text) pairs of a line. Inside a line, only what has a hyphen or slash is a key."""
    starts = list(re.finditer(rf"^{_KEY}:|(?<![\w/-])\w+(?:[/-]\w+)+: ", line))
    ends = [match.start() for match in starts[1:]] + [len(line)]
    for match, end in zip(starts, ends, strict=True):
        yield match.group().rstrip(": "), line[match.end() : end].strip()


def correct(line: str, corrections: Corrections) -> str:
    """Apply corrections; a capital at the start of what is replaced stays."""
    for wrong, right in corrections:
        capital = right[:1].upper() + right[1:]
        line = wrong.sub(lambda m, r=right, c=capital: c if m.group()[0].isupper() else r, line)
    return line


def is_sound(text: str) -> bool:
    """True for a description in place of words: `[ascending tones]`, `(beep)`."""
    return bool(_SOUND.fullmatch(text))


def clean(text: str) -> str:
    """What is said, without the script's marks: notes, stray quotes, dots of continuation."""
    text = unicodedata.normalize("NFC", text).translate(_QUOTES)
    # Notes to the speaker, and in brackets words that complete a fragment: none is spoken.
    text = re.sub(r"(\([^)]*\)|<[^>]*>|\[[^]]*\])[\s.]*", " ", text)
    text = unquote(" ".join(text.split()))
    text = re.sub(r"^[\s.,]+|[\s,]*(\.[\s.]*\.|:+)$", "", text)
    text = re.sub(r"\s+(?=[,.;:!?])", "", text)
    text = _MISSING_SPACE.sub(" ", text)
    if len(text.split()) >= PHRASE_WORDS:
        text = text[0].upper() + text[1:]
    return text
