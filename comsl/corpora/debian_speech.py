"""Recorded speech in Debian's packages: Tux Paint's stamps (es, fr, ru), the fish of Fish Fillets
(nl), Drascula (es, translation alone), the recordings behind festvox-ru (ru, transcripts alone)."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from comsl.corpora import debian, drascula, festvox, fillets, kaldi, tuxpaint
from comsl.corpora.debian_l10n import excluded
from comsl.corpora.dropped import Dropped, write_dropped
from comsl.corpora.parallel_text import Pair, clean, clean_pair
from comsl.corpora.split import is_held_out
from comsl.corpora.text import plain_words
from comsl.corpora.utterances import Utterance, make_sets, without_repeats
from comsl.files import atomic_dir, read_lines

PACKAGES = {
    "es": ("tuxpaint-stamps-default", "drascula-spanish", "scummvm-data"),
    "fr": ("tuxpaint-stamps-default",),
    "ru": ("tuxpaint-stamps-default", "festvox-ru"),
    "nl": ("fillets-ng-data", "fillets-ng-data-nl"),
}

logger = logging.getLogger(__name__)


class Recording(NamedTuple):
    """A file, who speaks in it, and what: text and English, "" where unknown."""

    speaker: str
    name: str
    audio: Path
    text: str
    english: str


def prepare(langs: list[str], downloads: Path, out: Path, exclude: Path) -> None:
    """Fetch the packages, write out/{train,dev,untranscribed,untranslated}_<lang>, audio, and
    dropped.tsv. A language without recordings gets no set.

    exclude: texts, one a line, of which neither the whole nor a sentence may be said or be a
    translation.
    """
    banned = excluded(read_lines(exclude))
    dropped: list[Dropped] = []
    with atomic_dir(out, sign="dropped.tsv") as temporary:
        for lang in langs:
            found = list(_utterances(lang, downloads, banned, dropped))
            unique = without_repeats(found, dropped, _sentences)
            for name, tables in make_sets(temporary, unique, dropped, home=out).items():
                kaldi.write_dir(temporary / name, tables)
        write_dropped(temporary / "dropped.tsv", dropped)
    for folder in sorted(path for path in out.iterdir() if (path / "wav.scp").is_file()):
        lengths = kaldi.read_table(folder / "utt2dur").values()
        minutes = sum(map(float, lengths)) / 60
        logger.info("%s: %d utterances, %.1f minutes", folder, len(lengths), minutes)


def _utterances(
    lang: str, downloads: Path, banned: set[str], dropped: list[Dropped]
) -> Iterator[Utterance]:
    """What a language's recordings may be used for; the others go to `dropped`."""
    folders = debian.fetch(list(PACKAGES.get(lang, ())), downloads)
    for one in _recordings(folders, lang, downloads):
        identifier = f"{one.speaker}-{one.name.replace('/', '_')}"
        kind, pair = _judge(one, lang)
        if pair and banned & {plain_words(side) for side in pair}:
            pair, kind = None, "a prompt of egs2/asterisk"
        if not pair:
            dropped.append(Dropped(identifier, lang, kind))
            continue
        flac = Path("audio", lang, f"{identifier}.flac")
        yield Utterance(kind, lang, one.speaker, identifier, one.audio, flac, *pair)


def _judge(one: Recording, lang: str) -> tuple[str, Pair | None]:
    """The set that a recording is for, and its cleaned texts; or why it is for none."""
    if not one.english:
        return "untranslated", Pair(one.text, "")
    held_out = is_held_out(plain_words(one.english))
    if not one.text:
        if held_out:
            return "its translation is held out", None
        return "untranscribed", Pair("", clean(one.english))
    if not (pair := clean_pair(one.text, one.english, lang)):
        return "no plain language", None
    return "dev" if held_out else "train", pair


def _sentences(utterance: Utterance) -> list[str]:
    return [plain_words(text) for text in (utterance.text, utterance.translation) if text]


def _recordings(folders: dict[str, Path], lang: str, downloads: Path) -> Iterator[Recording]:
    """All packages' of a language."""
    if stamps := folders.get("tuxpaint-stamps-default"):
        for audio, text, english in tuxpaint.descriptions(stamps, lang):
            if audio.is_file():
                name = str(audio.relative_to(stamps / tuxpaint.STAMPS))
                name = name.removesuffix(f"_desc_{lang}.ogg")
                yield Recording(f"tuxpaint_{lang}", name, audio, text, english)
    if texts := folders.get("fillets-ng-data"):
        for name, text, english in fillets.dialogues(texts, lang):
            audio, role = fillets.recording(folders[f"fillets-ng-data-{lang}"], lang, name)
            if audio.is_file():
                yield Recording(f"fillets_{lang}_{role}", name, audio, text, english)
    if voices := folders.get("drascula-spanish"):
        for raw, english in drascula.lines(voices, folders["scummvm-data"]):
            audio = downloads / "drascula" / f"{raw.stem}.wav"
            if not audio.is_file():
                drascula.write_wave(raw, audio)
            role = raw.stem.rstrip("0123456789").lower() or "john"
            yield Recording(f"drascula_{lang}_{role}", raw.stem, audio, "", english)
    if voice := folders.get("festvox-ru"):
        for audio, text in festvox.lines(voice):
            yield Recording("festvox_ru", audio.stem, audio, text, "")
