"""The embedded corpus: Asterisk's telephone prompts, recorded in five languages, made a corpus of
speech, transcript and English translation."""

import dataclasses
import itertools
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from comsl.corpora import kaldi
from comsl.corpora.asterisk_release import OtherVoice, Release
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
from comsl.files import atomic_dir

TEST_OTHER = "test_other"
SPELT_OUT = ("letters/", "phonetic/")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """How English sentences fall into sets: by a hash, `fold` for test, the next one for dev."""

    fold: int
    folds: int = 9

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
    langs: list[str],
    targets: list[str],
    recipe: Path,
    out: Path,
    split: Split,
    limit: int | None = None,
    others: Sequence[OtherVoice] = (),
) -> None:
    """Write out/{train,dev,test,untranslated,test_other}_<lang>, out/audio and out/dropped.tsv.

    releases: of English, which decides on the sets, and of all other languages; langs: what is
    spoken; targets: into what it is translated, each prompt into every one if there are several;
    recipe: the folder with corrections.tsv and mistranslated.tsv; limit: the first so many
    utterances of every set and language; others: speakers of the prompts of dev and test once more,
    `test_other`.
    """
    scripts = {lang: _script(release, recipe) for lang, release in releases.items()}
    mistranslated = {(lang, key) for lang, key, _ in read_tsv(recipe / "mistranslated.tsv")}
    prompts = Prompts(scripts, mistranslated, split, len(targets) > 1)
    dropped: list[Dropped] = []
    with atomic_dir(out, sign="dropped.tsv") as temporary:
        for utterances in _unique(prompts, releases, langs, targets, dropped):
            again = itertools.chain.from_iterable(_again(utterances, voice) for voice in others)
            chosen = _first([*utterances, *again], limit)
            for name, tables in make_sets(temporary, chosen, dropped, home=out).items():
                kaldi.write_dir(temporary / name, tables)
        write_dropped(temporary / "dropped.tsv", dropped)
    for folder in sorted(path for path in out.iterdir() if (path / "wav.scp").is_file()):
        count = kaldi.validate_dir(folder, texts=text_fields(folder.name))
        logger.info("%s: %d utterances", folder, count)


def _script(release: Release, recipe: Path) -> dict[str, str]:
    return read_script(release.script, read_corrections(recipe / "corrections.tsv", release.lang))


def _unique(
    prompts: "Prompts",
    releases: dict[str, Release],
    langs: list[str],
    targets: list[str],
    dropped: list[Dropped],
) -> Iterator[list[Utterance]]:
    """The prompts of each language that are in no other set too."""
    pairs = [(lang, target) for lang in langs for target in targets if target != lang]
    found = {pair: list(prompts.pair(releases[pair[0]], pair[1], dropped)) for pair in pairs}
    if not prompts.several:
        # Sets have no English sentence in common already; a script may use a transcript for two
        # different English sentences.
        for utterances in found.values():
            yield without_repeats(utterances, dropped, lambda prompt: [plain_words(prompt.text)])
        return
    everything = itertools.chain.from_iterable(found.values())
    kept = without_repeats(everything, dropped, _sentences)
    for lang in langs:
        yield [utterance for utterance in kept if utterance.lang == lang]


def _again(utterances: list[Utterance], voice: OtherVoice) -> Iterator[Utterance]:
    """The prompts of dev and test that another voice speaks too, as the set TEST_OTHER."""
    for utterance in utterances:
        if utterance.lang != voice.lang or utterance.set not in ("dev", "test"):
            continue
        key = utterance.flac.relative_to(Path("audio", voice.lang)).with_suffix("")
        audio = voice.sounds / f"{key}.wav"
        if audio.is_file():
            yield dataclasses.replace(
                utterance,
                set=TEST_OTHER,
                speaker=voice.speaker,
                id=voice.speaker + utterance.id.removeprefix(utterance.speaker),
                audio=audio,
                flac=Path("audio", voice.speaker, f"{key}.flac"),
            )


def _sentences(prompt: Utterance) -> list[tuple[str, str]]:
    """In each language what is said and what is to be written, which is said elsewhere."""
    return [
        (prompt.lang, plain_words(prompt.text)),
        (prompt.target, plain_words(prompt.translation)),
    ]


@dataclass(frozen=True)
class Prompts:
    """scripts: language -> prompt -> text; mistranslated: languages and prompts that say something
    else; several: whether there are several languages to translate into."""

    scripts: dict[str, dict[str, str]]
    mistranslated: set[tuple[str, str]]
    split: Split
    several: bool

    def pair(self, release: Release, target: str, dropped: list[Dropped]) -> Iterator[Utterance]:
        """The prompts of a language that are speech with a transcript; the rest goes to
        `dropped`."""
        lang, speaker = release.lang, release.speaker
        texts, english, others = (self.scripts[code] for code in (lang, "en", target))
        audio = {
            str(path.relative_to(release.sounds).with_suffix("")): path
            for path in release.sounds.rglob("*.g722")
        }
        for key in sorted(texts.keys() | audio.keys()):
            utterance = utterance_id(speaker, key) + (f"-{target}" if self.several else "")
            wrong = {(lang, key), (target, key)} & self.mistranslated
            translation = clean(others[key]) if key in others and not wrong else ""
            reason = _fault(key, audio, texts, english, others)
            if not reason and self.several and not (translation and key in english):
                reason = f"no translation into '{target}'"
            if reason:
                dropped.append(Dropped(utterance, lang, reason))
                continue
            name = self.split.set_of(clean(english[key])) if translation else "untranslated"
            flac = Path("audio", lang, f"{key}.flac")
            yield Utterance(
                name, lang, speaker, utterance, audio[key], flac, clean(texts[key]), translation,
                target=target if self.several else "",
            )  # fmt: skip


def _fault(key: str, audio: dict[str, Path], *scripts: dict[str, str]) -> str | None:
    """Why a prompt is no material, judged by the scripts, its own first; None if it is."""
    if key.startswith(SPELT_OUT):
        return "a letter, not a word"
    if key not in audio:
        return "no audio"
    if any(is_sound(script.get(key, "")) for script in scripts):
        return "a sound, not speech"
    if key not in scripts[0]:
        return "no transcript"
    return None


def _first(prompts: list[Utterance], limit: int | None) -> list[Utterance]:
    """The first `limit` prompts of every set, by id."""
    sets = defaultdict(list)
    for prompt in sorted(prompts, key=lambda prompt: prompt.id):
        sets[prompt.set].append(prompt)
    return [prompt for chosen in sets.values() for prompt in chosen[:limit]]
