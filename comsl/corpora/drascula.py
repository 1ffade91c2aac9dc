"""Drascula: an adventure game with Spanish voices, in Debian's drascula-spanish, and its texts in
six languages, in scummvm-data.

Its Spanish is written in capitals and without accents, so it is no transcript; its English is a
translation of what is heard.
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from comsl.errors import DataError

VOICES = "usr/share/scummvm/drascula/es"
TEXTS = "usr/share/scummvm/drascula.dat"
RATE = 11025  # hertz; unsigned 8 bit, without a header
LANGUAGES = 6  # English, Spanish, German, French, Italian, Russian
# Whose lines: the letters that a recording's name begins with, in the order of the tables of texts.
SPEAKERS = ("", "D", "B", "BJ", "E", "I", "L", "P", "T", "VB")
_NAMES = re.compile(
    r"\b(i|b\.j\.|billie jean|braun|drascula|frankenstein|god|hacker|igor|john|london|mummy|pepe"
    r"|spain|tibet|transylvania|von|yoda)\b"
)


def lines(voices: Path, texts: Path) -> Iterator[tuple[Path, str]]:
    """Of the two unpacked packages: a recording, and its English."""
    tables = dict(zip(SPEAKERS, read_texts(texts / TEXTS), strict=False))
    for recording in sorted((voices / VOICES).glob("*.ALS")):
        speaker, number = re.fullmatch(r"([A-Z]*)(\d+)", recording.stem).groups()
        english = tables.get(speaker, [])
        if 0 < int(number) < len(english) and english[int(number)].strip():
            yield recording, sentence_case(english[int(number)])


def sentence_case(text: str) -> str:
    """A text that is all in capitals, in small letters."""
    text = _NAMES.sub(lambda match: match.group().title(), text.lower())
    return re.sub(r"(^|[.?!]\s+)\w", lambda match: match.group().upper(), text)


def read_samples(recording: Path) -> np.ndarray:
    """Samples (T,) in [-1, 1)."""
    return (np.fromfile(recording, np.uint8).astype(np.float32) - 128) / 128


def write_wave(recording: Path, target: Path) -> None:
    """The recording with a header."""
    target.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(target, read_samples(recording), RATE, subtype="PCM_U8", format="WAV")


def read_texts(path: Path) -> list[list[str]]:
    """The English tables of texts. DataError: it isn't that file.

    They stand behind the number of languages: a count, then for every language a length and as
    many bytes. Every string is preceded by the bytes from its start to the next one's.
    """
    data = path.read_bytes()
    for match in re.finditer(struct.pack(">H", LANGUAGES), data):
        if len(tables := list(_tables(data, match.end()))) >= len(SPEAKERS):
            return tables
    raise DataError(f"{path}: no texts of Drascula in it; fetch scummvm-data anew")


def _tables(data: bytes, start: int) -> Iterator[list[str]]:
    """English tables from `start` on, as long as they are well formed."""
    while start + 2 < len(data):
        (count,) = struct.unpack_from(">H", data, start)
        start += 2
        blocks = []
        for _ in range(LANGUAGES):
            (size,) = struct.unpack_from(">H", data.ljust(start + 2, b"\0"), start)
            blocks.append(_strings(data[start + 2 : start + 2 + size]))
            start += 2 + size
        if any(len(block) != count for block in blocks):
            return
        yield blocks[0]


def _strings(block: bytes) -> list[str]:
    strings, start = [], 4
    while start <= len(block):
        (size,) = struct.unpack_from(">H", block, start - 2)
        end = start + size if size > 1 else len(block) + 2
        strings.append(block[start : end - 2].rstrip(b"\0").decode("cp850"))
        start = end
    return strings
