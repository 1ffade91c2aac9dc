"""Sentence pairs to be spoken: which, by what voice, and the sets that come of it."""

import csv
import hashlib
import logging
import random
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from itertools import batched, chain, zip_longest
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

from comsl.corpora import kaldi
from comsl.corpora.audio import write_flac
from comsl.corpora.dropped import Dropped, write_dropped
from comsl.corpora.nearness import nearest_first
from comsl.corpora.parallel_text import Pair, is_whole
from comsl.corpora.samples import RATE
from comsl.errors import DataError
from comsl.files import write_text

RATES, PITCHES = (0.85, 1.2), (0.94, 1.06)  # factors on a voice's own
MARGIN = 0.1  # seconds kept before and after what is heard
AUDIBLE = 0.003  # of full scale
BATCH = 200  # clips after which the sets are written anew: a stopped run has sets too

logger = logging.getLogger(__name__)


class Engine(Protocol):
    """What speaks."""

    name: str

    def voices(self, lang: str) -> tuple[str, ...]:
        """Names of a language's voices. DataError: it has none."""

    def say(self, text: str, voice: str, rate: float, pitch: float) -> np.ndarray:
        """Samples (T,) at 16 kHz. DataError: it can't say the text."""

    def close(self) -> None:
        """End what it has running, if anything."""


@dataclass(frozen=True)
class Line:
    """A pair to be spoken, with the settings of its voice."""

    id: str
    lang: str
    voice: str
    rate: float
    pitch: float
    text: str
    translation: str


def plan(path: Path, lang: str, voices: tuple[str, ...], pairs: dict[str, Pair]) -> list[Line]:
    """The lines of `path`; it is written if it isn't there, and decides from then on.

    DataError: it is no plan, or one of other voices or of another number of pairs.
    """
    if not path.is_file():
        rows = [_line(key, lang, voices, pair) for key, pair in pairs.items()]
        table = ["\t".join(map(str, row)) for row in (_columns(), *map(astuple, rows))]
        write_text(path, "\n".join(table) + "\n")
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    if header != list(_columns()):
        raise DataError(f"{path}: not a plan of this tool; remove it")
    lines = [Line(*row[:3], float(row[3]), float(row[4]), *row[5:]) for row in rows]
    if len(lines) != len(pairs):
        raise DataError(
            f"{path}: plans {len(lines)} pairs, and {len(pairs)} are wanted; remove it for a new"
            " plan, which keeps the audio of what is in both"
        )
    if odd := {line.voice for line in lines} - set(voices):
        raise DataError(f"{path}: '{min(odd)}' is none of the engine's voices; remove it")
    return lines


def _columns() -> tuple[str, ...]:
    return tuple(field.name for field in fields(Line))


def _line(key: str, lang: str, voices: tuple[str, ...], pair: Pair) -> Line:
    """Voice, rate and pitch follow from the pair's id."""
    draw = random.Random(key)
    voice, rate, pitch = draw.choice(voices), draw.uniform(*RATES), draw.uniform(*PITCHES)
    return Line(key, lang, voice, round(rate, 3), round(pitch, 3), *pair)


def choose(
    folder: Path, number: int, words: tuple[int, int], near: Iterable[str] = ()
) -> dict[str, Pair]:
    """{id: pair} of `folder`, in an order that depends on the translations alone, so that languages
    say much the same.

    words: fewest and most of a translation; near: texts that every other pair is to resemble, those
    first whose translation does most (nearness.py). DataError: too few.
    """
    source, target = (kaldi.read_table(folder / field) for field in ("text.src", "text.tgt"))
    good = [key for key, text in source.items() if _is_speakable(text, target[key], words)]
    if len(good) < number:
        raise DataError(
            f"{folder}: only {len(good)} pairs of {words[0]} to {words[1]} words to say; --number"
            f" {number} is too many"
        )
    good.sort(key=lambda key: hashlib.sha256(target[key].encode()).digest())
    if near := list(near):
        alike = nearest_first({key: target[key] for key in good}, near)
        good = list(dict.fromkeys(chain.from_iterable(zip(good, alike, strict=True))))
    return {key: Pair(source[key], target[key]) for key in good[:number]}


def _is_speakable(text: str, translation: str, words: tuple[int, int]) -> bool:
    fits = words[0] <= len(translation.split()) <= words[1] and is_whole(translation)
    return fits and not any(map(_has_symbols, (text, translation)))


def _has_symbols(text: str) -> bool:
    """Whether there are digits, acronyms or names like LibreOffice: how are they said?"""
    words = re.findall(r"\w+", text)
    return any(map(str.isdigit, text)) or any(map(str.isupper, "".join(word[1:] for word in words)))


def speak(plans: dict[str, list[Line]], engine: Engine, out: Path) -> None:
    """Say what isn't yet below `out`/audio, the languages in turn, and write `out`/spoken_<lang>
    and `out`/dropped.tsv, of what can't be said. DataError: none of a language can be."""
    rows = zip_longest(*plans.values())
    lines = [line for row in rows for line in row if line]
    sets: dict[str, kaldi.Tables] = {lang: defaultdict(dict) for lang in plans}
    dropped: list[Dropped] = []
    for count, batch in enumerate(batched(lines, BATCH), start=1):
        for line in batch:
            path = out / "audio" / engine.name / f"{line.id}-{_digest(line)}.flac"
            try:
                if not path.is_file():
                    write_flac(path, trim(engine.say(line.text, line.voice, line.rate, line.pitch)))
                _add(sets[line.lang], engine.name, line, path)
            except DataError as error:
                dropped.append(Dropped(line.id, line.lang, str(error)))
        for lang, tables in sets.items():
            kaldi.write_dir(out / f"spoken_{lang}", tables)
        write_dropped(out / "dropped.tsv", dropped)
        logger.info("%d of %d said", min(count * BATCH, len(lines)), len(lines))
    for lang, tables in sets.items():
        if plans[lang] and not tables:
            raise DataError(f"{out}: nothing could be said in '{lang}'; see dropped.tsv")
        hours = sum(map(float, tables["utt2dur"].values())) / 3600
        count = len(tables["utt2dur"])
        logger.info("%s: %d utterances, %.2f h", out / f"spoken_{lang}", count, hours)


def _digest(line: Line) -> str:
    """Of all that decides how it sounds: another plan may give its id to another text."""
    return hashlib.sha256("\t".join(map(str, astuple(line))).encode()).hexdigest()[:8]


def trim(wave: np.ndarray) -> np.ndarray:
    """Without the silence around it. DataError: nothing is heard."""
    heard = np.flatnonzero(np.abs(wave) > AUDIBLE)
    if not len(heard):
        raise DataError("nothing is heard")
    margin = int(MARGIN * RATE)
    return wave[max(0, heard[0] - margin) : heard[-1] + margin]


def _add(tables: kaldi.Tables, engine: str, line: Line, path: Path) -> None:
    """Its values in the tables of its set."""
    speaker = re.sub(r"\W+", "_", f"{engine}_{line.lang}_{line.voice}")
    values = {
        "wav.scp": str(path),
        "utt2spk": speaker,
        "utt2dur": f"{soundfile.info(path).duration:.3f}",
        "utt2lang": line.lang,
        "text.src": line.text,
        "text.tgt": line.translation,
    }
    for field, value in values.items():
        tables[field][f"{speaker}-{line.id}"] = value
