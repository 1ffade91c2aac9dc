"""Batches of utterances that are alike in the length of their speech and of their texts."""

import itertools
import random
from collections.abc import Iterator, Mapping
from math import isqrt
from pathlib import Path

from espnet2.samplers.abs_sampler import AbsSampler

from comsl.corpora.kaldi import read_table
from comsl.errors import DataError


class BucketBatchSampler(AbsSampler):
    """Batches of at most `batch_bins` elements, padding included, of all shape files together.

    ESPnet's `numel` sorts by one length, and pads the others as they come; its batches are the same
    in every epoch. Here the utterances fall into buckets of like length of speech, each with as
    much speech as the others; within a bucket the texts' lengths rise and fall in turns, so that no
    batch spans a jump. From epoch to epoch the edges of the buckets move, and with them who shares
    a batch; how many batches there are stays.

    shape_files: `id length` or `id length,width` each, the speech's last. min_batch_size is kept
    even where the batch then holds more; share: the part of every batch that is this process's.
    Printed, it tells the padding of each file's lengths. DataError: a shape file has other ids than
    the others.
    """

    def __init__(
        self,
        batch_bins: int,
        shape_files: list[str],
        min_batch_size: int = 1,
        share: slice = slice(None),
    ):
        self.batch_bins, self.names = batch_bins, [Path(file).name for file in shape_files]
        self.min_batch_size, self.share = min_batch_size, share
        tables = [read_table(Path(file)) for file in shape_files]
        for name, table in zip(shape_files, tables, strict=True):
            if table.keys() != tables[-1].keys():
                raise DataError(f"{name}: not the utterances of {shape_files[-1]}; rerun stage 5")
        self.lengths = {
            key: tuple(int(table[key].split(",")[0]) for table in tables) for key in tables[-1]
        }
        self.batches = self._batches(list(self.lengths), 0.0)
        others = (self._batches(list(self.lengths), edge / 4) for edge in (1, 2, 3))
        self.number = max(map(len, (self.batches, *others)))

    def generate(self, seed: int) -> list[tuple[str, ...]]:
        """This process's share of an epoch's batches, by length."""
        chance = random.Random(seed)
        keys = list(self.lengths)
        while True:
            chance.shuffle(keys)  # of those that are equally long, too
            batches = self._batches(keys, chance.random())
            large = [i for i, batch in enumerate(batches) if len(batch) >= 2 * self.min_batch_size]
            missing = self.number - len(batches)
            if 0 <= missing <= len(large):
                break
        halved = set(sorted(large, key=lambda i: len(batches[i]))[len(large) - missing :])
        parts = (
            (batch[::2], batch[1::2]) if i in halved else (batch,)
            for i, batch in enumerate(batches)
        )
        return [batch[self.share] for batch in itertools.chain(*parts)]

    def _batches(self, keys: list[str], edge: float) -> list[tuple[str, ...]]:
        """Of all utterances; edge: where the first bucket ends, 0 to 1, in buckets."""
        return cut_batches(keys, self.lengths, self.batch_bins, self.min_batch_size, edge)

    def padding(self) -> dict[str, float]:
        """Share of the padded elements that are padding, by shape file, and of all together."""
        real = [sum(column) for column in zip(*self.lengths.values(), strict=True)]
        padded = [0] * len(real)
        for batch in self.batches:
            columns = zip(*(self.lengths[key] for key in batch), strict=True)
            padded = [
                n + len(batch) * max(column) for n, column in zip(padded, columns, strict=True)
            ]
        shares = {name: 1 - a / b for name, a, b in zip(self.names, real, padded, strict=True)}
        return shares | {"all": 1 - sum(real) / sum(padded)}

    def __repr__(self) -> str:
        padding = ", ".join(f"{name} {share:.1%}" for name, share in self.padding().items())
        return f"{type(self).__name__}(batch_bins={self.batch_bins}, padding: {padding})"

    def __len__(self) -> int:
        """Batches of an epoch of training."""
        return self.number

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        """Batches that stay the same, as in validation."""
        return iter([batch[self.share] for batch in self.batches])


def cut_batches[Key](
    keys: list[Key],
    lengths: Mapping[Key, tuple[int, ...]],
    batch_bins: int,
    min_batch_size: int = 1,
    edge: float = 0.0,
) -> list[tuple[Key, ...]]:
    """Batches of utterances that are alike, as BucketBatchSampler says. lengths: of each, those of
    the speech last; edge: where the first bucket ends, 0 to 1, in buckets."""
    order = _order(keys, lengths, batch_bins, edge)
    return list(_cut(order, lengths, batch_bins, min_batch_size))


def _order[Key](
    keys: list[Key], lengths: Mapping[Key, tuple[int, ...]], batch_bins: int, edge: float
) -> list[Key]:
    """All utterances, neighbours being alike."""
    batches = sum(map(sum, lengths.values())) // batch_bins
    number = 2 * isqrt(batches) + 1  # several batches each
    buckets = [[] for _ in range(number + 1)]
    total, before = sum(speech for *_, speech in lengths.values()), 0
    for key in sorted(keys, key=lambda key: lengths[key][-1]):
        buckets[int(number * before / total + edge)].append(key)
        before += lengths[key][-1]
    for place, bucket in enumerate(buckets):
        bucket.sort(key=lambda key: sum(lengths[key][:-1]), reverse=place % 2 == 1)
    return [key for bucket in buckets for key in bucket]


def _cut[Key](
    order: list[Key],
    lengths: Mapping[Key, tuple[int, ...]],
    batch_bins: int,
    min_batch_size: int,
) -> Iterator[tuple[Key, ...]]:
    batch, longest = [], ()
    for left, key in zip(range(len(order), 0, -1), order, strict=True):
        grown = tuple(map(max, longest or lengths[key], lengths[key]))
        full = (len(batch) + 1) * sum(grown) > batch_bins
        # What is left over must do for a batch as well.
        if full and len(batch) >= min_batch_size and left >= min_batch_size:
            yield tuple(batch)
            batch, grown = [], lengths[key]
        batch.append(key)
        longest = grown
    yield tuple(batch)


def is_in_buckets(batch_type: str, shape_files: list[str]) -> bool:
    """Whether a training's batches are a BucketBatchSampler's: `numel`, of speech and texts."""
    return batch_type == "numel" and Path(shape_files[-1]).name == "speech_shape"
