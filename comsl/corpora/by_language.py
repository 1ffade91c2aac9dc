"""A corpus that is made one language after the other: what is complete is not made again."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from comsl import made
from comsl.corpora import kaldi
from comsl.corpora.coverage import write_size
from comsl.corpora.dropped import Dropped, check_share, write_dropped
from comsl.corpora.utterances import Utterance, make_sets
from comsl.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Output:
    """Where the sets go, by how many processes, and the share of clips that may be unusable."""

    folder: Path
    nj: int
    max_dropped: float


@dataclass
class Content:
    """The tables of sets by their folder's name; what was left out; and, where it is known, how
    many utterances each of them has as published."""

    sets: dict[str, kaldi.Tables]
    dropped: list[Dropped]
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """Sets of a language that are made together.

    name: that of its list, dropped_<name>.tsv; folders: of the sets; record: what they are made
    of; check: raises DataError where something is missing; make: makes them.
    """

    name: str
    folders: tuple[str, ...]
    record: Mapping
    check: Callable[[], None]
    make: Callable[[], Content]


def make_all(out: Path, jobs: Sequence[Job]) -> None:
    """Make what isn't there yet, out/<set>_<lang> and out/dropped_<name>.tsv. DataError, before the
    first of the jobs takes hours: something is missing."""
    pending = [job for job in jobs if not _is_made(out, job)]
    for job in pending:
        job.check()
    for job in pending:
        for folder in job.folders:
            made.record_of(out / folder).unlink(missing_ok=True)  # all are made anew
        content = job.make()
        _write(out, job, content)
        for folder in content.sets:
            made.begin(out / folder, job.record, made.KEEP)
            made.finish(out / folder)


def make_usable(
    out: Output, where: Path, utterances: list[Utterance], dropped: list[Dropped]
) -> dict[str, kaldi.Tables]:
    """`make_sets` of the utterances. DataError: too much of what is in `where` can't be used."""
    total = len(utterances) + len(dropped)
    check = partial(check_share, where, dropped, total, out.max_dropped)
    check()  # before the hours that the audio takes
    sets = make_sets(out.folder, utterances, dropped, out.nj)
    check()
    return sets


def text_fault(texts: Sequence[str]) -> str | None:
    """Why an utterance with these texts can't be used; None if it can."""
    try:
        for text in texts:
            kaldi.check_text(text)
    except DataError as error:
        return str(error)
    return None


def _is_made(out: Path, job: Job) -> bool:
    return all(made.is_made(out / folder, job.record) for folder in job.folders)


def _write(out: Path, job: Job, content: Content) -> None:
    for folder, tables in content.sets.items():
        kaldi.write_dir(out / folder, tables)
        count = len(tables["utt2lang"])
        share = ""
        if size := content.sizes.get(folder):
            write_size(out / folder, size)
            share = f", {100 * count / size:.1f} % of the {size} published"
        logger.info("%s: %d utterances%s", out / folder, count, share)
    write_dropped(out / f"dropped_{job.name}.tsv", content.dropped)
    number = len(content.dropped)
    logger.info("%s: %d left out, listed in dropped_%s.tsv", job.name, number, job.name)
