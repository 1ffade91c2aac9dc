"""Utterances left out of a corpus, each with its reason."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from comsl.data.kaldi import write_text


@dataclass(frozen=True)
class Dropped:
    """An utterance left out, and why."""

    utterance: str
    lang: str
    reason: str

    def __str__(self) -> str:
        """For an error's line."""
        return f"{self.utterance} ({self.reason})"


def write_dropped(path: Path, dropped: Iterable[Dropped]) -> None:
    """List them as tab-separated columns, sorted by utterance."""
    items = sorted(dropped, key=lambda item: item.utterance)
    rows = [f"{item.utterance}\t{item.lang}\t{' '.join(item.reason.split())}\n" for item in items]
    write_text(path, "utterance\tlanguage\treason\n" + "".join(rows))
