"""Pseudo speech translation data (docs/how-it-works.md): transcribed speech with a translation made
by the language model, and nothing in it that dev or test holds."""

from collections.abc import Callable

from comsl.corpora.dropped import Dropped
from comsl.corpora.held_out import HeldOut, repeats, without
from comsl.corpora.kaldi import TARGETS, Tables, check_text
from comsl.errors import DataError

MAX_TOKENS = 128  # a longer translation goes on and on, and is left out

# (texts, their languages, languages to translate into) -> translations
Translate = Callable[[list[str], list[str], list[str]], list[str]]
# (texts, their languages) -> lengths in tokens
Measure = Callable[[list[str], list[str]], list[int]]


def make_pseudo(
    tables: Tables, known: HeldOut, translate: Translate, measure: Measure, target_lang: str
) -> tuple[Tables, list[Dropped]]:
    """The tables of a transcribed set with `text.tgt`, and the utterances left out of it.

    target_lang: of the translations, where the set has no `utt2target`.
    """
    tables, dropped = without(tables, repeats(tables, known))
    sources = tables["text.src"]
    texts, langs = list(sources.values()), [tables["utt2lang"][key] for key in sources]
    known_targets = tables.get(TARGETS, {})
    targets = [known_targets.get(key, target_lang) for key in sources]
    translations = translate(texts, langs, targets)
    written = measure(translations, targets)
    lengths = list(map(max, measure(texts, langs), written))
    reasons = {
        key: bad_translation(text, length) or known.reason(key, sources[key], text)
        for key, text, length in zip(sources, translations, lengths, strict=True)
    }
    tables = tables | {"text.tgt": dict(zip(sources, translations, strict=True))}
    tables, worse = without(tables, reasons)
    return tables, dropped + worse


def bad_translation(text: str, length: int) -> str | None:
    """Why a translation must not be trained on; None if it may."""
    if length > MAX_TOKENS:
        return f"{length} tokens, more than {MAX_TOKENS}"
    try:
        check_text(text)
    except DataError as error:
        return f"its translation: {error}"
    return None
