"""Batches by length of speech and text: what they hold, what they pad, what they refuse."""

import numpy as np
import pytest

from comsl.corpora.kaldi import read_table, write_table
from comsl.errors import DataError
from comsl.training.batch_sampler import BucketBatchSampler, build_batch_sampler


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


@pytest.mark.parametrize("min_batch_size", [1, 4])
def test_every_utterance_once_within_the_budget(shapes, min_batch_size):
    sampler = BucketBatchSampler(4000, shapes, min_batch_size)
    batches = list(sampler)
    keys = [key for batch in batches for key in batch]
    assert sorted(keys) == sorted(read_table(shapes[0]))
    assert len(sampler) == len(batches)
    assert min(map(len, batches)) >= min_batch_size
    for batch, (_, padded) in zip(batches, sizes(batches, shapes), strict=True):
        # Only the smallest batch allowed may hold more, or one that took up the last few.
        assert sum(padded) <= 4000 or min_batch_size <= len(batch) < 2 * min_batch_size


def test_padding_is_below_a_tenth_and_far_below_espnets(shapes):
    def padding(batches) -> float:
        real, padded = zip(*sizes(batches, shapes), strict=True)
        return 1 - sum(map(sum, real)) / sum(map(sum, padded))

    sampler = BucketBatchSampler(4000, shapes)
    assert padding(sampler) == pytest.approx(sampler.padding()["all"])
    assert f"all {padding(sampler):.1%}" in repr(sampler)  # ESPnet logs this
    fixed = {"batch_size": 8, "fold_lengths": [], "drop_last": False, "utt2category_file": None}
    fixed |= {"sort_in_batch": "descending", "sort_batch": "ascending"}

    def build(files):
        return build_batch_sampler("numel", files, 4000, 1, **fixed)

    assert list(build(shapes)) == list(sampler)
    by_source_alone = build([shapes[0], shapes[2], shapes[1]])  # speech not last: ESPnet's own
    assert padding(sampler) < 0.1 < 2 * padding(sampler) < padding(by_source_alone)


def test_shape_files_of_other_utterances_are_refused(shapes, tmp_path):
    table = read_table(shapes[0])
    table.pop("u0000")
    write_table(tmp_path / "source_shape", table)
    with pytest.raises(DataError, match="not the utterances of"):
        BucketBatchSampler(4000, [str(tmp_path / "source_shape"), *shapes[1:]])
