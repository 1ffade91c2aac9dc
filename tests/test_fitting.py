"""A training that finds the batches which fit is the one that was told them."""

import numpy as np
import pytest
import torch
import yaml
from test_training import data, train, weights  # noqa: F401 - a fixture

from comsl.errors import DataError
from comsl.model.composite import ComSLModel

HALVES = ["--batch_bins", "150", "--accum_grad", "4"]


class Memory:
    """Room for so many padded frames a batch; `sudden`: the call that fails whatever its size."""

    def __init__(self, frames: int, sudden: int = 0):
        self.frames, self.sudden = frames, sudden
        self.calls, self.forward = 0, ComSLModel.forward

    def __call__(self, model, speech, **batch):
        self.calls += 1
        if self.calls == self.sudden or speech.shape[0] * speech.shape[1] > self.frames:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.forward(model, speech=speech, **batch)


def fit(memory: Memory, monkeypatch, *run, length=("--num_iters_per_epoch", "8")) -> None:
    monkeypatch.setattr(ComSLModel, "forward", lambda model, **batch: memory(model, **batch))
    options = ["--auto_batch", "true", "--max_epoch", "2", "--resume", "true"]
    train(*run, *HALVES, *length, *options)


def test_updates_are_those_of_the_batches_that_fit(data, tiny_lm, tmp_path, monkeypatch):  # noqa: F811
    """The update, four batches, doesn't fit as one; as two it does. Trying that changes nothing."""
    fit(Memory(200), monkeypatch, data, tiny_lm, tmp_path / "found")
    monkeypatch.undo()
    told = ["--batch_bins", "300", "--accum_grad", "2", "--num_iters_per_epoch", "4"]
    train(data, tiny_lm, tmp_path / "told", *told, "--max_epoch", "2")
    found = weights(tmp_path / "found", 2)
    for name, value in weights(tmp_path / "told", 2).items():
        assert torch.equal(found[name], value), name
    config = yaml.safe_load((tmp_path / "found/config.yaml").read_text())
    assert (config["batch_bins"], config["accum_grad"]) == (300, 2)


def test_a_schedule_ends_with_the_training(data, tiny_lm, tmp_path, monkeypatch):  # noqa: F811
    """An epoch of all batches has as many updates as before, however large the batches become."""
    falling = ["--scheduler", "polynomial", "--scheduler_conf", "warmup_steps=1"]
    length = ["--batch_bins", "75", *falling]
    fit(Memory(10**6), monkeypatch, data, tiny_lm, tmp_path, length=length)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["accum_grad"] == 1
    assert 2 * config["num_iters_per_epoch"] == config["scheduler_conf"]["total_steps"]


def test_memory_that_runs_out_later_costs_an_epoch_at_most(data, tiny_lm, tmp_path, monkeypatch):  # noqa: F811
    """In the second epoch: the first is kept, half the batches go on."""
    memory = Memory(10**6, sudden=3 + 2 + 1 + 1)  # tried, an epoch of two, validation
    fit(memory, monkeypatch, data, tiny_lm, tmp_path)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert (config["batch_bins"], config["accum_grad"]) == (300, 2)
    assert (tmp_path / "2epoch.pth").exists()
    values = weights(tmp_path, 2).values()
    assert all(np.isfinite(value.numpy()).all() for value in values if value.is_floating_point())


def test_a_clip_that_does_not_fit_is_one_line(data, tiny_lm, tmp_path, monkeypatch):  # noqa: F811
    with pytest.raises(DataError, match=r"doesn't take a single clip.*--max_duration need less$"):
        fit(Memory(10), monkeypatch, data, tiny_lm, tmp_path)
