"""Long recordings and the segments of them that were translated: talks, speeches in parliaments.

Where the corpora differ, which files say what, a `Layout` answers: `talks.py`, `europarl_st.py`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

from comsl import made
from comsl.corpora.archives import only, unpacked
from comsl.corpora.by_language import Content, Job, Output, make_all, make_usable, text_fault
from comsl.corpora.columns import clean
from comsl.corpora.dropped import Dropped
from comsl.corpora.kaldi import Tables
from comsl.corpora.sets import TRAIN, folder_name, rank
from comsl.corpora.text import letters
from comsl.corpora.utterances import Utterance, plain_name, stretch_name
from comsl.errors import DataError
from comsl.files import read_lines
from comsl.languages import language

TALKS = "talks"  # folder of the whole recordings of test sets, talks/<set>_<lang>
FASTEST = 40  # letters a second, over which a transcript is not what is said
LONGEST = 8  # times the letters of a text that its translation may have, or the other way round
NO_SPEECH = re.compile(r"[\s♫♪]*|[\s♫♪.]*([(\[][^)\]]*[)\]][\s♫♪.]*)+")  # "(Applause)"


class Stretch(NamedTuple):
    """What a corpus says of a segment: the recording's name without its ending, seconds."""

    recording: str
    speaker: str
    start: float
    end: float


class Segment(NamedTuple):
    """A stretch with what is said in it; where: file and line, for messages."""

    where: str
    stretch: Stretch
    text: str
    translation: str


@dataclass(frozen=True)
class Source:
    """A direction of a corpus: unpacked in a folder, or in an archive."""

    path: Path
    lang: str
    target_lang: str


class Layout:
    """What has to be known of a corpus."""

    title: ClassVar[str]
    site: ClassVar[str]  # where it is to be had
    sets: ClassVar[Mapping[str, str]]  # its name of a set -> ours
    optional: ClassVar[Sequence[str]] = ()  # sets, by its names, that not every direction has
    archives: ClassVar[Sequence[str]]  # names, with {source} and {target}

    def roots(self, folder: Path, source: Source) -> Iterator[Path]:
        """Where below a folder a direction may lie unpacked."""
        raise NotImplementedError

    def wanted(self, member: str, source: Source) -> bool:
        """Whether a file of the archive belongs to the direction."""
        raise NotImplementedError

    def audio(self, root: Path, name: str) -> Path:
        """Folder of a set's recordings."""
        raise NotImplementedError

    def texts(self, root: Path, source: Source, name: str) -> tuple[Path, Path]:
        """A set's transcripts and translations, one a line."""
        raise NotImplementedError

    def stretches(self, root: Path, source: Source, name: str) -> list[Stretch | str]:
        """A set's segments, in the order of the texts; or what is wrong with one."""
        raise NotImplementedError


def prepare(
    layout: Layout, folder: Path, langs: Sequence[str], target_lang: str, out: Output
) -> None:
    """Write <set>_<lang>, talks/<set>_<lang> of test sets, and dropped_<lang>.tsv; audio goes to
    audio/<lang>. Archives of languages that are complete may go. DataError: something missing or
    damaged, too many segments that can't be used."""
    jobs = []
    for lang in langs:
        source = Source(folder, language(lang).code, language(target_lang).code)
        sets = [ours for theirs, ours in layout.sets.items() if theirs not in layout.optional]
        names = [*sets, *(f"{TALKS}/{name}" for name in sets if rank(name) == 0)]
        record = made.describe({"source": folder.name, "target_lang": target_lang}, [])
        jobs.append(
            Job(
                name=lang,
                folders=tuple(folder_name(name, lang) for name in names),
                record=record,
                check=partial(locate, layout, source),
                make=partial(_make, layout, source, out),
            )
        )
    make_all(out.folder, jobs)


def locate(layout: Layout, source: Source) -> Path:
    """Where a direction lies unpacked, else its archive. DataError: neither, or more than one."""
    if found := only(root for root in layout.roots(source.path, source) if root.is_dir()):
        return found
    names = [name.format(source=source.lang, target=source.target_lang) for name in layout.archives]
    if found := only(path for name in names for path in source.path.glob(name)):
        return found
    raise DataError(
        f"{source.path}: neither {names[0]} nor its unpacked content is there; get"
        f" {layout.title} from {source.lang} to {source.target_lang}, see {layout.site}, and put it"
        " there, or correct the folder in db.sh"
    )


@contextmanager
def opened(layout: Layout, source: Source, workspace: Path) -> Iterator[Path]:
    """A block in which a direction lies unpacked in a folder."""
    found = locate(layout, source)
    if found.is_dir():
        yield found
        return
    wanted = partial(layout.wanted, source=source)
    with unpacked(found, workspace / f".{source.lang}.unpacked", wanted) as folder:
        root = only(root for root in layout.roots(folder, source) if root.is_dir())
        if root is None:
            raise DataError(f"{found}: no {layout.title} from {source.lang} in it")
        yield root


def _make(layout: Layout, source: Source, out: Output) -> Content:
    """The sets of a language, and the whole recordings of its test sets."""
    dropped: list[Dropped] = []
    sizes: dict[str, int] = {}
    seen: dict[str, str] = {}
    utterances: list[Utterance] = []
    with opened(layout, source, out.folder) as root:
        for theirs, ours in layout.sets.items():
            if theirs in layout.optional and not layout.audio(root, theirs).is_dir():
                continue
            segments = read_segments(layout, root, source, theirs, dropped)
            sizes[folder_name(ours, source.lang)] = len(segments)
            files = {path.stem: path for path in layout.audio(root, theirs).glob("*.*")}
            utterances += _utterances(ours, source.lang, segments, files, seen, dropped)
        whole = {talk.id: talk for item in utterances if (talk := _talk(item))}
        sets = make_usable(out, source.path, [*utterances, *whole.values()], dropped)
    _drop_incomplete(sets, utterances, dropped)
    if lost := [name for name in sizes if not _ids(sets, name)]:
        raise DataError(f"{source.path}: nothing for {lost[0]}")
    for item in utterances:
        name = folder_name(f"{TALKS}/{item.set}", item.lang)
        if name in sets and item.id in sets[folder_name(item.set, item.lang)]["utt2lang"]:
            sets[name]["segments"][item.id] = f"{_talk(item).id} {item.start:.3f} {item.end:.3f}"
    return Content(sets, dropped, sizes)


def _drop_incomplete(
    sets: dict[str, Tables], utterances: Sequence[Utterance], dropped: list[Dropped]
) -> None:
    """Leave out of a test set the segments of a recording that can't be used whole, and recordings
    of which no segment is left: each is scored by the other."""
    used = set()
    for item in utterances:
        if not (talk := _talk(item)):
            continue
        segments = folder_name(item.set, item.lang)
        if item.id not in _ids(sets, segments):
            continue
        if talk.id in _ids(sets, folder_name(talk.set, item.lang)):
            used.add(talk.id)
        else:
            _remove(sets[segments], item.id)
            dropped.append(Dropped(item.id, item.lang, f"{talk.id}, of which it is, can't be used"))
    for name, tables in sets.items():
        if name.startswith(f"{TALKS}/"):
            for talk in _ids(sets, name) - used:
                _remove(tables, talk)


def _ids(sets: dict[str, Tables], name: str) -> Set[str]:
    return sets.get(name, {}).get("utt2lang", {}).keys()


def _remove(tables: Tables, utterance: str) -> None:
    for table in tables.values():
        table.pop(utterance, None)


def read_segments(
    layout: Layout, root: Path, source: Source, name: str, dropped: list[Dropped]
) -> list[Segment]:
    """A set's segments; what makes no sense goes to `dropped`. DataError: a file is missing, or not
    as long as the others."""
    files = layout.texts(root, source, name)
    stretches = layout.stretches(root, source, name)
    texts = [read_given(path) for path in files]
    for path, lines in zip(files, texts, strict=True):
        if len(lines) != len(stretches):
            raise DataError(
                f"{path}: {len(lines)} lines, but there are {len(stretches)} segments: unpacked in"
                " part, or of another version?"
            )
    segments = []
    for number, (stretch, *pair) in enumerate(zip(stretches, *texts, strict=True), start=1):
        where = f"{files[0].name}:{number}"
        if isinstance(stretch, str):
            dropped.append(Dropped(where, source.lang, stretch))
        else:
            segments.append(Segment(where, stretch, *map(clean, pair)))
    return segments


def read_given(path: Path) -> list[str]:
    """Lines of a corpus's file. DataError: there is none."""
    if not path.is_file():
        raise DataError(f"{path}: no such file: unpacked in part?")
    lines = read_lines(path)
    return [
        line.removeprefix("\ufeff") if number == 0 else line for number, line in enumerate(lines)
    ]


def _utterances(
    name: str,
    lang: str,
    segments: Sequence[Segment],
    files: Mapping[str, Path],
    seen: dict[str, str],
    dropped: list[Dropped],
) -> Iterator[Utterance]:
    """What can be used before its audio is read. seen: ids of all sets -> where they stand."""
    for where, (recording, speaker, start, end), *texts in segments:
        speaker = f"{lang}_{plain_name(speaker)}"
        key = f"{speaker}-{plain_name(recording)}-{stretch_name(start, end)}"
        if key in seen:
            fault = f"the same stretch as {seen[key]}"
        elif recording not in files:
            fault = f"no recording '{recording}'"
        else:
            fault = text_fault(texts) or (
                training_fault(texts, end - start) if name == TRAIN else None
            )
        if fault:
            dropped.append(Dropped(where, lang, fault))
            continue
        seen[key] = where
        flac = Path("audio", lang, f"{key}.flac")
        yield Utterance(name, lang, speaker, key, files[recording], flac, *texts, start, end)


def training_fault(texts: Sequence[str], seconds: float) -> str | None:
    """Why nothing can be learnt from a segment with these texts, which a test set keeps: it has no
    speech in it, or its texts and its length can't belong together."""
    text, translation = texts
    if NO_SPEECH.fullmatch(text) or NO_SPEECH.fullmatch(translation):
        return "no speech in it"
    sizes = [len(letters(side)) for side in texts]
    if max(sizes) > LONGEST * min(sizes):
        return f"one text is over {LONGEST} times as long as the other"
    if sizes[0] > FASTEST * seconds:
        return f"{sizes[0]} letters in {seconds:.2f} s"
    return None


def _talk(segment: Utterance) -> Utterance | None:
    """The whole recording that a segment of a test set belongs to."""
    if rank(segment.set) != 0:
        return None
    key = f"{segment.lang}_{plain_name(segment.audio.stem)}"
    flac = Path("audio", segment.lang, TALKS, f"{key}.flac")
    name = f"{TALKS}/{segment.set}"
    return Utterance(name, segment.lang, key, key, segment.audio, flac, "", "")
