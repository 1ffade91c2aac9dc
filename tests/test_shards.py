"""Training from shards: the same data, in an order that any restart goes on with, at one size of
memory."""

import itertools
import json
import shutil
import tracemalloc
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
from conftest import run_tool
from test_training import data, train, weights  # noqa: F401 - a fixture

from comsl.corpora.kaldi import read_table, write_table
from comsl.errors import DataError
from comsl.training.shards import Place, Plan, ShardDataset, ShardIterFactory, Shards

SIZE = 2


@pytest.fixture(scope="module")
def shards(data, tmp_path_factory) -> Path:  # noqa: F811
    """The data of test_training, eight utterances, in shards of two."""
    folder = tmp_path_factory.mktemp("shards")
    teacher = folder / "teacher"
    teacher.mkdir()
    random = np.random.default_rng(5)
    with kaldiio.WriteHelper(f"ark,scp:{teacher}/feats.ark,{teacher}/unsorted") as writer:
        for key, length in read_table(data / "target_shape").items():
            states = random.standard_normal((int(length.split(",")[0]), 32))
            writer(key, states.astype(np.float32))
    lines = (line.split(" ", 1) for line in (teacher / "unsorted").read_text().splitlines())
    write_table(teacher / "feats.scp", dict(lines))
    run_tool(
        "write_shards", "--raw", data, "--encoder", data, "--teacher", teacher,
        "--out", folder / "out", "--shard_utts", SIZE,
    )  # fmt: skip
    return folder / "out"


def repeat(shards: Path, out: Path, times: int) -> Shards:
    """The same shards so many times, by links."""
    few = Shards.open(shards)
    out.mkdir()
    np.save(out / "lengths.npy", np.concatenate([few.lengths] * times))
    shutil.copy(shards / "shards.json", out)
    many = Shards.open(out)
    for number in range(len(many)):
        for field in ("texts", *few.fields):
            many.path(field, number).symlink_to(few.path(field, number % len(few)))
    return many


def ids(plan: Plan, epoch: int, count: int, workers: int = 0) -> list[list[str]]:
    """Who is in the batches of an epoch of so many."""
    factory = ShardIterFactory(
        plan, {}, count, workers, lambda _, item: item, lambda batch: [key for key, _ in batch]
    )
    return list(factory.build_iter(epoch))


def test_utterances_are_what_they_were(shards, data):  # noqa: F811
    """States to the bit, texts, samples; each once."""
    found = Shards.open(shards)
    rows = [row for number in range(len(found)) for row in found.read(number, found.fields)]
    assert sorted(row["id"] for row in rows) == sorted(read_table(data / "utt2lang"))
    table = read_table(data / "feats.scp")
    dataset = ShardDataset(Plan(found, 10**6), {"speech": "states"}, Place(), 1, lambda _, x: x)
    ((*batch,),) = dataset
    assert len(batch) == 8
    for key, item in batch:
        assert np.array_equal(item["speech"], kaldiio.load_mat(table[key]))
        assert item["source_text"] == read_table(data / "text.src")[key]
        assert item["lang"] in ("fr", "it")
    flac = Path(read_table(data / "wav.scp")[rows[0]["id"]]).read_bytes()
    assert rows[0]["audio"] == flac
    ((*batch,),) = ShardDataset(
        Plan(found, 10**6), {"speech": "audio"}, Place(), 1, lambda _, x: x
    )  # what the joint phase hears
    for key, item in batch:
        samples, _ = soundfile.read(read_table(data / "wav.scp")[key], dtype="float32")
        assert np.array_equal(item["speech"], samples)


def test_every_pass_has_each_utterance_once_in_another_order(shards, tmp_path):
    plan = Plan(repeat(shards, tmp_path / "many", 5), batch_bins=200, seed=3)
    passes = []
    for turn in (0, 1):
        buffers = [plan.buffer(5 * turn + place) for place in range(5)]
        rows = [row for buffer in buffers for batch in buffer.batches for row in batch]
        assert sorted(rows) == list(range(40))
        passes.append(rows)
    assert passes[0] != passes[1]
    for batch in itertools.chain(*(plan.buffer(number).batches for number in range(10))):
        padded = plan.shards.lengths[list(batch)].max(0).sum() * len(batch)
        assert len(batch) == 1 or padded <= 200


def test_the_next_batch_is_the_same_whenever_and_with_whatever_workers(shards, tmp_path):
    """Epochs of 7 batches are the stream of 7 times as many in one; a restart begins at any."""
    plan = Plan(repeat(shards, tmp_path / "many", 3), batch_bins=150)
    whole = ids(plan, 1, 28)
    for workers in (0, 2):
        for epoch in (3, 1):
            assert ids(plan, epoch, 7, workers) == whole[7 * (epoch - 1) : 7 * epoch]
    factory = ShardIterFactory(plan, {}, 7, 0, lambda _, x: x, lambda b: [key for key, _ in b])
    assert [batch for epoch in (1, 2, 3, 4) for batch in factory.build_iter(epoch)] == whole


def test_processes_share_a_pass(shards, tmp_path):
    """Equal numbers of batches each, no utterance in two of them."""
    many = repeat(shards, tmp_path / "many", 4)
    plans = [Plan(many, 150, rank=rank, world=2) for rank in (0, 1)]
    assert [len(ids(plan, 2, 5)) for plan in plans] == [5, 5]
    rows = [
        {row for number in (0, 1) for batch in plan.buffer(number).batches for row in batch}
        for plan in plans
    ]
    assert not rows[0] & rows[1]
    assert len(rows[0]) == len(rows[1]) == 16
    with pytest.raises(DataError, match="4 shards for 5 processes"):
        Plan(Shards.open(shards), 100, world=5)


def test_memory_does_not_grow_with_the_corpus(shards, tmp_path):
    """The most that Python and NumPy hold while batches are read, of 8 utterances and of 1,600."""
    peaks = []
    for times in (2, 200):
        many = repeat(shards, tmp_path / str(times), times)
        dataset = ShardDataset(Plan(many, 150), {"speech": "states"}, Place(1), 30, lambda _, x: x)
        tracemalloc.start()
        assert sum(1 for _ in dataset) == 30
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0]


def test_a_training_from_shards_resumes_as_if_nothing_had_happened(data, tiny_lm, tmp_path, shards):  # noqa: F811
    """Killed in the middle of a pass over the corpus; beside it sentence pairs, from no shards."""
    options = ["--shards", str(shards), "--num_iters_per_epoch", "6", "--batch_bins", "100"]
    options += ["--text_pairs", str(data), "--model_conf", "w_text=0.2"]
    train(data, tiny_lm, tmp_path / "whole", *options, "--max_epoch", "3")
    train(data, tiny_lm, tmp_path / "cut", *options, "--max_epoch", "1")
    options += ["--max_epoch", "3", "--resume", "true", "--num_workers", "1"]
    train(data, tiny_lm, tmp_path / "cut", *options)
    resumed = weights(tmp_path / "cut", 3)
    for name, value in weights(tmp_path / "whole", 3).items():
        assert torch.equal(resumed[name], value), name
    checkpoint = torch.load(tmp_path / "whole" / "checkpoint.pth", weights_only=True)
    assert "ce_text" in checkpoint["reporter"]["stats"][3]["train"]


def test_what_is_missing_or_damaged_is_one_line(shards, tmp_path):
    with pytest.raises(DataError, match=r"no shards, or not whole .+; rerun stage 5$"):
        Shards.open(tmp_path)
    shutil.copytree(shards, tmp_path / "bad")
    bad = Shards.open(tmp_path / "bad")
    path = bad.path("states", 0)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(DataError, match=r"states\.000000\.tar: damaged, or there in part"):
        list(bad.read(0, ["states"]))
    assert json.loads((shards / "shards.json").read_text())["utterances"] == 8
