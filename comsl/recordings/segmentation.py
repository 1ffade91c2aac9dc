"""A recording's speech, cut into pieces that a model takes: in its pauses."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf

import numpy as np

from comsl.corpora.loudness import is_silent
from comsl.corpora.samples import RATE
from comsl.recordings.voice_activity import FRAME, speech_probabilities

SECOND = RATE / FRAME  # in frames
BEGINS, GOES_ON = 0.5, 0.35  # probabilities: speech begins at one and goes on down to the other
PAUSE = round(0.5 * SECOND)  # frames: a longer one parts pieces. Within a sentence few are as long
MARGIN = round(0.25 * SECOND)  # frames of what is around the speech, for the model to hear too
EDGE = round(0.45 * SECOND)  # frames: the same where the recording begins and ends
SHORTEST = round(0.2 * SECOND)  # frames of speech in a piece: of music less may sound like it
DIP = round(0.2 * SECOND)  # frames: the pause that is looked for where there is no long one


@dataclass(frozen=True)
class Piece:
    """Speech from `start` to `end`, seconds of its recording; samples (T,) hold a little more."""

    start: float
    end: float
    samples: np.ndarray


def cut(blocks: Iterable[np.ndarray], longest: float) -> Iterator[Piece]:
    """Pieces of at most `longest` seconds of audio that comes in blocks (T,), float32, 16 kHz.

    They begin and end in the pauses; what isn't speech, or is too faint, is in none. A clip with
    little but speech in it is one piece, whole. Of the audio about one piece is held.
    """
    cutter = _Cutter(longest)
    for block, probabilities in speech_probabilities(blocks):
        yield from cutter.add(block, probabilities)
    yield from cutter.close()


class _Cutter:
    """Audio in, pieces out. Frames are numbered from the recording's beginning."""

    def __init__(self, longest: float):
        self.longest = round(longest * RATE)  # samples
        self.samples = np.zeros(0, np.float32)  # from frame `first` on
        self.probabilities = np.zeros(0, np.float32)
        self.first = self.next = 0  # frame: of those that are held; to be looked at
        self.speaks = False
        self.speech: list[int] = []  # frames of the open piece in which somebody speaks
        self.cut = 0  # frame: what is before it, is in the piece before

    def add(self, block: np.ndarray, probabilities: np.ndarray) -> Iterator[Piece]:
        self.samples = np.concatenate([self.samples, block])
        self.probabilities = np.concatenate([self.probabilities, probabilities])
        # What is around a piece must be there before it is closed.
        yield from self._look(self.first + len(self.probabilities) - EDGE)
        self._forget((self.speech or [self.next])[0] - EDGE)

    def close(self) -> Iterator[Piece]:
        yield from self._look(self.first + len(self.probabilities))
        yield from self._piece(self.speech, behind=EDGE)

    def _look(self, end: int) -> Iterator[Piece]:
        for number in range(self.next, end):
            probability = self.probabilities[number - self.first]
            self.speaks = probability >= (GOES_ON if self.speaks else BEGINS)
            if self.speech and number - self.speech[-1] > PAUSE:
                yield from self._piece(self.speech)
                self.speech = []
            if self.speaks:
                self.speech.append(number)
            if self.speech and self._place(number + 1) > self._place(self.speech[0]) + self.longest:
                place = self._least_likely()
                yield from self._piece([n for n in self.speech if n < place], place)
                self.speech, self.cut = [n for n in self.speech if n >= place], place
        self.next = max(self.next, end)

    def _least_likely(self) -> int:
        """The frame in the open piece's second half around which speech is least likely."""
        middle = (self.speech[0] + self.speech[-1]) // 2
        half = self.probabilities[middle - self.first : self.speech[-1] - self.first]
        return middle + DIP // 2 + int(np.convolve(half, np.ones(DIP), "valid").argmin())

    def _piece(
        self, speech: list[int], before: float = inf, behind: int = MARGIN
    ) -> Iterator[Piece]:
        """The piece of these frames, if there are enough, with what is around, as far as a piece
        may be long: so many frames `behind` them, and `before` that one."""
        if len(speech) < SHORTEST:
            return
        ahead = EDGE if speech[0] <= EDGE else MARGIN
        end = self._place(min(speech[-1] + 1 + behind, before))
        end = min(end, self._place(speech[0]) + self.longest)
        start = max(self._place(max(speech[0] - ahead, self.cut)), end - self.longest)
        samples = self.samples[start:end]
        if not is_silent(samples):
            last = self.first / SECOND + len(self.samples) / RATE
            yield Piece(speech[0] / SECOND, min((speech[-1] + 1) / SECOND, last), samples)

    def _place(self, frame: float) -> int:
        """Where a frame begins in the samples that are held, or where they end."""
        return min((frame - self.first) * FRAME, len(self.samples))

    def _forget(self, start: int) -> None:
        """Let go of the frames before this one."""
        gone = max(0, start - self.first)
        self.samples, self.probabilities = self.samples[gone * FRAME :], self.probabilities[gone:]
        self.first += gone
