"""Stage 2: speech as the model wants it, 16 kHz mono, filtered, with copies at other speeds and as
over telephones and in rooms."""

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby
from pathlib import Path

import soundfile
import soxr

from comsl.corpora import kaldi
from comsl.corpora.archives import temporary_folder
from comsl.corpora.audio import read_audio, write_flac
from comsl.corpora.augment import augment
from comsl.corpora.dropped import Dropped, check_share, write_dropped
from comsl.corpora.file_names import find_file
from comsl.corpora.loudness import Measurement
from comsl.corpora.samples import RATE
from comsl.corpora.sets import SPOKEN, TRAIN, folder_name, sets_in, text_fields
from comsl.errors import DataError
from comsl.files import atomic_dir, iter_lines
from comsl.processes import in_processes

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What is kept: seconds of a clip, and the share of clips that may be dropped."""

    min_duration: float
    max_duration: float
    max_dropped: float


@dataclass(frozen=True)
class Copy:
    """How a copy of a clip differs from it; the prefix goes before its id and its speaker."""

    prefix: str = ""
    speed: float = 1.0
    augmented: bool = False


@dataclass(frozen=True)
class Clip:
    """One copy of an utterance: its values in the tables of its set, and where audio goes."""

    set: str
    utterance: str
    lang: str
    fields: dict[str, str]
    copy: Copy
    target: Path


@dataclass(frozen=True)
class Speech:
    """Audio that is ready: 16 kHz, mono."""

    path: str
    samples: int


def prepare(
    data: Path, out: Path, langs: list[str], limits: Limits, copies: list[Copy], nj: int
) -> None:
    """Read data/<set>_<lang>, write out/<set>_<lang>, out/<set> of all languages, dropped.tsv.

    Converted audio goes beside `out`, to <out's parent>/audio, and is used again after an
    interruption; audio that is 16 kHz, mono FLAC or WAV already stays where it is. `copies`: of the
    training set, further ones. DataError: too much to drop, or a set with nothing left.
    """
    dropped: list[Dropped] = []
    sets = [(name, lang) for lang in langs for name in sets_in(data, lang)]
    total = sum(_count(data, *one, copies) for one in sets)
    audio = out.parent / "audio"
    clips = chain.from_iterable(_clips(data, *one, copies, audio, dropped) for one in sets)
    work = partial(convert, limits=limits)
    results = in_processes(nj, work, clips, total, chunk=16, what="speech", unit="clip")
    with atomic_dir(out) as temporary:
        with temporary_folder(temporary / ".copies") as parts:
            kept = _write_copies(parts, results, dropped)
            check_share(data, dropped, kept + len(dropped), limits.max_dropped)
            _write_sets(temporary, parts, sets)
        write_dropped(temporary / "dropped.tsv", dropped)
    logger.info("%s: %d of %d clips (the rest: dropped.tsv)", out, kept, kept + len(dropped))


def _count(data: Path, name: str, lang: str, copies: list[Copy]) -> int:
    """How many clips a set has, copies included, before anything is left out."""
    lines = iter_lines(data / folder_name(name, lang) / "wav.scp")
    return sum(1 for _ in lines) * (1 + len(_copies_of(name, copies)))


def _clips(
    data: Path, name: str, lang: str, copies: list[Copy], audio: Path, dropped: list[Dropped]
) -> Iterator[Clip]:
    """The clips of a set in a language, those without their texts left to `dropped`."""
    folder = data / folder_name(name, lang)
    required = [*kaldi.AUDIO_FIELDS, "utt2lang", *text_fields(name)]
    if (folder / kaldi.TARGETS).is_file():
        required.append(kaldi.TARGETS)
    tables = {field: kaldi.iter_table(folder / field, empty_ok=True) for field in required}
    for utterance, values in kaldi.rows_of(tables):
        fields = {field: values.get(field, "") for field in required}
        if (code := fields["utt2lang"]) not in ("", lang):
            raise DataError(f"{folder}/utt2lang: '{code}' in a set of '{lang}'")
        if fault := _fault(fields):
            dropped.append(Dropped(utterance, lang, fault))
            continue
        for copy in (Copy(), *_copies_of(name, copies)):
            yield _clip(name, lang, utterance, fields, copy, audio / folder.name)


def _copies_of(name: str, copies: list[Copy]) -> list[Copy]:
    """Those that a set has: synthetic speech has rates of its own, and is as clean as can be."""
    if name == SPOKEN:
        return [copy for copy in copies if copy.augmented]
    return copies if name == TRAIN else []


def _fault(fields: dict[str, str]) -> str | None:
    """What is missing in an utterance's tables, or empty."""
    for field, value in fields.items():
        if not value:
            return f"nothing in {field}"
        try:
            if field.startswith("text."):
                kaldi.check_text(value)
            if field == "utt2dur":
                kaldi.check_duration(value)
        except DataError as error:
            return f"{field}: {error}"
    return None


def _clip(
    name: str, lang: str, utterance: str, fields: dict[str, str], copy: Copy, audio: Path
) -> Clip:
    """A copy of a clip."""
    utterance = copy.prefix + utterance
    fields = fields | {"utt2spk": copy.prefix + fields["utt2spk"]}
    return Clip(name, utterance, lang, fields, copy, audio / f"{utterance}.flac")


def convert(clip: Clip, limits: Limits) -> Speech | str:
    """Make one clip ready; or the reason why it can't be used."""
    try:
        return _convert(clip, limits)
    except DataError as error:
        return str(error)


def _convert(clip: Clip, limits: Limits) -> Speech:
    source = find_file(Path(clip.fields["wav.scp"]))
    if _is_made_of(clip.target, source):
        speech = Speech(clip.target.as_posix(), soundfile.info(clip.target).frames)
        _check_length(speech.samples / RATE, limits)
        return speech
    samples = read_audio(source, longest=limits.max_duration * clip.copy.speed)
    measurement = Measurement()
    measurement.add(samples)
    stated = float(clip.fields["utt2dur"])
    measurement.check(stated, tolerance=0.1 + 0.1 * stated)  # not everybody measures it exactly
    _check_length(measurement.seconds / clip.copy.speed, limits)
    if clip.copy == Copy() and _is_ready(source, len(samples)):
        return Speech(source.as_posix(), len(samples))
    if clip.copy.speed != 1:
        samples = soxr.resample(samples, RATE * clip.copy.speed, RATE)
    if clip.copy.augmented:
        samples = augment(samples, clip.utterance)
    write_flac(clip.target, samples)
    os.utime(clip.target, ns=(time := source.stat().st_mtime_ns, time))
    return Speech(clip.target.as_posix(), len(samples))


def _is_made_of(target: Path, source: Path) -> bool:
    """True if `target` bears the time of `source`, which may be older than what it replaced."""
    made = target.is_file() and source.is_file()
    return made and target.stat().st_mtime_ns == source.stat().st_mtime_ns


def _is_ready(source: Path, samples: int) -> bool:
    """True for 16 kHz mono FLAC or WAV whose header tells its true length: nothing to convert."""
    try:
        info = soundfile.info(source)
    except soundfile.LibsndfileError:
        return False
    shape = info.samplerate, info.channels, info.frames
    return shape == (RATE, 1, samples) and info.format in ("FLAC", "WAV")


def _check_length(seconds: float, limits: Limits) -> None:
    if not limits.min_duration <= seconds <= limits.max_duration:
        raise DataError(
            f"{seconds:.2f} s long; {limits.min_duration:g} to {limits.max_duration:g} s are kept"
        )


def _write_copies(
    parts: Path, results: Iterable[tuple[Clip, Speech | str]], dropped: list[Dropped]
) -> int:
    """Clips that are ready, each set's copies of a kind in a folder of their own, since these are
    in the order of ids; the others go to `dropped`. Returns how many are ready."""
    kept = 0
    for (name, lang), clips in groupby(results, key=lambda result: (result[0].set, result[0].lang)):
        with ExitStack() as stack:
            writers = {}
            for clip, speech in clips:
                if isinstance(speech, str):
                    dropped.append(Dropped(clip.utterance, clip.lang, speech))
                    continue
                kind = clip.copy.prefix
                if kind not in writers:
                    folder = parts / folder_name(name, lang) / f"copy {kind}"
                    writers[kind] = stack.enter_context(kaldi.row_writer(folder))
                writers[kind](clip.utterance, _values(clip, speech))
                kept += 1
    return kept


def _values(clip: Clip, speech: Speech) -> dict[str, str]:
    """A clip's values in the tables."""
    return clip.fields | {
        "wav.scp": speech.path,
        "utt2dur": f"{speech.samples / RATE:.3f}",
        "utt2num_samples": str(speech.samples),
    }


def _write_sets(out: Path, parts: Path, sets: list[tuple[str, str]]) -> None:
    """The sets by language, and with all their languages together. DataError: a set of which
    nothing is left."""
    whole = defaultdict(list)
    for name, lang in sorted(sets):
        folder = folder_name(name, lang)
        copies = sorted((parts / folder).glob("*"))
        if not copies:
            raise DataError(f"no utterance of {folder} is left; see the limits on duration")
        kaldi.write_rows(out / folder, kaldi.merge_rows(map(kaldi.read_rows, copies)))
        whole[name].append(out / folder)
    for name, folders in whole.items():
        kaldi.write_rows(out / name, kaldi.merge_rows(map(kaldi.read_rows, folders)))
