"""Batches by length of speech and text: what they hold, what they pad, what they refuse."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from espnet2.samplers.num_elements_batch_sampler import NumElementsBatchSampler

from comsl.corpora.kaldi import read_table, write_table
from comsl.errors import DataError
from comsl.training.batch_sampler import BucketBatchSampler


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> list[str]:
    """3000 utterances as people speak: texts about as long as the speech, give or take a third."""
    folder = tmp_path_factory.mktemp("shapes")
    random = np.random.default_rng(0)
    speech = np.exp(random.normal(5, 0.7, 3000)).astype(int) + 20
    files = {"speech_shape": speech}
    for name in ("source_shape", "target_shape"):
        files[name] = (speech / 15 * np.exp(random.normal(0, 0.3, 3000))).astype(int) + 2
    for name, lengths in files.items():
        table = {f"u{number:04}": f"{length},4" for number, length in enumerate(lengths)}
        write_table(folder / name, table)
    return [str(folder / name) for name in ("source_shape", "target_shape", "speech_shape")]


def sizes(batches, shapes: list[str]) -> list[tuple[list[int], list[int]]]:
    """Elements of every batch by shape file: real ones, and with padding."""
    tables = [read_table(file) for file in shapes]
    lengths = {key: [int(t[key].split(",")[0]) for t in tables] for key in tables[0]}
    return [
        (
            [sum(column) for column in zip(*map(lengths.get, batch), strict=True)],
            [len(batch) * max(column) for column in zip(*map(lengths.get, batch), strict=True)],
        )
        for batch in batches
    ]


def padding(batches, shapes: list[str]) -> float:
    """Share of all padded elements."""
    real, padded = zip(*sizes(batches, shapes), strict=True)
    return 1 - sum(map(sum, real)) / sum(map(sum, padded))


def companions(batches) -> set[tuple[str, str]]:
    """Who shares a batch with whom."""
    return {pair for batch in batches for pair in combinations(sorted(batch), 2)}


@pytest.mark.parametrize("min_batch_size", [1, 4])
def test_every_utterance_once_within_the_budget(shapes, min_batch_size):
    """In validation, and in every epoch of training."""
    sampler = BucketBatchSampler(4000, shapes, min_batch_size)
    for batches in (list(sampler), *(sampler.generate(seed) for seed in range(3))):
        keys = [key for batch in batches for key in batch]
        assert sorted(keys) == sorted(read_table(shapes[0]))
        assert min(map(len, batches)) >= min_batch_size
        for batch, (_, padded) in zip(batches, sizes(batches, shapes), strict=True):
            # Only the smallest batch allowed may hold more, or one that took up the last few.
            assert sum(padded) <= 4000 or min_batch_size <= len(batch) < 2 * min_batch_size


def test_epochs_have_other_batches_but_as_many_and_as_little_padding(shapes):
    """Those of an epoch depend on its number alone, not on epochs before it."""
    sampler = BucketBatchSampler(4000, shapes)
    epochs = [sampler.generate(seed) for seed in range(5)]
    assert {len(batches) for batches in epochs} == {len(sampler)}
    assert len(sampler) - len(list(sampler)) <= 0.01 * len(sampler)
    assert BucketBatchSampler(4000, shapes).generate(4) == epochs[4]
    fixed = padding(sampler, shapes)
    assert all(padding(batches, shapes) < fixed + 0.01 for batches in epochs)
    met = list(map(companions, epochs))
    again = sum(len(before & now) for before, now in pairwise(met))
    assert again < 0.6 * sum(map(len, met[1:]))
    assert len(set().union(*met)) > 2 * len(met[0])


def test_processes_share_every_batch(shapes):
    shares = [
        BucketBatchSampler(4000, shapes, 3, slice(rank, None, 3)).generate(7) for rank in range(3)
    ]
    whole = BucketBatchSampler(4000, shapes, 3).generate(7)
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(batch) == sorted(key for part in parts for key in part)
        assert min(map(len, parts)) >= len(batch) // 3 > 0


@pytest.mark.parametrize("size", [1, 2, 5, 9])
@pytest.mark.parametrize("min_batch_size", [1, 2])
def test_a_corpus_of_a_few_utterances(shapes, tmp_path, size, min_batch_size):
    for name in shapes:
        table = dict(list(read_table(name).items())[:size])
        write_table(tmp_path / name.rpartition("/")[2], table)
    files = [str(tmp_path / name.rpartition("/")[2]) for name in shapes]
    sampler = BucketBatchSampler(400, files, min_batch_size)
    for seed in range(20):
        batches = sampler.generate(seed)
        assert len(batches) == len(sampler)
        assert sum(map(len, batches)) == size


def test_padding_is_below_a_tenth_and_far_below_espnets(shapes):
    sampler = BucketBatchSampler(4000, shapes)
    assert padding(sampler, shapes) == pytest.approx(sampler.padding()["all"])
    assert f"all {padding(sampler, shapes):.1%}" in repr(sampler)  # ESPnet logs this
    espnets = NumElementsBatchSampler(4000, shapes, min_batch_size=1)
    assert padding(sampler, shapes) < 0.1 < 2 * padding(sampler, shapes) < padding(espnets, shapes)


def test_shape_files_of_other_utterances_are_refused(shapes, tmp_path):
    table = read_table(shapes[0])
    table.pop("u0000")
    write_table(tmp_path / "source_shape", table)
    with pytest.raises(DataError, match="not the utterances of"):
        BucketBatchSampler(4000, [str(tmp_path / "source_shape"), *shapes[1:]])
