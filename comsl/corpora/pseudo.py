"""Pseudo speech translation data (method.md, section 4): transcribed speech with a translation made
by the language model, and nothing in it that dev or test holds."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from comsl.corpora.dropped import Dropped
from comsl.corpora.kaldi import Tables, check_text, read_table
from comsl.errors import DataError

MAX_TOKENS = 128  # decoding stops there: a translation that long is cut short

# (texts, their languages) -> translations; texts -> their lengths in tokens
Translate = Callable[[list[str], list[str]], list[str]]
Measure = Callable[[list[str]], list[int]]


@dataclass(frozen=True)
class Known:
    """What pseudo data may not repeat -> the set that has it.

    utterances: ids of train, dev and test; transcripts, translations: sentences of dev and test, as
    `words` gives them.
    """

    utterances: dict[str, str]
    transcripts: dict[str, str]
    translations: dict[str, str]


def read_known(raw: Path) -> Known:
    """Of raw/train and every raw/{dev,test}_<lang>. DataError: one of the three is missing."""
    known = Known(dict.fromkeys(read_table(raw / "train" / "text.src"), "train"), {}, {})
    for name in ("dev", "test"):
        folders = sorted(raw.glob(f"{name}_*/"))
        if not folders:
            raise DataError(f"{raw}: no {name}_<lang>, whose sentences to leave out; run stage 2")
        for folder in folders:
            transcripts = read_table(folder / "text.src")
            translations = read_table(folder / "text.tgt")
            known.utterances.update(dict.fromkeys(transcripts, folder.name))
            known.transcripts.update((words(t), folder.name) for t in transcripts.values())
            known.translations.update((words(t), folder.name) for t in translations.values())
    return known


def words(text: str) -> str:
    """Letters, marks and digits alone, case folded: what makes two sentences the same in any
    script, however they are spaced and punctuated."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LMN")


def make_pseudo(
    tables: Tables, known: Known, translate: Translate, measure: Measure
) -> tuple[Tables, list[Dropped]]:
    """The tables of a transcribed set with `text.tgt`, and the utterances left out of it."""
    sources, langs = tables["text.src"], tables["utt2lang"]
    reasons = {key: known_id_or_transcript(key, text, known) for key, text in sources.items()}
    wanted = [key for key, reason in reasons.items() if not reason]
    texts = [sources[key] for key in wanted]
    translations = translate(texts, [langs[key] for key in wanted])
    lengths = map(max, measure(texts), measure(translations))
    for key, text, length in zip(wanted, translations, lengths, strict=True):
        reasons[key] = bad_translation(text, length, known)
    kept = [key for key, reason in reasons.items() if not reason]
    tables = tables | {"text.tgt": dict(zip(wanted, translations, strict=True))}
    tables = {field: {key: table[key] for key in kept} for field, table in tables.items()}
    return tables, [Dropped(key, langs[key], reason) for key, reason in reasons.items() if reason]


def check_any_new(sources: dict[str, str], known: Known) -> None:
    """DataError: dev and test have all of these transcripts."""
    reasons = [known_id_or_transcript(key, text, known) for key, text in sources.items()]
    if all(reasons):
        raise DataError(f"no pseudo data: {reasons[0]}, and so on for all")


def known_id_or_transcript(utterance: str, transcript: str, known: Known) -> str | None:
    """Why an utterance must not be translated; None if it may."""
    if utterance in known.utterances:
        return f"the same utterance is in {known.utterances[utterance]}"
    if words(transcript) in known.transcripts:
        return f"the same transcript is in {known.transcripts[words(transcript)]}"
    return None


def bad_translation(text: str, length: int, known: Known) -> str | None:
    """Why a translation must not be trained on; None if it may."""
    if words(text) in known.translations:
        return f"its translation is a reference of {known.translations[words(text)]}: {text}"
    if length > MAX_TOKENS:
        return f"{length} tokens, more than {MAX_TOKENS}"
    try:
        check_text(text)
    except DataError as error:
        return f"its translation: {error}"
    return None
