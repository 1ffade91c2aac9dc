"""Texts with times as subtitles that can be read: cues of one or two lines, neither too short nor
too long."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import ceil, inf
from unicodedata import east_asian_width

from comsl.recordings.translation import Segment

LINE = 42  # widths of a letter; a Chinese character is two wide
LINES = 2
SHORTEST, LONGEST = 1.0, 7.0  # seconds of a cue
BONUS = 10  # widths that a break after punctuation may be off
PUNCTUATION = tuple(",;:.!?…、，。；：！？")


@dataclass(frozen=True)
class Cue:
    """What is shown from `start` to `end`, in seconds."""

    start: float
    end: float
    lines: list[str]


def cues(segments: list[Segment]) -> list[Cue]:
    """The segments, in the order of time, as cues.

    A segment whose text or time is too long for one becomes several, of times as long as their
    texts. A cue lasts a second if the next one leaves it the time.
    """
    parts = [cue for segment in segments for cue in _parts(segment)]
    starts = [*(cue.start for cue in parts), inf]
    return [
        Cue(cue.start, max(cue.end, min(cue.start + SHORTEST, follower)), cue.lines)
        for cue, follower in zip(parts, starts[1:], strict=True)
    ]


def render(segments: list[Segment], form: str) -> str:
    """A file of subtitles; form: `srt` or `vtt`."""
    from pysubs2 import SSAEvent, SSAFile

    file = SSAFile()
    for cue in cues(segments):
        lines = [line.replace("\\", "\\\u2060") for line in cue.lines]  # else `\n` would be a code
        text = r"\N".join(html.escape(line, False) if form == "vtt" else line for line in lines)
        file.append(SSAEvent(round(1000 * cue.start), round(1000 * cue.end), text))
    return file.to_string(form, keep_ssa_tags=True)


def _parts(segment: Segment) -> Iterator[Cue]:
    """A segment as cues that are neither too long nor too wide."""
    words, seconds = _words(segment.text), segment.end - segment.start
    widest = ceil(sum(map(_width, words)) / (LINES * LINE))
    number = min(max(ceil(seconds / LONGEST), widest), len(words))
    while any(len(lines) > LINES for lines in map(_lines, _divide(words, number))):
        number += 1
    texts = list(map(_lines, _divide(words, number)))
    widths = [sum(map(_width, lines)) for lines in texts]
    ends = [segment.start + seconds * done / sum(widths) for done in accumulate(widths)]
    for (start, end), lines in zip(pairwise([segment.start, *ends]), texts, strict=True):
        yield Cue(start, end, lines)


def _lines(words: list[str]) -> list[str]:
    """Words as lines about as long as each other, none too wide, as few as can be."""
    number = max(1, ceil(sum(map(_width, words)) / LINE))
    while True:
        lines = ["".join(part).strip() for part in _divide(words, number)]
        if all(_width(line) <= LINE for line in lines):
            return lines
        number += 1


def _divide(words: list[str], number: int) -> list[list[str]]:
    """So many parts, about as wide as each other; they end after punctuation where it is near."""
    ends = list(accumulate(map(_width, words)))
    places = [0]
    for part in range(1, number):
        rest = range(places[-1] + 1, len(words) - (number - part) + 1)
        target = ends[-1] * part / number
        places.append(
            min(rest, key=lambda place: _distance(words[place - 1], ends[place - 1], target))
        )
    return [words[start:end] for start, end in pairwise([*places, len(words)])]


def _distance(word: str, end: int, target: float) -> float:
    """How bad it is to break at `end`, behind a word, in place of `target`."""
    return abs(end - target) - (BONUS if word.strip().endswith(PUNCTUATION) else 0)


def _words(text: str) -> list[str]:
    """What may stand on different lines: words with the space behind them; characters where a word
    is wider than a line, as in Chinese."""
    words = [f"{word} " for word in text.split()]
    return [part for word in words for part in ([word] if _width(word) <= LINE else word)]


def _width(text: str) -> int:
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)
