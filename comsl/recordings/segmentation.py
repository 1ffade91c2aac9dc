"""A recording's speech, cut into pieces that a model takes: sentences where they are apart."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from comsl.corpora.loudness import is_silent
from comsl.corpora.samples import RATE
from comsl.recordings.voice_activity import FRAME, speech_probabilities

SECOND = RATE / FRAME  # in frames
BEGINS, GOES_ON = 0.5, 0.35  # probabilities: speech begins above one and ends below the other
PAUSE = round(0.6 * SECOND)  # frames: what is nearer together is one piece
MARGIN = round(0.2 * SECOND)  # frames heard before and after the speech
SHORTEST = round(0.1 * SECOND)  # frames of speech
SMOOTH = round(0.2 * SECOND)  # frames: a pause to cut in, where a piece would be too long


@dataclass(frozen=True)
class Piece:
    """Speech from `start` to `end`, seconds of its recording; samples (T,) have a margin more."""

    start: float
    end: float
    samples: np.ndarray


def cut(blocks: Iterable[np.ndarray], longest: float) -> Iterator[Piece]:
    """The pieces of audio that comes in blocks (T,), float32, 16 kHz, each of at most `longest`
    seconds with its margins. What isn't speech, and speech too faint to be any, is in none.

    No more audio is held than a piece's and a block's.
    """
    cutter = _Cutter(int(longest * SECOND) - 2 * MARGIN)
    for frames, probabilities in speech_probabilities(blocks):
        yield from filter(_audible, cutter.add(frames, probabilities))
    yield from filter(_audible, cutter.close())


def _audible(piece: Piece) -> bool:
    return not is_silent(piece.samples)


class _Cutter:
    """Frames in, pieces out. Numbers of frames count from the recording's beginning."""

    def __init__(self, longest: int):
        self.longest = max(longest, 2 * SMOOTH)
        self.frames = np.zeros((0, FRAME), np.float32)  # from number `first` on
        self.probabilities = np.zeros(0, np.float32)
        self.first = self.next = 0  # of those that are held; to be looked at
        self.speaks = False
        self.speech: list[int] = []  # frames of the open piece that are speech

    def add(self, frames: np.ndarray, probabilities: np.ndarray) -> Iterator[Piece]:
        self.frames = np.concatenate([self.frames, frames])
        self.probabilities = np.concatenate([self.probabilities, probabilities])
        # A piece's margin must be there before it is closed.
        yield from self._look(self.first + len(self.frames) - MARGIN)
        start = self.speech[0] if self.speech else self.next
        self._forget(start - MARGIN)

    def close(self) -> Iterator[Piece]:
        yield from self._look(self.first + len(self.frames))
        yield from self._piece(self.speech)

    def _look(self, end: int) -> Iterator[Piece]:
        while self.next < end:
            number, self.next = self.next, self.next + 1
            probability = self.probabilities[number - self.first]
            self.speaks = probability >= (GOES_ON if self.speaks else BEGINS)
            if self.speech and number - self.speech[-1] > PAUSE:
                yield from self._piece(self.speech)
                self.speech = []
            if self.speaks:
                self.speech.append(number)
            if self.speech and self.speech[-1] - self.speech[0] >= self.longest:
                place = self._place()
                yield from self._piece([frame for frame in self.speech if frame < place])
                self.speech = [frame for frame in self.speech if frame >= place]

    def _place(self) -> int:
        """Where in the second half of the open piece speech is least likely."""
        half = self.speech[0] + self.longest // 2
        window = self.probabilities[half - self.first : self.speech[-1] - self.first]
        return half + int(np.convolve(window, np.ones(SMOOTH), "same").argmin())

    def _piece(self, speech: list[int]) -> Iterator[Piece]:
        if len(speech) >= SHORTEST:
            start, end = speech[0], speech[-1] + 1
            samples = self.frames[max(0, start - MARGIN - self.first) : end + MARGIN - self.first]
            yield Piece(start / SECOND, end / SECOND, samples.reshape(-1))

    def _forget(self, start: int) -> None:
        """Let go of the frames before number `start`."""
        gone = max(0, start - self.first)
        self.frames, self.probabilities = self.frames[gone:], self.probabilities[gone:]
        self.first += gone
