"""Whether a difference is more than chance: a paired bootstrap over sentences of translations.

Utterances that translate one sentence are not independent, so sentences are drawn, each with all of
its utterances. sacreBLEU's own test draws utterances: where several share a sentence, its intervals
and p are too small.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from comsl.bleu import bleu_metric
from comsl.corpora.text import normalise

RESAMPLES, SEED = 1000, 12345  # sacreBLEU's own

Texts = Mapping[str, Mapping[str, str]]  # language -> utterance -> text


def compare_bleu(ours: Texts, baseline: Texts, references: Texts, target_lang: str) -> dict:
    """BLEU of two systems on all languages pooled, and what their difference is worth.

    `score` and `baseline_score` with 95 % intervals, that of their difference, and `p_value`, of
    two sides: the share of resamples whose difference is as far from the resamples' mean, up or
    down, as the difference is from zero.
    """
    metric = bleu_metric(target_lang)
    metric.effective_order = True  # of single sentences: only says that they are meant

    def counts(texts: Texts, lang: str, utterance: str) -> list[int]:
        found = metric.sentence_score(texts[lang][utterance], [references[lang][utterance]])
        return [*found.counts, *found.totals, found.sys_len, found.ref_len]

    def bleu(sums: np.ndarray) -> float:
        *ngrams, length, reference_length = (int(number) for number in sums)
        order = len(ngrams) // 2
        return metric.compute_bleu(
            ngrams[:order], ngrams[order:], length, reference_length, smooth_method="exp"
        ).score

    statistics = [
        [counts(texts, lang, utterance) for texts in (ours, baseline)]
        for lang, table in references.items()
        for utterance in table
    ]
    score, baseline_score = map(bleu, np.sum(statistics, axis=0))
    draws = resample(statistics, references, bleu)
    differences = draws[:, 0] - draws[:, 1]
    further = np.abs(differences - differences.mean()) >= abs(score - baseline_score)
    return {
        "utterances": len(statistics),
        "sentences": len(_sentences(references)[0]),
        "score": round(score, 2),
        "ci95": interval(draws[:, 0], 2),
        "baseline_score": round(baseline_score, 2),
        "baseline_ci95": interval(draws[:, 1], 2),
        "difference_ci95": interval(differences, 2),
        "p_value": round(float(1 + further.sum()) / (1 + RESAMPLES), 4),
        "resamples": RESAMPLES,
        "seed": SEED,
    }


def resample(
    statistics: Sequence, references: Texts, measure: Callable[[np.ndarray], float]
) -> np.ndarray:
    """The `measure` of each system (RESAMPLES, systems) when sentences are drawn with replacement.

    statistics (utterances, systems, k): what `measure` takes the sums (k,) of; references: the same
    utterances' translations, in their order.
    """
    sentences, places = _sentences(references)
    by_sentence = np.zeros((len(sentences), *np.shape(statistics)[1:]))
    np.add.at(by_sentence, places, np.array(statistics, dtype=float))
    generator = np.random.default_rng(SEED)
    draws = []
    for _ in range(RESAMPLES):
        drawn = generator.integers(len(sentences), size=len(sentences))
        times = np.bincount(drawn, minlength=len(sentences))
        draws.append([measure(sums) for sums in np.tensordot(times, by_sentence, 1)])
    return np.array(draws)


def interval(values: np.ndarray, digits: int) -> list[float]:
    """The middle 95 % of what a bootstrap drew."""
    return [round(float(bound), digits) for bound in np.percentile(values, [2.5, 97.5])]


def _sentences(references: Texts) -> tuple[np.ndarray, np.ndarray]:
    """Sentences that differ, and of every utterance which one it translates."""
    texts = [normalise(text) for table in references.values() for text in table.values()]
    return np.unique(texts, return_inverse=True)
