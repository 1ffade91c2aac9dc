"""Utterances left out of a corpus, each with its reason."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from comsl.errors import DataError
from comsl.files import write_text


@dataclass(frozen=True)
class Dropped:
    """An utterance left out, and why."""

    utterance: str
    lang: str
    reason: str

    def __str__(self) -> str:
        """For an error's line."""
        return f"{self.utterance} ({self.reason})"


def check_share(where: Path, dropped: list[Dropped], total: int, max_dropped: float) -> None:
    """DataError: more than this share of `total`; it names three, the commonest reason first."""
    if len(dropped) > max_dropped * total:
        times = Counter(item.reason for item in dropped)
        worst = sorted(dropped, key=lambda item: -times[item.reason])[:3]
        raise DataError(
            f"{where}: {len(dropped)} of {total} utterances can't be used, more than the"
            f" {max_dropped:.0%} of --max_dropped (of stage 1: --local_data_opts): "
            f"{', '.join(map(str, worst))} ..."
        )


def write_dropped(path: Path, dropped: Iterable[Dropped]) -> None:
    """List them as tab-separated columns, sorted by utterance."""
    items = sorted(dropped, key=lambda item: item.utterance)
    rows = [f"{item.utterance}\t{item.lang}\t{' '.join(item.reason.split())}\n" for item in items]
    write_text(path, "utterance\tlanguage\treason\n" + "".join(rows))
