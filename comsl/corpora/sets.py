"""Names of sets: the folder `<set>_<lang>` holds one language of a set, `<set>` all of them.

A set may have any name, such as tst-COMMON. Those that begin like TRAINING are trained on, `dev`
chooses models, and all others are test sets. A language's code has no underscore, so that with the
language given the set's name is what stands before it.
"""

import logging
from pathlib import Path

from comsl.corpora.kaldi import TARGETS
from comsl.errors import DataError
from comsl.languages import language

logger = logging.getLogger(__name__)

TRAIN, DEV, SPOKEN = "train", "dev", "spoken"  # the last by synthetic voices
LACKING = {"untranslated": "text.tgt", "untranscribed": "text.src"}  # sets without these texts
HELD_OUT = f"{DEV} test"  # where nobody says otherwise
TRAINING = (TRAIN, *LACKING, SPOKEN)


def folder_name(name: str, lang: str) -> str:
    """`test` and `fr` -> `test_fr`. DataError: unknown language."""
    return f"{name}_{language(lang).code}"


def sets_of(name: str, langs: str) -> dict[str, str]:
    """`test` and "fr it" -> {"test_fr": "fr", "test_it": "it"}. DataError: unknown language."""
    return {folder_name(name, lang): lang for lang in langs.split()}


def test_sets(raw: Path, names: str, langs: str) -> dict[str, str]:
    """ "test test_other" and "fr it" -> {"test_fr": "fr", "test_it": "it", "test_other_it": "it"}:
    the first in every language, further ones in those in which `raw` has them. DataError: unknown
    language."""
    first, *others = names.split()
    sets = sets_of(first, langs)
    for name in others:
        there = {key: lang for key, lang in sets_of(name, langs).items() if (raw / key).is_dir()}
        if not there:
            logger.warning("%s: no set %s in any of the languages %s", raw, name, langs)
        sets |= there
    return sets


def sets_in(data: Path, lang: str) -> list[str]:
    """Names of the sets that `data` has in a language. DataError: unknown language, or none."""
    ending = folder_name("", lang)
    folders = sorted(path.name for path in data.glob(f"*{ending}/"))
    if names := [name.removesuffix(ending) for name in folders if not name.startswith(".")]:
        return names
    raise DataError(
        f"{data}: no set in '{lang}' (train{ending} ...); run stage 1 with that language"
    )


def check_test_set(raw: Path, names: str, langs: str) -> None:
    """DataError: `raw` lacks the first test set in a language."""
    for name in names.split()[:1]:
        for folder in sets_of(name, langs):
            if not (raw / folder).is_dir():
                raise DataError(f"there is no set {raw / folder}: correct --test_set or --langs")


def check_further_sets(raw: Path, names: str, target_lang: str) -> None:
    """DataError: `raw` lacks a set that a training is to read beside `train`, or the set lacks the
    languages of its translations, where there are several."""
    for name in names.split():
        if not (raw / name).is_dir():
            raise DataError(
                f"there is no set {raw / name}: correct --pseudo_set or --further_sets, or have"
                " stage 1 make it"
            )
        if target_lang.split()[1:] and not (raw / name / TARGETS).is_file():
            raise DataError(
                f"{raw / name / TARGETS}: no such file; it says into which of '{target_lang}' each"
                " utterance is translated"
            )


def text_fields(name: str) -> list[str]:
    """The tables of texts that a set, or a folder of one, must have."""
    lacking = [field for start, field in LACKING.items() if name.startswith(start)]
    return [field for field in ("text.src", "text.tgt") if field not in lacking]


def rank(name: str) -> int:
    """0 for test sets, 1 for dev, 2 for what is trained on: none may repeat what one before it
    says."""
    return 2 if name.startswith(TRAINING) else int(name == DEV)
