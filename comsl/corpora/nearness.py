"""Which sentences are like those of another text (Moore and Lewis 2010)."""

import math
from collections import Counter
from collections.abc import Iterable
from itertools import chain, pairwise

from comsl.corpora.text import plain_words

SHARE = 0.7  # of the near text's own counts in its probabilities; the rest is the general ones'
BIGRAMS = 0.5  # share of a word's followers in its probability, the rest is the word's own


class _Words:
    """Counts of a text's words and of neighbours among them."""

    def __init__(self, texts: Iterable[str]):
        sentences = [plain_words(text).split() for text in texts]
        self.words = Counter(chain.from_iterable(sentences))
        self.pairs = Counter(chain.from_iterable(map(pairwise, sentences)))
        self.size = self.words.total()

    def follows(self, word: str, before: str) -> float:
        """Share of `word` among what comes after `before`; 0 where that is unknown."""
        return self.pairs[before, word] / self.words[before] if self.words[before] else 0.0


class Nearness:
    """Sentences by how much likelier they are in a near text than in a general one.

    near: sentences that others are to be like; general: all those that there are to choose from.
    Called with a sentence: the mean over its words, each by itself and after the one before, of the
    log ratio of its probabilities.
    """

    def __init__(self, near: Iterable[str], general: Iterable[str]):
        self._near, self._general = _Words(near), _Words(general)

    def __call__(self, text: str) -> float:
        words = plain_words(text).split()
        ratios = [self._near_word(word) / self._general_word(word) for word in words]
        ratios += [self._ratio_after(before, word) for before, word in pairwise(words)]
        return sum(map(math.log, ratios)) / max(1, len(ratios))

    def _general_word(self, word: str) -> float:
        """One count more than there are, for words that are in the near text alone."""
        general = self._general
        return (general.words[word] + 1) / (general.size + len(general.words) + 1)

    def _near_word(self, word: str) -> float:
        own = self._near.words[word] / max(1, self._near.size)
        return SHARE * own + (1 - SHARE) * self._general_word(word)

    def _ratio_after(self, before: str, word: str) -> float:
        near = BIGRAMS * self._near.follows(word, before) + (1 - BIGRAMS) * self._near_word(word)
        general = BIGRAMS * self._general.follows(word, before)
        return near / (general + (1 - BIGRAMS) * self._general_word(word))


def nearest_first(texts: dict[str, str], near: Iterable[str]) -> list[str]:
    """Ids of `texts`, those first that are most like `near`; alike ones in their order."""
    nearness = Nearness(near, texts.values())
    return sorted(texts, key=lambda key: -nearness(texts[key]))
