"""Utterances on their way from a corpus to Kaldi-style directories."""

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from comsl.corpora import kaldi
from comsl.corpora.audio import open_flac, read_blocks, stated_seconds
from comsl.corpora.dropped import Dropped
from comsl.corpora.loudness import Measurement
from comsl.corpora.samples import RATE
from comsl.corpora.sets import folder_name, rank
from comsl.errors import DataError
from comsl.processes import in_processes

LONGEST = 80  # bytes of a file's or speaker's name in an id; a file's name takes 255
TOLERANCE = 0.05  # seconds that a file may lack of what its header states


@dataclass(frozen=True)
class Utterance:
    """A recording, or `start` to `end` of one in seconds, with what is said in it.

    set: any name; id: begins with the speaker; flac: where its audio goes as 16 kHz mono,
    relative to the corpus, None to leave it in `audio`; text, translation: "" where unknown;
    target: language of the translation, "" where that of all is the same.
    """

    set: str
    lang: str
    speaker: str
    id: str
    audio: Path
    flac: Path | None
    text: str
    translation: str
    start: float = 0.0
    end: float | None = None
    target: str = ""


def plain_name(name: str) -> str:
    """Letters, digits, hyphens and underscores, not too many, as ids and file names want them."""
    return re.sub(r"[^\w-]+", "_", name).encode()[:LONGEST].decode(errors="ignore")


def stretch_name(start: float, end: float | None) -> str:
    """A stretch of a recording in an id: milliseconds, which sort as the stretches do."""
    last = "end" if end is None else f"{1000 * end:08.0f}"
    return f"{1000 * start:08.0f}-{last}"


def without_repeats(
    utterances: Iterable[Utterance],
    dropped: list[Dropped],
    sentences: Callable[[Utterance], Iterable[Hashable]],
    given: Collection[str] = (),
) -> list[Utterance]:
    """Leave out of dev what a test set says, and of what is trained on what dev or a test set says.

    sentences: what of an utterance may not be in two sets; given: ids that stay in any case.
    """
    home: dict[Hashable, str] = {}
    kept = []
    for utterance in sorted(utterances, key=lambda item: rank(item.set)):
        keys = list(sentences(utterance))
        homes = [home[key] for key in keys if key in home]
        repeated = [name for name in homes if rank(name) < rank(utterance.set)]
        if repeated and utterance.id not in given:
            first = min(repeated, key=rank)
            reason = f"would be in {utterance.set}, but {first} has the same sentence"
            dropped.append(Dropped(utterance.id, utterance.lang, reason))
            continue
        kept.append(utterance)
        for key in keys:
            home.setdefault(key, utterance.set)
    return kept


def make_sets(
    folder: Path,
    utterances: Iterable[Utterance],
    dropped: list[Dropped],
    nj: int = 1,
    home: Path | None = None,
) -> dict[str, kaldi.Tables]:
    """Prepare the audio, below `folder`, and return the tables of every set, `<set>_<lang>`.

    home: what `folder` will be called when it is complete. Utterances whose audio can't be used go
    to `dropped`.
    """
    groups = defaultdict(list)
    for utterance in utterances:
        groups[utterance.audio].append(utterance)
    recordings = list(groups.values())
    sets: dict[str, kaldi.Tables] = defaultdict(lambda: defaultdict(dict))
    work = partial(prepare_recording, folder)
    chunk = min(16, 1 + len(recordings) // (4 * nj))  # recordings may be an hour long each
    number = len(recordings)
    results = in_processes(nj, work, recordings, number, chunk, what="audio", unit="file")
    for recording, lengths in results:
        for utterance, seconds in zip(recording, lengths, strict=True):
            if isinstance(seconds, str):
                dropped.append(Dropped(utterance.id, utterance.lang, seconds))
                continue
            for field, value in _fields(utterance, home or folder, seconds).items():
                sets[folder_name(utterance.set, utterance.lang)][field][utterance.id] = value
    return sets


def prepare_recording(folder: Path, utterances: list[Utterance]) -> list[float | str]:
    """Seconds of every utterance of one recording, its FLAC written; or why it can't be used."""
    path = utterances[0].audio
    stretches, written = [], set()
    for utterance in utterances:  # what is translated into two languages is written once
        stretches.append(_Stretch(folder, utterance, utterance.flac not in written))
        written.add(utterance.flac)
    position, fault = 0, None
    with ExitStack() as files:
        for stretch in stretches:
            files.push(stretch.files)
        try:
            for block in read_blocks(path):
                for stretch in stretches:
                    stretch.add(block, position)
                position += len(block)
        except DataError as error:  # what was complete before it stays
            fault = str(error)
    stated = None if fault else stated_seconds(path)
    return [stretch.finish(position / RATE, fault, stated) for stretch in stretches]


class _Stretch:
    """An utterance of a recording that is read in blocks: measured, and written if it has to be."""

    def __init__(self, folder: Path, utterance: Utterance, write: bool):
        self.start, self.end = utterance.start, utterance.end
        self.first = round(self.start * RATE)
        self.last = sys.maxsize if self.end is None else round(self.end * RATE)
        self.measurement = Measurement()
        self.path = folder / utterance.flac if utterance.flac and write else None
        self.files = ExitStack()
        self.flac = None

    def add(self, block: np.ndarray, position: int) -> None:
        """Take its part of the block that begins at a position in the recording."""
        part = block[max(self.first - position, 0) : max(self.last - position, 0)]
        self.measurement.add(part)
        if self.path and len(part):
            self.flac = self.flac or self.files.enter_context(open_flac(self.path))
            self.flac.write(part)
        if position + len(block) >= self.last:
            self.files.close()

    def finish(self, length: float, fault: str | None, stated: float | None) -> float | str:
        """Its seconds, or why it can't be used, given the recording's `length`, what is wrong after
        that, and the length that its header states."""
        reason = self._reason(length, fault, stated)
        if reason and self.path:
            self.path.unlink(missing_ok=True)
        return reason or self.measurement.seconds

    def _reason(self, length: float, fault: str | None, stated: float | None) -> str | None:
        if fault and self.last > length * RATE:
            return fault
        if (self.start, self.end) != (0.0, None):
            end, stated = length if self.end is None else self.end, None
            if not 0 <= self.start < end <= length + 0.1:
                return f"{self.start:g} to {end:g} s of a recording of {length:.2f} s"
        try:
            self.measurement.check(stated, TOLERANCE)
        except DataError as error:
            return str(error)
        return None


def _fields(utterance: Utterance, folder: Path, seconds: float) -> dict[str, str]:
    """The values of an utterance in the tables of its set."""
    audio = folder / utterance.flac if utterance.flac else utterance.audio
    values = {
        "wav.scp": audio.as_posix(),
        "utt2spk": utterance.speaker,
        "utt2dur": f"{seconds:.3f}",
        "utt2lang": utterance.lang,
        "text.src": utterance.text,
        "text.tgt": utterance.translation,
        kaldi.TARGETS: utterance.target,
    }
    return {field: value for field, value in values.items() if value}
