"""When two texts are the same: three measures, each for its own purpose."""

import re
import unicodedata

NORMALISER = (
    "NFKC, lower case, punctuation (Unicode categories P*) removed, white space collapsed; "
    "for characters (CER, where words have no spaces between them), white space removed"
)


def normalise(text: str) -> str:
    """Text as error rates compare it: see NORMALISER."""
    import jiwer

    text = jiwer.RemovePunctuation()(unicodedata.normalize("NFKC", text).lower())
    return " ".join(text.split())


def letters(text: str) -> str:
    """Letters, marks and digits alone, case folded: the same sentence in any script, however it is
    spaced and punctuated. No two sets may share it."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LMN")


def plain_words(text: str) -> str:
    """Words alone, case folded, a space between them. Prompts and catalogues fall into sets by its
    hash: if it changes, so do the sets, and with them all published scores."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFC", text).casefold()))
