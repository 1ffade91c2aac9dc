"""Sets made by a hash of the sentence: the same everywhere, and no sentence in two of them."""

import hashlib

HELD_OUT_FOLDS = 10


def fold_of(sentence: str, folds: int) -> int:
    """Which of `folds` parts, counted from 0, a normalised sentence falls into."""
    return int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:8]) % folds


def is_held_out(sentence: str) -> bool:
    """Whether a normalised English sentence is in no training set of the corpora for pretraining,
    be it text, recorded or spoken: their dev sets are of such sentences."""
    return fold_of(sentence, HELD_OUT_FOLDS) == 0
