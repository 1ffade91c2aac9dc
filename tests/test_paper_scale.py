"""What makes the paper's sizes trainable: checkpointing, bfloat16, dimensions, configurations."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import whisper
from conftest import ROOT
from test_model import OFF, build, gradients
from whisper.audio import N_SAMPLES, log_mel_spectrogram
from whisper.model import AudioEncoder

from comsl.bin.count_parameters import count_parameters
from comsl.dimensions import WHISPER
from comsl.encoders.cached import CachedStates
from comsl.encoders.whisper import WhisperEncoder
from comsl.errors import DataError
from comsl.model.adapter import Adapter
from comsl.model.composite import ComSLModel
from comsl.model.language_model import LanguageModel
from comsl.model.settings import Settings
from comsl.model.teacher import Teacher
from comsl.sequences import Sequences
from comsl.training.scheduler import PolynomialDecayLR
from comsl.training.task import ComSLTask
from comsl.training.updates import settle_length

CONF = ROOT / "egs2/covost2/comsl1/conf"
DIMS = {"n_mels": 80, "n_ctx": 1500, "n_state": 16, "n_head": 2, "n_layer": 3}


def with_waves(batch: dict) -> dict:
    """The batch with two seconds of noise and less in the place of its cached states."""
    lengths = batch["speech_lengths"] * 640
    noise = torch.randn(4, int(lengths.max()), generator=torch.Generator().manual_seed(6))
    return batch | {"speech": 0.1 * noise, "speech_lengths": lengths}


def whole_model(tiny_lm, tokenizer, checkpointing: bool, **settings) -> ComSLModel:
    """All parts of ComSL, in training mode, with dropout."""
    torch.manual_seed(1)
    language_model = LanguageModel(tiny_lm, checkpointing=checkpointing)
    encoder = WhisperEncoder(dims=DIMS, checkpointing=checkpointing, **settings)
    teacher = Teacher(LanguageModel(tiny_lm))
    return ComSLModel(language_model, tokenizer, encoder, Adapter(16, 32), teacher).train()


def step(model: ComSLModel, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradients of a batch, with the same dropout each time."""
    torch.manual_seed(2)
    loss = model(**batch)[0]
    return loss, gradients(model, loss)


@pytest.mark.parametrize("settings", [{}, {"trainable_blocks": 2}, {"trainable_blocks": 0}])
def test_checkpointing_changes_nothing(tiny_lm, tokenizer, batch, settings):
    batch = with_waves(batch)
    (loss, plain), (same, saving) = (
        step(whole_model(tiny_lm, tokenizer, checkpointing, **settings), batch)
        for checkpointing in (False, True)
    )
    assert same == loss
    assert plain.norm() > 0
    assert (saving - plain).norm() <= 1e-6 * plain.norm()


def kept(function, *arguments) -> int:
    """How many numbers autograd keeps of a function for its gradient."""
    sizes = []

    def keep(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        function(*arguments)
    return sum(sizes)


def test_checkpointing_keeps_less(tiny_lm, batch):
    """Of each layer its input only, which is a fraction of what its gradient needs."""
    speech = torch.randn(2, 32000), torch.tensor([32000, 20000])
    x = Sequences(batch["source"].clamp(min=0), batch["source_lengths"])
    y = Sequences(batch["target"].clamp(min=0), batch["target_lengths"])
    plain, saving = (
        (
            WhisperEncoder(dims=DIMS, checkpointing=value),
            LanguageModel(tiny_lm, checkpointing=value),
        )
        for value in (False, True)
    )
    assert kept(saving[0], *speech) < 0.4 * kept(plain[0], *speech)
    translate = (parts[1].train().translate for parts in (saving, plain))
    assert kept(next(translate), x, y) < 0.4 * kept(next(translate), x, y)


@pytest.mark.parametrize(
    ("weights", "tolerance"),
    [
        ({}, 0.005),
        (OFF | {"w_mt": 1.0}, 0.005),
        ({"w_ctc": 0.3, "w_const": 1.0, "w_waco": 1.0, "w_mml": 1.0}, 0.02),
    ],
)
def test_bfloat16_is_close_to_single_precision(tiny_lm, tokenizer, batch, weights, tolerance):
    """Gradients within 5 per cent; weights and losses are not rounded."""
    exact = build(tiny_lm, tokenizer, **weights)
    rounded = build(tiny_lm, tokenizer, bf16=True, **weights)
    (loss, stats, _), (close, close_stats, _) = exact(**batch), rounded(**batch)
    assert close.dtype == torch.float32
    assert all(value.dtype == torch.float32 for value in close_stats.values())
    assert close != loss  # something was rounded
    for name, value in stats.items():
        torch.testing.assert_close(close_stats[name], value, rtol=tolerance, atol=tolerance)
    theirs, ours = gradients(exact, loss), gradients(rounded, close)
    assert (ours - theirs).norm() < 0.05 * theirs.norm()
    assert {p.dtype for p in rounded.parameters()} == {torch.float32}
    teacher = rounded.teacher.language_model
    assert {p.dtype for p in teacher.parameters()} == {torch.bfloat16}


def test_bfloat16_with_the_speech_encoder(tiny_lm, tokenizer, batch):
    batch = with_waves(batch)
    model = whole_model(tiny_lm, tokenizer, checkpointing=True).eval()
    loss = model(**batch)[0]
    model.settings = replace(model.settings, bf16=True)
    torch.testing.assert_close(model(**batch)[0], loss, rtol=5e-3, atol=0)


@pytest.mark.parametrize(
    ("speech_encoder", "language_encoder", "total"),
    [("medium", 0.3057, 0.9), ("large-v2", 0.6349, 1.3), ("turbo", 0.6351, 1.3)],
)
def test_parameters_are_as_many_as_published(speech_encoder, language_encoder, total):
    """In thousand millions: Whisper's encoder, mBART-50's 0.611, ComSL Medium 0.9, Large 1.3."""
    counts = count_parameters(speech_encoder)
    assert counts["speech encoder"] / 1e9 == pytest.approx(language_encoder, abs=1e-4)
    assert counts["language blocks"] / 1e9 == pytest.approx(0.6109, abs=1e-4)
    assert round(sum(counts.values()) / 1e9, 1) == total


def test_published_dimensions_are_those_of_the_real_base():
    assert WhisperEncoder("base").dims() == WHISPER["base"]


def test_a_large_v3_encoder_hears_128_mel_bins():
    """At 30 s it is openai-whisper's own; its frozen states need no width in the configuration."""
    dims = WHISPER["turbo"] | {"n_state": 32, "n_head": 2, "n_layer": 2}
    encoder = WhisperEncoder(dims=dims).eval()
    wave = 0.1 * torch.randn(N_SAMPLES, generator=torch.Generator().manual_seed(7))
    plain = AudioEncoder(**dims)
    plain.load_state_dict(encoder.encoder.state_dict())
    with torch.no_grad():
        expected = plain(log_mel_spectrogram(whisper.pad_or_trim(wave), 128)[None])
        states, _, _ = encoder(wave[None], torch.tensor([N_SAMPLES]))
    torch.testing.assert_close(states, expected, atol=1e-4, rtol=1e-4)
    assert CachedStates(model="turbo").output_size() == 1280
    with pytest.raises(DataError, match="input_size"):
        CachedStates(model="my/own.pt")


def parse(config: Path):
    """A configuration as the training command reads it."""
    return ComSLTask.get_parser().parse_args(["--config", str(config)])


@pytest.mark.parametrize("config", sorted(CONF.glob("train_*.yaml")), ids=lambda path: path.stem)
def test_configurations_are_the_papers(tiny_lm, tokenizer, config):
    """Optimiser and schedule of section 4; the rate ends where training does; parts exist."""
    args = parse(config)
    joint = args.speech_encoder == "whisper"
    published = {"lr": 2e-5, "betas": [0.9, 0.98], "eps": 1e-6, "weight_decay": 0.1}
    assert args.optim == "adamw"
    assert args.optim_conf == published | {"fused": True}
    assert args.model_conf["bf16"]
    steps = args.max_epoch * args.num_iters_per_epoch / args.accum_grad
    settle_length(args)
    schedule = PolynomialDecayLR(torch.optim.AdamW(tokens()), **args.scheduler_conf)
    assert args.scheduler_conf["total_steps"] == steps
    assert (schedule.power, schedule.end_lr) == (2.0, 1e-7)
    if config.stem == "train_lm":
        assert schedule.warmup_steps == 2500
        assert (args.max_epoch, args.language_model_conf["dropout"]) == (5, 0.3)
        return
    assert schedule.warmup_steps == 5000
    assert args.max_epoch == (10 if joint else 5)
    assert args.batch_bins * args.accum_grad == 10000
    if joint:
        WhisperEncoder(dims=DIMS, **args.speech_encoder_conf)
    LanguageModel(tiny_lm, **args.language_model_conf)
    Adapter(16, 32, **args.speech_adapter_conf)
    model = ComSLModel(
        LanguageModel(tiny_lm), tokenizer, CachedStates(16), Adapter(16, 32),
        Teacher(LanguageModel(tiny_lm)), Settings(**args.model_conf),
    )  # fmt: skip
    weights = {name: value for name, value in model.settings.weights.items() if value}
    assert weights == {"st": 0.35, "asr": 0.35, "mt": 0.2, "cml": 0.1}


def tokens() -> list[torch.Tensor]:
    return [torch.zeros(1, requires_grad=True)]
