"""Counts from dimensions, against real modules: parameters, PyTorch's FLOP counter, autograd's
saved tensors."""

from contextlib import contextmanager

import pytest
import torch
import whisper
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from comsl.encoders.cached import CachedStates
from comsl.encoders.whisper import WhisperEncoder
from comsl.model.adapter import Adapter
from comsl.model.composite import ComSLModel
from comsl.model.language_model import LanguageModel
from comsl.model.settings import Settings
from comsl.model.teacher import Teacher
from comsl.planning import counts
from comsl.planning.counts import SIZES, Clip, LanguageSize, Size, SpeechSize
from comsl.sequences import Sequences

SPEECH = SpeechSize(80, 32, 3)


@pytest.fixture
def size(tiny_lm) -> Size:
    """Of the tiny language model, and a Whisper of width 32."""
    return Size(SPEECH, LanguageSize.of(LanguageModel(tiny_lm).config.to_dict()))


@pytest.fixture
def one(batch) -> dict:
    """A single utterance, without padding, long enough for attention to show in the counts."""
    source, target = (batch[name][:1, :12].repeat(1, 4) for name in ("source", "target"))
    source, target = source[:, :40], target[:, :36]
    lengths = {"source_lengths": torch.tensor([40]), "target_lengths": torch.tensor([36])}
    return {"source": source, "target": target, "utt_id": ["a"]} | lengths


def build(size: Size, tiny_lm, tokenizer, speech_encoder, **settings) -> ComSLModel:
    adapter = Adapter(size.speech.width, size.language.width, dropout=0.0)
    parts = LanguageModel(tiny_lm, dropout=0.0), tokenizer, speech_encoder, adapter
    return ComSLModel(*parts, Teacher(LanguageModel(tiny_lm)), Settings(**settings)).train()


def whisper_encoder(trained_blocks: int | None) -> WhisperEncoder:
    dims = {"n_mels": 80, "n_ctx": 1500, "n_state": 32, "n_head": 2, "n_layer": 3}
    return WhisperEncoder(silence=0.0, trainable_blocks=trained_blocks, dims=dims)


@contextmanager
def counted():
    """PyTorch's count, attention taken apart into products that it can see, and with the product
    added in place, which it leaves out."""
    in_place = {torch.ops.aten.addmm_: lambda added, a, b, **_: 2 * a[0] * a[1] * b[1]}
    flops = FlopCounterMode(display=False, custom_mapping=in_place)
    with sdpa_kernel(SDPBackend.MATH), flops as counter:
        yield counter


def teacher_states(tokens: int, width: int) -> dict:
    return {"teacher": torch.randn(1, tokens, width), "teacher_lengths": torch.tensor([tokens])}


def measure_flops(model: ComSLModel, batch: dict) -> int:
    with counted() as counter:
        model(**batch)[0].backward()
    return counter.get_total_flops()


def test_flops_of_an_update_on_cached_states(size, tiny_lm, tokenizer, one):
    model = build(size, tiny_lm, tokenizer, CachedStates(32))
    speech = {"speech": torch.randn(1, 200, 32), "speech_lengths": torch.tensor([200])}
    found = measure_flops(model, one | speech | teacher_states(36, size.language.width))
    assert counts.train_frozen(size, Clip(200, 40, 36)) == pytest.approx(found, rel=0.03)


@pytest.mark.parametrize("trained_blocks", [None, 0, 1])
def test_flops_of_an_update_with_the_speech_encoder(size, tiny_lm, tokenizer, one, trained_blocks):
    model = build(size, tiny_lm, tokenizer, whisper_encoder(trained_blocks))
    speech = {"speech": 0.1 * torch.randn(1, 64000), "speech_lengths": torch.tensor([64000])}
    found = measure_flops(model, one | speech | teacher_states(36, size.language.width))
    expected = counts.train_joint(size, Clip(200, 40, 36), trained_blocks)
    assert expected == pytest.approx(found, rel=0.03)


def test_flops_of_fine_tuning_the_language_model(size, tiny_lm, tokenizer, one):
    only_mt = {"w_st": 0.0, "w_asr": 0.0, "w_cml": 0.0, "w_mt": 1.0, "alpha_mt": 0.0}
    language_model = LanguageModel(tiny_lm, dropout=0.0)
    model = ComSLModel(language_model, tokenizer, settings=Settings(**only_mt)).train()
    expected = counts.train_language_model(size.language, Clip(0, 40, 36))
    assert expected == pytest.approx(measure_flops(model, one), rel=0.03)


@torch.no_grad()
def test_flops_of_the_parts(size, tiny_lm):
    """Each by itself: of the sum, one could hide another's fault."""
    mbart = LanguageModel(tiny_lm).mbart
    width = size.language.width
    ids, states = torch.ones(1, 30, dtype=torch.long), torch.randn(1, 50, width)
    speech, samples = torch.randn(1, 64000), torch.tensor([64000])
    decoder = mbart.model.decoder
    parts = {
        "encode_speech": (200, lambda: whisper_encoder(0)(speech, samples)),
        "encode": (50, lambda: mbart.model.encoder(inputs_embeds=states)),
        "score": (50, lambda: mbart.lm_head(states)),
    }
    language = size.language
    for name, (length, run) in parts.items():
        with counted() as counter:
            run()
        whose = size.speech if name == "encode_speech" else language
        expected = getattr(counts, name)(whose, length)
        assert expected == pytest.approx(counter.get_total_flops(), rel=0.02), name
    with counted() as counter:
        decoder(input_ids=ids, encoder_hidden_states=states, use_cache=False)
    assert counts.decode(language, 30, 50) == pytest.approx(counter.get_total_flops(), rel=0.02)
    frames = Sequences(torch.randn(1, 200, 32), torch.tensor([200]))
    with counted() as counter:
        Adapter(32, width)(frames)
    assert counts.adapt(size, 200) == pytest.approx(counter.get_total_flops(), rel=0.02)


def count_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters(size, tiny_lm):
    speech = whisper_encoder(None).encoder
    assert counts.speech_encoder_parameters(SPEECH) == count_parameters(speech)
    language = LanguageModel(tiny_lm)
    assert counts.language_model_parameters(size.language) == count_parameters(language)
    adapter = Adapter(32, size.language.width)
    assert counts.adapter_parameters(size) == count_parameters(adapter)


@pytest.mark.parametrize(("name", "billions"), [("medium", 0.9), ("large", 1.3)])
def test_published_sizes(name, billions):
    """0.9 B and 1.3 B (docs/how-it-works.md), with true dimensions of Whisper and mBART-50."""
    size = SIZES[name]
    model = {"medium": "medium", "large": "large-v2"}[name]
    with torch.device("meta"):
        dims = {"n_mels": 80, "n_ctx": 1500, "n_state": size.speech.width, "n_head": 16}
        encoder = whisper.model.AudioEncoder(**dims, n_layer=size.speech.layers)
    assert model in whisper.available_models()
    assert counts.speech_encoder_parameters(size.speech) == count_parameters(encoder)
    whole = counts.speech_encoder_parameters(size.speech) + counts.adapter_parameters(size)
    whole += counts.language_model_parameters(size.language)
    assert round(whole / 1e9, 1) == billions
    # mBART-50 has 610,879,488 parameters with 250,054 tokens; two are added
    added = counts.language_model_parameters(size.language) - 2 * 1024
    assert added == 610_879_488


def saved_values(model: ComSLModel, batch: dict) -> int:
    """Numbers that autograd keeps from the passes of encoders and decoder, every piece of memory
    once; no parameter."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    pieces: dict[int, torch.Tensor] = {}

    def pack(tensor):
        if tensor.is_floating_point():
            pieces[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    x, y = (Sequences(batch[name], batch[f"{name}_lengths"]) for name in ("source", "target"))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        e_s = model.embed_speech(batch["speech"], batch["speech_lengths"], x.values[:, 0])
        branches, _ = model.build_branches(x, y, e_s, batch["utt_id"])
        groups = model.decode(branches, None)
    assert len(groups) == 3
    sizes = {
        key: tensor.untyped_storage().nbytes() // tensor.element_size()
        for key, tensor in pieces.items()
        if key not in parameters
    }
    return sum(sizes.values())


@pytest.mark.parametrize("trained_blocks", [0, 3])
def test_values_kept_for_the_backward_pass(size, tiny_lm, tokenizer, one, trained_blocks):
    model = build(size, tiny_lm, tokenizer, whisper_encoder(trained_blocks))
    speech = {"speech": 0.1 * torch.randn(1, 64000), "speech_lengths": torch.tensor([64000])}
    found = saved_values(model, one | speech)
    expected = counts.keep_joint(size, Clip(200, 40, 36), trained_blocks)
    assert expected == pytest.approx(found, rel=0.15)
