"""LoRA: at first nothing has changed, the teacher never does, and merged it is a model as any."""

import argparse
import copy
import json
import logging
import sys

import pytest
import torch
from conftest import TINY_MBART

from benchmarks import lora_step
from comsl.dimensions import WHISPER
from comsl.errors import DataError
from comsl.model.build import build_model
from comsl.model.lora import merge_lora
from comsl.model.teacher import LoraTeacher
from comsl.sequences import Sequences

DIMS = {"n_mels": 80, "n_ctx": 1500, "n_state": 16, "n_head": 2, "n_layer": 3}
BOTH = {"language_model": {"rank": 2}, "speech_encoder": {"rank": 2, "targets": "query out"}}


def build(language_model, lora, **settings):
    """A model of 3 + 2 + 2 layers, of which LoRA trains parts, in training mode."""
    torch.manual_seed(0)
    args = argparse.Namespace(
        language_model=str(language_model), language_model_conf={}, model_conf={},
        speech_encoder="whisper", speech_encoder_conf={"dims": DIMS, "trainable_blocks": 2},
        speech_adapter_conf={"dropout": 0.0}, teacher=str(language_model), target_lang="en",
        lora_conf=lora, train_data_path_and_name_and_type=[],
        valid_data_path_and_name_and_type=[("", "", "")],
    )  # fmt: skip
    vars(args).update(settings)
    return build_model(args).train()


@pytest.fixture
def spoken(batch):
    """The batch with waveforms."""
    generator = torch.Generator().manual_seed(1)
    speech = 0.1 * torch.randn(4, 16000, generator=generator)
    return batch | {"speech": speech, "speech_lengths": torch.tensor([16000, 9000, 12000, 7000])}


def step(model, batch) -> dict[str, torch.Tensor]:
    """An update; the gradients it was made by."""
    torch.manual_seed(3)
    model(**batch)[0].backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad.sign()
    model.zero_grad()
    return gradients


def test_only_what_was_added_trains_and_merged_it_is_part_of_the_weights(tiny_lm, spoken, caplog):
    whole = build(tiny_lm, {}).eval()
    with caplog.at_level(logging.INFO):
        model = build(tiny_lm, BOTH)
    assert "speech_encoder: 1.74 % of 14720 parameters train" in caplog.text
    frozen = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    first = model.eval()(**spoken)[1]
    for name, value in whole(**spoken)[1].items():
        torch.testing.assert_close(first[name], value)  # what is added begins at zero
    assert type(model.teacher) is LoraTeacher

    gradients = step(model.train(), spoken)
    added = {name for name in gradients if "lora_" in name}
    assert gradients.keys() - added == {name for name in gradients if name.startswith("adapter.")}
    encoder = {name.split(".")[3] for name in added if name.startswith("speech_encoder.")}
    assert encoder == {"1", "2"}  # the blocks that would train
    assert model.state_dict().keys() == gradients.keys()
    for name, weight in frozen.items():
        assert torch.equal(weight, dict(model.named_parameters())[name]), name

    after = model.eval()(**spoken)[1]
    assert not torch.isclose(after["ce_st"], first["ce_st"])
    merged = copy.deepcopy(model)
    merge_lora(merged)
    assert merged.state_dict().keys() == whole.state_dict().keys()
    statistics = merged(**spoken)[1]  # but for those of the teacher, which is gone
    for name in ("ce_st", "ce_asr", "ce_mt", "kd_st", "ce_stm_y", "ce_mtp", "erm"):
        value = statistics[name]
        torch.testing.assert_close(value, after[name], rtol=1e-4, atol=1e-4)


def test_the_teacher_is_what_training_began_with(tiny_lm, spoken):
    """The blocks themselves, without a copy, without dropout, after updates too."""
    model, other = build(tiny_lm, BOTH), build(tiny_lm, {}).teacher
    assert model.teacher.language_model is model.language_model
    x, y = (
        Sequences(spoken[name].clamp(min=0), spoken[f"{name}_lengths"])
        for name in ("source", "target")
    )
    for _ in range(2):
        states, head = model.teacher(x, y)
        expected, other_head = other(x, y)
        torch.testing.assert_close(states, expected)
        assert torch.equal(head.weight, other_head.weight)
        assert model.language_model.training
        assert step(model, spoken).keys() == model.state_dict().keys()


def test_a_part_without_settings_of_its_own_has_the_usual_ones(tiny_lm):
    plain, usual = (build(tiny_lm, {"language_model": s}) for s in ({}, {"rank": 16}))
    assert plain.state_dict().keys() == usual.state_dict().keys()
    assert any("lora_" in name for name in plain.state_dict())


def test_activation_checkpointing_changes_no_gradient(tiny_lm, spoken):
    settings = {"dims": DIMS, "trainable_blocks": None}
    plain = step(build(tiny_lm, BOTH, speech_encoder_conf=settings), spoken)
    recomputed = build(
        tiny_lm, BOTH, speech_encoder_conf=settings | {"checkpointing": True},
        language_model_conf={"checkpointing": True},
    )  # fmt: skip
    found = step(recomputed, spoken)
    assert found.keys() == plain.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"adapter": {"rank": 2}}, "no settings of 'adapter'"),
        ({"language_model": {"rang": 2}}, "lora_conf: language_model: no setting 'rang'"),
        ({"language_model": {"rank": 0}}, "rank is at least 1"),
        ({"language_model": {"targets": "query"}}, "no layer is called query"),
    ],
)
def test_what_makes_no_sense_is_refused(tiny_lm, lora, message):
    with pytest.raises(DataError, match=message):
        build(tiny_lm, lora)


def test_weights_of_another_training_are_refused(tiny_lm):
    with pytest.raises(DataError, match="give both phases the same lora_conf"):
        build(tiny_lm, BOTH).load_state_dict(build(tiny_lm, {}).state_dict())


def test_the_benchmark_runs_at_tiny_size(tmp_path, monkeypatch):
    monkeypatch.setitem(WHISPER, "large-v3", DIMS)
    monkeypatch.setattr(lora_step, "NLLB_600M", TINY_MBART | {"vocab_size": 9000})
    monkeypatch.setattr(sys, "argv", ["lora_step", "--json", str(tmp_path / "out.json")])
    lora_step.main()
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["rows"][0]["ours"] == max(found["GiB at most"].values())
