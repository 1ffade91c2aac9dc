"""The translation of a whole talk cut into the segments of its references, so that it can be scored
(Matusov et al. 2005, mwerSegmenter's algorithm: the cuts that make the fewest word errors)."""

from collections.abc import Sequence

from comsl.errors import DataError
from comsl.languages import language


def resegment(text: str, references: Sequence[str], lang: str) -> list[str]:
    """The text as one piece for each of the references, none of its words lost; a piece may be
    empty. lang: of both. DataError: mweralign is not installed."""
    try:
        from mweralign import align_texts
    except ImportError:
        raise DataError(
            "scoring whole talks needs mweralign (GPL, so not installed with the rest):"
            " pip install mweralign==1.4.1"
        ) from None
    if not references:  # mweralign would crash
        return []
    spaced = language(lang).spaced
    lines = [_words(reference, spaced) for reference in references]
    pieces = align_texts("\n".join(lines), _words(text, spaced)).split("\n")
    return [(" " if spaced else "").join(piece.split()) for piece in pieces]


def _words(text: str, spaced: bool) -> str:
    """Words, or characters where words have no spaces between them, on one line."""
    return " ".join(text.split() if spaced else "".join(text.split()))
