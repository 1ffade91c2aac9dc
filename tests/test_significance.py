"""The bootstrap over sentences: sacreBLEU's where each occurs once, no surer where they repeat."""

import random
from statistics import NormalDist

import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

from comsl.evaluation.significance import compare_bleu

WORDS = "the train leaves at eight but nobody ever asked when it would come back".split()  # noqa: SIM905


def systems() -> tuple[list[str], list[str], list[str]]:
    """60 different references, and two systems' translations, one with more words wrong."""
    draw = random.Random(0)
    references = [" ".join(draw.choices(WORDS, k=10)) + f" {number}" for number in range(60)]

    def spoilt(share: float) -> list[str]:
        return [
            " ".join(word if draw.random() > share else "x" for word in text.split())
            for text in references
        ]

    return references, spoilt(0.2), spoilt(0.26)


def compare(references: list[str], ours: list[str], theirs: list[str]) -> dict:
    tables = [{"fr": {str(i): t for i, t in enumerate(x)}} for x in (ours, theirs, references)]
    return compare_bleu(*tables, "en")


def test_of_different_sentences_it_is_sacrebleus() -> None:
    """But for p, which sacreBLEU takes of one side: here of both, as of a normal distribution."""
    references, ours, theirs = systems()
    found = compare(references, ours, theirs)
    pairs = [("theirs", theirs), ("ours", ours)]
    _, scores = PairedTest(pairs, {"BLEU": BLEU()}, [references], test_type="bs")()
    other, own = scores["BLEU"]
    assert found["score"] == pytest.approx(own.score, abs=0.01)
    assert found["baseline_score"] == pytest.approx(other.score, abs=0.01)
    low, high = found["ci95"]
    assert (high - low) / 2 == pytest.approx(own.ci, rel=0.1)
    assert found["sentences"] == found["utterances"] == 60
    low, high = found["difference_ci95"]
    deviation = (high - low) / (2 * NormalDist().inv_cdf(0.975))
    p_value = 2 * NormalDist(0, deviation).cdf(-abs(found["score"] - found["baseline_score"]))
    assert 0.01 < p_value < 0.9
    assert found["p_value"] == pytest.approx(p_value, abs=0.04)


def test_repeated_sentences_make_nothing_surer() -> None:
    """Ten utterances of every sentence are as much evidence as one, however it is written."""
    references, ours, theirs = systems()
    once = compare(references, ours, theirs)
    often = compare([f"{text}!" for text in references] + references * 9, ours * 10, theirs * 10)
    assert often["sentences"] == 60
    assert often["utterances"] == 600
    assert often["p_value"] == pytest.approx(once["p_value"], abs=0.05)
    for one, other in zip(often["difference_ci95"], once["difference_ci95"], strict=True):
        assert one == pytest.approx(other, rel=0.2)
