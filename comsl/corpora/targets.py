"""Languages of translations: one for all utterances, or for each what a set's `utt2target` says.

Where there are several, a direction of translation is written `en_es`: a code has no underscore.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from comsl.corpora.kaldi import TARGETS, iter_table, rows_of
from comsl.errors import DataError

Texts = dict[str, dict[str, str]]  # language or direction -> utterance -> text


def read_targets(folder: Path, utterances: Iterable[str], target_lang: str) -> dict[str, str]:
    """Utterance -> the language of its translation. target_lang: the one, or, where each utterance
    of the set `folder` has its own, all. DataError: it has none, or another."""
    return dict(iter_targets(folder, utterances, target_lang))


def iter_targets(
    folder: Path, utterances: Iterable[str], target_lang: str
) -> Iterator[tuple[str, str]]:
    """The same one after the other, of utterances in the order of their ids."""
    path, targets = folder / TARGETS, target_lang.split()
    if not path.is_file():
        if len(targets) > 1:
            fault = f"no such file; it says into which of '{target_lang}' to translate"
            raise DataError(f"{path}: {fault}")
        yield from ((utterance, target_lang) for utterance in utterances)
        return
    wanted = ((utterance, "") for utterance in utterances)
    for utterance, found in rows_of({"wanted": wanted, TARGETS: iter_table(path)}):
        if "wanted" not in found:
            continue
        if (target := found.get(TARGETS)) not in targets:
            said = f"'{target}'" if target else "nothing"
            raise DataError(f"{path}: {utterance}: {said}, and --target_lang is '{target_lang}'")
        yield utterance, target


def by_direction(texts: Texts, targets: Mapping[str, Mapping[str, str]]) -> Texts:
    """Texts by source language -> by direction, for those languages that have `targets`, utterance
    -> target language."""
    sorted_out: Texts = {}
    for lang, table in texts.items():
        for key, text in table.items():
            name = f"{lang}_{targets[lang][key]}" if lang in targets else lang
            sorted_out.setdefault(name, {})[key] = text
    return sorted_out


def source_of(name: str) -> str:
    """The source language of a direction, or of what is one already."""
    return name.partition("_")[0]


def target_of(name: str, target_lang: str) -> str:
    """The target language of a direction; `target_lang` where a language alone is given."""
    return name.partition("_")[2] or target_lang
