"""Batches of utterances that are alike in the length of their speech and of their texts."""

from collections.abc import Iterator
from math import isqrt
from pathlib import Path

from espnet2.samplers.abs_sampler import AbsSampler
from espnet2.samplers.build_batch_sampler import build_batch_sampler as espnet_batch_sampler

from comsl.corpora.kaldi import read_table
from comsl.errors import DataError


class BucketBatchSampler(AbsSampler):
    """Batches of at most `batch_bins` elements, padding included, of all shape files together.

    ESPnet's `numel` sorts by one length, and pads the others as they come. Here the utterances
    fall into buckets of like length of speech, each with as much speech as the others; within a
    bucket the texts' lengths rise and fall in turns, so that no batch spans a jump.

    shape_files: `id length` or `id length,width` each, the speech's last. min_batch_size is kept
    even where the batch then holds more. Printed, it tells the padding of each file's lengths.
    DataError: a shape file has other ids than the others.
    """

    def __init__(self, batch_bins: int, shape_files: list[str], min_batch_size: int = 1):
        self.batch_bins, self.names = batch_bins, [Path(file).name for file in shape_files]
        tables = [read_table(Path(file)) for file in shape_files]
        for name, table in zip(shape_files, tables, strict=True):
            if table.keys() != tables[-1].keys():
                raise DataError(f"{name}: not the utterances of {shape_files[-1]}; rerun stage 5")
        self.lengths = {
            key: tuple(int(table[key].split(",")[0]) for table in tables) for key in tables[-1]
        }
        self.batches = list(self._cut(self._order(), min_batch_size))

    def _order(self) -> list[str]:
        """All utterances, neighbours being alike."""
        lengths = self.lengths
        batches = sum(map(sum, lengths.values())) // self.batch_bins
        buckets = [[] for _ in range(2 * isqrt(batches) + 1)]  # several batches each
        total, before = sum(speech for *_, speech in lengths.values()), 0
        for key in sorted(lengths, key=lambda key: lengths[key][-1]):
            buckets[len(buckets) * before // total].append(key)
            before += lengths[key][-1]
        for number, bucket in enumerate(buckets):
            bucket.sort(key=lambda key: sum(lengths[key][:-1]), reverse=number % 2 == 1)
        return [key for bucket in buckets for key in bucket]

    def _cut(self, order: list[str], min_batch_size: int) -> Iterator[tuple[str, ...]]:
        batch, longest = [], (0,) * len(self.names)
        for left, key in zip(range(len(order), 0, -1), order, strict=True):
            grown = tuple(map(max, longest, self.lengths[key]))
            full = (len(batch) + 1) * sum(grown) > self.batch_bins
            # What is left over must do for a batch as well.
            if full and len(batch) >= min_batch_size and left >= min_batch_size:
                yield tuple(batch)
                batch, grown = [], self.lengths[key]
            batch.append(key)
            longest = grown
        yield tuple(batch)

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
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(self.batches)


def build_batch_sampler(type: str, shape_files, batch_bins: int, min_batch_size: int, **others):
    """ESPnet's, but `numel` of speech and text is a BucketBatchSampler."""
    if type == "numel" and Path(shape_files[-1]).name == "speech_shape":
        return BucketBatchSampler(batch_bins, shape_files, min_batch_size)
    return espnet_batch_sampler(
        type=type,
        shape_files=shape_files,
        batch_bins=batch_bins,
        min_batch_size=min_batch_size,
        **others,
    )
