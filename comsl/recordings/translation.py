"""Recordings in, texts with their times out, by any system that takes pieces of speech."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from comsl.corpora.samples import RATE
from comsl.errors import DataError
from comsl.languages import check_language, language
from comsl.recordings.segmentation import Piece, cut
from comsl.recordings.source import Audio, read_speech

AT_ONCE = 150  # seconds of speech that are held at once, of however many recordings
DETECTED = 30  # seconds of speech by which a language is found out: Whisper's window


class System(Protocol):
    """What translates and transcribes pieces of speech."""

    languages: Sequence[str]  # that it understands (Common Voice codes)
    target_lang: str
    longest: float  # seconds of a piece

    def generate(
        self, task: str, waves: list[np.ndarray], langs: list[str], **search: float
    ) -> list[str]:
        """Texts of waveforms (samples,) at 16 kHz; task: `st` or `asr`."""


class Detector(Protocol):
    """What tells languages apart."""

    def detect(self, waves: list[np.ndarray], languages: Sequence[str]) -> list[str]:
        """The language of each waveform (samples,), of at most 30 s, one of `languages`."""


@dataclass(frozen=True)
class Segment:
    """Text of the speech from `start` to `end`, seconds of its recording."""

    start: float
    end: float
    text: str


@dataclass
class Recording:
    """What was found in one source.

    src_lang: what is spoken, None where nothing is; detected: found out, not told; lang: of the
    texts; error: why the rest of it could not be heard.
    """

    source: Audio
    lang: str | None = None
    src_lang: str | None = None
    detected: bool = False
    seconds: float = 0.0
    segments: list[Segment] = field(default_factory=list)
    error: DataError | None = None

    @property
    def text(self) -> str:
        """All of it."""
        space = " " if self.lang and language(self.lang).spaced else ""
        return space.join(segment.text for segment in self.segments)


def translate_recordings(
    system: System,
    sources: Iterable[Audio],
    src_lang: str | None = None,
    task: str = "st",
    detector: Detector | None = None,
    progress: Callable[[Recording], None] = lambda recording: None,
    **search: float,
) -> Iterator[Recording]:
    """Every recording with its segments, in their order, as they are done.

    Speech alone is translated, pieces of several recordings in one batch. src_lang: of all of
    them; None finds out each one's, by `detector`. task: `st`, or `asr` for transcripts. progress:
    called after every batch, with the recording that it ends in. A source that can't be read ends
    no other: its recording says why. DataError: a language that the system doesn't know.
    """
    if src_lang is not None:
        check_language(src_lang, system.languages)
    for group in _groups(_heard(sources, system.longest)):
        _say(system, group, src_lang, task, detector, search)
        progress(group[-1][0])
        yield from (recording for recording, piece in group if piece is None)


def _heard(sources: Iterable[Audio], longest: float) -> Iterator[tuple[Recording, Piece | None]]:
    """Every recording's pieces, and None where it ends."""
    for source in sources:
        recording = Recording(source)
        try:
            for piece in cut(_measured(read_speech(source), recording), longest):
                yield recording, piece
            if not recording.seconds:
                raise DataError(f"{_name(source)} is empty")
        except DataError as error:
            recording.error = error
        yield recording, None


def _measured(blocks: Iterable[np.ndarray], recording: Recording) -> Iterator[np.ndarray]:
    for block in blocks:
        recording.seconds += len(block) / RATE
        yield block


def _name(source: Audio) -> str:
    return f"'{source}'" if isinstance(source, str | Path) else "the array"


def _groups[T](pieces: Iterable[tuple[T, Piece | None]]) -> Iterator[list[tuple[T, Piece | None]]]:
    """Successive pieces together, of at most AT_ONCE seconds if there is more than one."""
    group, samples = [], 0
    for item in pieces:
        size = len(item[1].samples) if item[1] else 0
        if group and samples + size > AT_ONCE * RATE:
            yield group
            group, samples = [], 0
        group.append(item)
        samples += size
    if group:
        yield group


def _say(
    system: System,
    group: list[tuple[Recording, Piece | None]],
    src_lang: str | None,
    task: str,
    detector: Detector | None,
    search: dict,
) -> None:
    """Add the segments of a group's pieces to their recordings."""
    spoken = [(recording, piece) for recording, piece in group if piece]
    _settle_languages(system, spoken, src_lang, task, detector)
    waves = [piece.samples for _, piece in spoken]
    texts = system.generate(task, waves, [recording.src_lang for recording, _ in spoken], **search)
    for (recording, piece), text in zip(spoken, texts, strict=True):
        if text:
            recording.segments.append(Segment(piece.start, piece.end, text))


def _settle_languages(
    system: System,
    spoken: list[tuple[Recording, Piece]],
    src_lang: str | None,
    task: str,
    detector: Detector | None,
) -> None:
    """Give every recording that has none yet its language, by its first pieces."""
    firsts: dict[int, tuple[Recording, list[np.ndarray]]] = {}
    for recording, piece in spoken:
        if recording.src_lang is None:
            firsts.setdefault(id(recording), (recording, []))[1].append(piece.samples)
    if not firsts:
        return
    if src_lang is not None:
        langs = [src_lang] * len(firsts)
    elif len(system.languages) == 1:
        langs = list(system.languages) * len(firsts)
    elif detector is None:
        raise DataError(f"which language is spoken? One of: {' '.join(system.languages)}")
    else:
        waves = [np.concatenate(pieces)[: DETECTED * RATE] for _, pieces in firsts.values()]
        langs = detector.detect(waves, system.languages)
    for (recording, _), lang in zip(firsts.values(), langs, strict=True):
        recording.src_lang, recording.detected = lang, src_lang is None
        recording.lang = lang if task == "asr" else system.target_lang
