"""Sentence pairs without speech, on which a composite training learns MT beside its speech."""

from collections.abc import Iterator
from itertools import zip_longest

from espnet2.iterators.abs_iter_factory import AbsIterFactory


class Alternating(AbsIterFactory):
    """A batch of speech, a batch of text, and so on; where one has fewer, the rest of the other."""

    def __init__(self, speech: AbsIterFactory, text: AbsIterFactory):
        self.speech, self.text = speech, text

    def build_iter(self, epoch: int, shuffle: bool | None = None) -> Iterator:
        """An epoch's batches, each with its ids."""
        both = self.speech.build_iter(epoch, shuffle), self.text.build_iter(epoch, shuffle)
        for batches in zip_longest(*both):
            yield from filter(None, batches)
