"""The embedded corpus: Asterisk's telephone prompts, recorded in five languages, made a corpus of
speech, transcript and English translation."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from comsl.data import kaldi
from comsl.data.asterisk_release import Release
from comsl.data.asterisk_text import (
    PHRASE_WORDS,
    clean,
    is_sound,
    read_corrections,
    read_script,
    read_tsv,
)
from comsl.data.audio import is_silent, read_audio, write_flac
from comsl.data.dropped import Dropped, write_dropped
from comsl.data.parallel_text import normalise
from comsl.errors import DataError

SETS = ("test", "dev", "train", "untranslated")  # what a set may not repeat stands before it
SPELT_OUT = ("letters/", "phonetic/")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """How English sentences fall into sets: by a hash, `fold` for test, the next one for dev."""

    fold: int
    folds: int

    def __post_init__(self) -> None:
        if self.folds < 3 or not 0 <= self.fold < self.folds:
            raise DataError(
                f"fold {self.fold} of {self.folds}: give at least 3 folds, counted from 0"
            )

    def set_of(self, english: str) -> str:
        """The set of an English sentence, the same under every key and in every language."""
        words = normalise(english)
        if len(words.split()) < PHRASE_WORDS:
            return "train"
        number = int.from_bytes(hashlib.sha256(words.encode()).digest()[:8]) % self.folds
        return {self.fold: "test", (self.fold + 1) % self.folds: "dev"}.get(number, "train")


@dataclass(frozen=True)
class Prompt:
    """One recording. `english` is None where the prompt has no translation."""

    lang: str
    speaker: str
    key: str
    audio: Path
    text: str
    english: str | None
    set: str

    @property
    def utterance(self) -> str:
        """Its id, which starts with its speaker's."""
        return utterance_id(self.speaker, self.key)


def utterance_id(speaker: str, key: str) -> str:
    """The id of a speaker's prompt: `digits/7` is in a folder, which an id can't show."""
    return f"{speaker}-{key.replace('/', '_')}"


def prepare(
    releases: dict[str, Release],
    recipe: Path,
    out: Path,
    split: Split,
    limit: int | None = None,
) -> None:
    """Write out/{train,dev,test,untranslated}_<lang>, out/audio and out/dropped.tsv.

    releases: of English and of every source language; recipe: the folder with corrections.tsv and
    mistranslated.tsv; limit: the first so many utterances of every set and language.
    """
    english = _script(releases["en"], recipe)
    dropped: list[Dropped] = []
    with kaldi.atomic_dir(out) as temporary:
        for lang, release in releases.items():
            if lang == "en":
                continue
            prompts = list(_pair(release, english, recipe, split, dropped))
            prompts = _first(_without_repeats(prompts, dropped), limit)
            logger.info("%s: decoding %d prompts", lang, len(prompts))
            _write_sets(temporary, out, prompts, dropped)
        write_dropped(temporary / "dropped.tsv", dropped)
    for folder in sorted(path for path in out.iterdir() if (path / "wav.scp").is_file()):
        count = kaldi.validate_dir(folder, translated=not folder.name.startswith("untranslated"))
        logger.info("%s: %d utterances", folder, count)


def _script(release: Release, recipe: Path) -> dict[str, str]:
    return read_script(release.script, read_corrections(recipe / "corrections.tsv", release.lang))


def _pair(
    release: Release, english: dict[str, str], recipe: Path, split: Split, dropped: list[Dropped]
) -> Iterable[Prompt]:
    """The prompts of a language that are speech with a transcript; the rest goes to `dropped`."""
    texts = _script(release, recipe)
    audio = {
        str(path.relative_to(release.sounds).with_suffix("")): path
        for path in release.sounds.rglob("*.g722")
    }
    rows = read_tsv(recipe / "mistranslated.tsv")
    mistranslated = {key for lang, key, _ in rows if lang == release.lang}
    for key in sorted(texts.keys() | audio.keys()):
        if reason := _fault(key, texts, english, audio):
            dropped.append(Dropped(utterance_id(release.speaker, key), release.lang, reason))
            continue
        twin = clean(english[key]) if key in english and key not in mistranslated else None
        name = split.set_of(twin) if twin else "untranslated"
        text = clean(texts[key])
        yield Prompt(release.lang, release.speaker, key, audio[key], text, twin, name)


def _fault(
    key: str, texts: dict[str, str], english: dict[str, str], audio: dict[str, Path]
) -> str | None:
    """Why a prompt is no material, judged by its script; None if it is."""
    if key.startswith(SPELT_OUT):
        return "a letter, not a word"
    if key not in audio:
        return "no audio"
    if any(is_sound(text) for text in (texts.get(key, ""), english.get(key, ""))):
        return "a sound, not speech"
    if key not in texts:
        return "no transcript"
    return None


def _without_repeats(prompts: list[Prompt], dropped: list[Dropped]) -> list[Prompt]:
    """Leave out of dev what test says, and of the training sets what dev or test says.

    Sets have no English sentence in common already; this is for transcripts that a script uses for
    two different English sentences.
    """
    home: dict[str, str] = {}
    kept = []
    for prompt in sorted(prompts, key=lambda prompt: SETS.index(prompt.set)):
        first = home.setdefault(normalise(prompt.text), prompt.set)
        if first == prompt.set or first not in ("test", "dev"):
            kept.append(prompt)
        else:
            reason = f"would be in {prompt.set}, but {first} has the same transcript"
            dropped.append(Dropped(prompt.utterance, prompt.lang, reason))
    return kept


def _first(prompts: list[Prompt], limit: int | None) -> list[Prompt]:
    """The first `limit` prompts of every set, by id."""
    sets = defaultdict(list)
    for prompt in sorted(prompts, key=lambda prompt: prompt.utterance):
        sets[prompt.set].append(prompt)
    return [prompt for chosen in sets.values() for prompt in chosen[:limit]]


def _write_sets(temporary: Path, out: Path, prompts: list[Prompt], dropped: list[Dropped]) -> None:
    """Decode the prompts to FLAC and write the directories of their sets.

    Files lie under `temporary` for now; tables name them as they will be called, under `out`.
    """
    sets: dict[str, kaldi.Tables] = defaultdict(lambda: defaultdict(dict))
    for prompt in prompts:
        name = Path("audio", prompt.lang, f"{prompt.key}.flac")
        try:
            seconds = _decode(prompt.audio, temporary / name)
        except DataError as error:
            dropped.append(Dropped(prompt.utterance, prompt.lang, str(error)))
            continue
        for field, value in _fields(prompt, out / name, seconds).items():
            sets[f"{prompt.set}_{prompt.lang}"][field][prompt.utterance] = value
    for name, tables in sets.items():
        kaldi.write_dir(temporary / name, tables)


def _decode(source: Path, target: Path) -> float:
    """Decode a recording to FLAC; its length in seconds. DataError: nothing audible in it."""
    samples, rate = read_audio(source)
    if is_silent(samples, rate):
        raise DataError(f"silent audio of {len(samples) / rate:.2f} s")
    write_flac(target, samples, rate)
    return len(samples) / rate


def _fields(prompt: Prompt, path: Path, seconds: float) -> dict[str, str]:
    """The values of a prompt in the tables of its set."""
    values = {
        "wav.scp": path.as_posix(),
        "utt2spk": prompt.speaker,
        "utt2dur": f"{seconds:.3f}",
        "utt2lang": prompt.lang,
        "text.src": prompt.text,
    }
    return values | ({"text.tgt": prompt.english} if prompt.english else {})
