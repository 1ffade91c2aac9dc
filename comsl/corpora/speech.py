"""Stage 2: speech as the model wants it, 16 kHz mono, filtered, with copies at other speeds and as
over telephones and in rooms."""

import logging
import os
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import soundfile
import soxr

from comsl.corpora import kaldi
from comsl.corpora.audio import read_audio, write_flac
from comsl.corpora.augment import augment
from comsl.corpora.dropped import Dropped, check_share, write_dropped
from comsl.corpora.file_names import find_file
from comsl.corpora.loudness import Measurement
from comsl.corpora.samples import RATE
from comsl.corpora.sets import SPOKEN, TRAIN, folder_name, sets_in, text_fields
from comsl.errors import DataError
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
    clips: list[Clip] = []
    for lang in langs:
        for name in sets_in(data, lang):
            clips += _clips(data, name, lang, copies, out.parent / "audio", dropped)
    total = len(clips) + len(dropped)
    work = partial(convert, limits=limits)
    results = list(in_processes(nj, work, clips, chunk=16, what="speech", unit="clip"))
    for clip, result in zip(clips, results, strict=True):
        if isinstance(result, str):
            dropped.append(Dropped(clip.utterance, clip.lang, result))
    check_share(data, dropped, total, limits.max_dropped)
    sets = _tables(clips, results)
    with kaldi.atomic_dir(out) as temporary:
        _write(temporary, sets)
        write_dropped(temporary / "dropped.tsv", dropped)
    logger.info("%s: %d of %d clips (the rest: dropped.tsv)", out, total - len(dropped), total)


def _clips(
    data: Path, name: str, lang: str, copies: list[Copy], audio: Path, dropped: list[Dropped]
) -> list[Clip]:
    """The clips of a set in a language, those without their texts left to `dropped`."""
    folder = data / folder_name(name, lang)
    required = [*kaldi.AUDIO_FIELDS, "utt2lang", *text_fields(name)]
    if (folder / kaldi.TARGETS).is_file():
        required.append(kaldi.TARGETS)
    tables = {field: kaldi.read_table(folder / field, empty_ok=True) for field in required}
    for code in set(tables["utt2lang"].values()) - {lang}:
        raise DataError(f"{folder}/utt2lang: '{code}' in a set of '{lang}'")
    clips = []
    for utterance in sorted(set().union(*tables.values())):
        fields = {field: table.get(utterance, "") for field, table in tables.items()}
        if fault := _fault(fields):
            dropped.append(Dropped(utterance, lang, fault))
            continue
        for copy in (Copy(), *_copies_of(name, copies)):
            clips.append(_clip(name, lang, utterance, fields, copy, audio / folder.name))
    return clips


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


def _tables(clips: list[Clip], results: list[Speech | str]) -> dict[tuple[str, str], kaldi.Tables]:
    """The tables of every set and language. DataError: a set of which nothing is left."""
    sets: dict[tuple[str, str], kaldi.Tables] = defaultdict(lambda: defaultdict(dict))
    for clip, speech in zip(clips, results, strict=True):
        if isinstance(speech, str):
            continue
        values = clip.fields | {
            "wav.scp": speech.path,
            "utt2dur": f"{speech.samples / RATE:.3f}",
            "utt2num_samples": str(speech.samples),
        }
        for field, value in values.items():
            sets[clip.set, clip.lang][field][clip.utterance] = value
    if lost := {(clip.set, clip.lang) for clip in clips} - sets.keys():
        name = folder_name(*min(lost))
        raise DataError(f"no utterance of {name} is left; see the limits on duration")
    return sets


def _write(out: Path, sets: dict[tuple[str, str], kaldi.Tables]) -> None:
    """The sets by language, and with all their languages together."""
    for (name, lang), tables in sets.items():
        kaldi.write_dir(out / folder_name(name, lang), tables)
    for whole in {name for name, _ in sets}:
        parts = [tables for (name, _), tables in sets.items() if name == whole]
        kaldi.write_dir(out / whole, kaldi.combine(parts))
