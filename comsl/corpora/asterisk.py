"""The embedded corpus: Asterisk's telephone prompts, recorded in five languages, made a corpus of
speech, transcript and English translation."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from comsl.corpora import kaldi
from comsl.corpora.asterisk_release import Release
from comsl.corpora.asterisk_text import (
    PHRASE_WORDS,
    clean,
    is_sound,
    read_corrections,
    read_script,
    read_tsv,
)
from comsl.corpora.dropped import Dropped, write_dropped
from comsl.corpora.sets import text_fields
from comsl.corpora.split import fold_of
from comsl.corpora.text import plain_words
from comsl.corpora.utterances import Utterance, make_sets, without_repeats
from comsl.errors import DataError

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
        sentence = plain_words(english)
        if len(sentence.split()) < PHRASE_WORDS:
            return "train"
        number = fold_of(sentence, self.folds)
        return {self.fold: "test", (self.fold + 1) % self.folds: "dev"}.get(number, "train")


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
    with kaldi.atomic_dir(out, sign="dropped.tsv") as temporary:
        for lang, release in releases.items():
            if lang == "en":
                continue
            prompts = list(_pair(release, english, recipe, split, dropped))
            # Sets have no English sentence in common already; a script may use a transcript for
            # two different English sentences.
            unique = without_repeats(prompts, dropped, lambda prompt: [plain_words(prompt.text)])
            for name, tables in make_sets(
                temporary, _first(unique, limit), dropped, home=out
            ).items():
                kaldi.write_dir(temporary / name, tables)
        write_dropped(temporary / "dropped.tsv", dropped)
    for folder in sorted(path for path in out.iterdir() if (path / "wav.scp").is_file()):
        count = kaldi.validate_dir(folder, texts=text_fields(folder.name))
        logger.info("%s: %d utterances", folder, count)


def _script(release: Release, recipe: Path) -> dict[str, str]:
    return read_script(release.script, read_corrections(recipe / "corrections.tsv", release.lang))


def _pair(
    release: Release, english: dict[str, str], recipe: Path, split: Split, dropped: list[Dropped]
) -> Iterable[Utterance]:
    """The prompts of a language that are speech with a transcript; the rest goes to `dropped`."""
    texts = _script(release, recipe)
    audio = {
        str(path.relative_to(release.sounds).with_suffix("")): path
        for path in release.sounds.rglob("*.g722")
    }
    rows = read_tsv(recipe / "mistranslated.tsv")
    mistranslated = {key for lang, key, _ in rows if lang == release.lang}
    for key in sorted(texts.keys() | audio.keys()):
        lang, speaker = release.lang, release.speaker
        utterance = utterance_id(speaker, key)
        if reason := _fault(key, texts, english, audio):
            dropped.append(Dropped(utterance, lang, reason))
            continue
        twin = clean(english[key]) if key in english and key not in mistranslated else ""
        name = split.set_of(twin) if twin else "untranslated"
        flac = Path("audio", lang, f"{key}.flac")
        text = clean(texts[key])
        yield Utterance(name, lang, speaker, utterance, audio[key], flac, text, twin)


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


def _first(prompts: list[Utterance], limit: int | None) -> list[Utterance]:
    """The first `limit` prompts of every set, by id."""
    sets = defaultdict(list)
    for prompt in sorted(prompts, key=lambda prompt: prompt.id):
        sets[prompt.set].append(prompt)
    return [prompt for chosen in sets.values() for prompt in chosen[:limit]]
