"""Utterances on their way from a corpus to Kaldi-style directories."""

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soxr

from comsl.corpora import kaldi
from comsl.corpora.audio import RATE, check_audio, read_audio, stated_seconds, write_flac
from comsl.corpora.dropped import Dropped
from comsl.errors import DataError
from comsl.processes import in_processes

# What a set may not repeat stands before it.
SETS = ("test", "dev", "train", "untranslated", "untranscribed")


@dataclass(frozen=True)
class Utterance:
    """A recording, or `start` to `end` of one in seconds, with what is said in it.

    set: one of SETS; id: begins with the speaker; flac: where its audio goes as 16 kHz mono,
    relative to the corpus, None to leave it in `audio`; text, translation: "" where unknown.
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


def without_repeats(
    utterances: Iterable[Utterance],
    dropped: list[Dropped],
    sentences: Callable[[Utterance], Iterable[Hashable]],
    given: Collection[str] = (),
) -> list[Utterance]:
    """Leave out of dev what test says, and of the other sets what dev or test says.

    sentences: what of an utterance may not be in two sets; given: ids that stay in any case.
    """
    home: dict[Hashable, str] = {}
    kept = []
    for utterance in sorted(utterances, key=lambda item: SETS.index(item.set)):
        keys = list(sentences(utterance))
        repeated = {home.get(key) for key in keys} & {"test", "dev"} - {utterance.set}
        if repeated and utterance.id not in given:
            reason = f"would be in {utterance.set}, but {max(repeated)} has the same sentence"
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
    results = in_processes(nj, work, recordings, chunk, what="audio", unit="file")
    for recording, lengths in zip(recordings, results, strict=True):
        for utterance, seconds in zip(recording, lengths, strict=True):
            if isinstance(seconds, str):
                dropped.append(Dropped(utterance.id, utterance.lang, seconds))
                continue
            for field, value in _fields(utterance, home or folder, seconds).items():
                sets[f"{utterance.set}_{utterance.lang}"][field][utterance.id] = value
    return sets


def prepare_recording(folder: Path, utterances: list[Utterance]) -> list[float | str]:
    """Seconds of every utterance of one recording, its FLAC written; or why it can't be used."""
    path = utterances[0].audio
    try:
        samples, rate = read_audio(path)
    except DataError as error:
        return [str(error)] * len(utterances)
    stated = stated_seconds(path)
    return [_prepare(folder, utterance, samples, rate, stated) for utterance in utterances]


def _prepare(
    folder: Path, utterance: Utterance, samples: np.ndarray, rate: int, stated: float | None
) -> float | str:
    """One utterance of a recording: `samples`, whose header states that many seconds."""
    if (utterance.start, utterance.end) != (0.0, None):
        length, stated = len(samples) / rate, None
        end = length if utterance.end is None else utterance.end
        if not 0 <= utterance.start < end <= length + 0.1:
            return f"{utterance.start:g} to {end:g} s of a recording of {length:.2f} s"
        samples = samples[round(utterance.start * rate) : round(end * rate)]
    try:
        check_audio(samples, rate, stated)
    except DataError as error:
        return str(error)
    if utterance.flac:
        resampled = samples if rate == RATE else soxr.resample(samples, rate, RATE)
        write_flac(folder / utterance.flac, resampled)
    return len(samples) / rate


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
    }
    return {field: value for field, value in values.items() if value}
