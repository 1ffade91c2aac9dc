"""The composite model against plain, slow implementations of docs/how-it-works.md."""

import argparse

import pytest
import torch
from torch.nn import functional as F

from comsl.encoders.cached import CachedStates
from comsl.errors import DataError
from comsl.model.adapter import Adapter
from comsl.model.build import build_model
from comsl.model.composite import ComSLModel
from comsl.model.language_model import LanguageModel
from comsl.model.objectives.cml import choose_masked
from comsl.model.settings import Settings
from comsl.model.teacher import Teacher
from comsl.sequences import Sequences

ALL = {"w_st": 0.35, "w_asr": 0.35, "w_mt": 0.2, "w_cml": 0.1}
OFF = dict.fromkeys(ALL, 0.0)
OFF_BUT_MT = OFF | {"w_mt": 1.0}


def build(tiny_lm, tokenizer, **settings) -> ComSLModel:
    torch.manual_seed(1)
    language_model = LanguageModel(tiny_lm)
    teacher = LanguageModel(tiny_lm)
    for parameter in teacher.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    settings = Settings(**(ALL | settings))
    parts = CachedStates(16), Adapter(16, 32), Teacher(teacher, bf16=settings.bf16)
    return ComSLModel(language_model, tokenizer, *parts, settings).eval()


def configuration(tiny_lm, **settings) -> argparse.Namespace:
    """Of a model of text alone, as ESPnet hands it over."""
    parts = {"language_model": str(tiny_lm), "teacher": str(tiny_lm), "target_lang": "en"}
    nothing = {"language_model_conf": {}, "speech_encoder": None}
    nothing |= {f"{split}_data_path_and_name_and_type": [] for split in ("train", "valid")}
    return argparse.Namespace(**(parts | nothing | settings))


def single(batch: dict, row: int) -> dict:
    """The batch of one utterance alone, without padding."""
    one = {"utt_id": [batch["utt_id"][row]]}
    for name in ("speech", "source", "target"):
        n = batch[f"{name}_lengths"][row]
        one |= {name: batch[name][row : row + 1, :n], f"{name}_lengths": n[None]}
    return one


def plain_adapter(adapter, states):
    """Section 2's formulas, frame by frame, for one utterance (T, width)."""
    for layer in adapter.layers:
        h = states + 0.5 * layer.outer(F.relu(layer.inner(states)))
        h = F.layer_norm(h, h.shape[-1:], layer.norm.weight, layer.norm.bias)
        zero = torch.zeros_like(h[0])
        out = []
        for t in range(0, len(h), 2):
            window = [h[t - 1] if t else zero, h[t], h[t + 1] if t + 1 < len(h) else zero]
            doubled = layer.convolution.bias + sum(
                layer.convolution.weight[:, :, k] @ window[k] for k in range(3)
            )
            value, gate = doubled.chunk(2)
            out.append(value * torch.sigmoid(gate))
        states = torch.stack(out)
    return states


def plain_losses(model, one: dict) -> dict[str, torch.Tensor]:
    """Every objective of section 3 for one utterance, token by token."""
    lm, mbart = model.language_model, model.language_model.mbart
    teacher = model.teacher.language_model
    x, y, k = one["source"][0], one["target"][0], model.erm_layer

    def enc(e):
        out = mbart.model.encoder(inputs_embeds=e[None], output_hidden_states=True)
        return out.last_hidden_state, out.hidden_states[k][0]

    def log_p(language_model, tokens, memory):
        """Log-probabilities (L, V) with decoder input [</s>, code, y_1..y_N]."""
        inputs = torch.tensor([[2, *tokens[:-1].tolist()]])
        h = language_model.mbart.model.decoder(
            input_ids=inputs, encoder_hidden_states=memory
        ).last_hidden_state[0]
        mbart = language_model.mbart
        return F.log_softmax(mbart.lm_head(h) + mbart.final_logits_bias, -1)

    def ce(tokens, lp, positions=None):
        positions = range(1, len(tokens)) if positions is None else positions
        return -sum(lp[i, tokens[i]] for i in positions)

    def kd(p, q):
        return -sum((p[i].detach().exp() * q[i]).sum() for i in range(1, len(p)))

    e_s = torch.cat([lm.embed(x[:1]), plain_adapter(model.adapter, one["speech"][0])])
    h_s, k_s = enc(e_s)
    h_x, _ = enc(lm.embed(x))
    masked = choose_masked(Sequences(x[None], torch.tensor([len(x)])), 0.15, one["utt_id"])[0]
    h_mix, k_mix = enc(torch.cat([lm.embed(torch.where(masked, tokenizer_mask(model), x)), e_s]))
    h_mix_x, h_mix_s = h_mix[:, : len(x)], h_mix[:, len(x) :]

    p_mt, p_st = log_p(lm, y, h_x), log_p(lm, y, h_s)
    memory = teacher.mbart.model.encoder(inputs_embeds=teacher.embed(x)[None]).last_hidden_state
    p_teacher = log_p(teacher, y, memory)
    p_y = log_p(lm, y, h_mix_s)
    stm_x = ce(x, log_p(lm, x, h_mix_s))
    stm_y = 0.2 * ce(y, p_y) + 0.8 * kd(p_mt, p_y)
    mtp = ce(x, log_p(lm, x, h_mix_x), masked.nonzero()[:, 0].tolist())
    unit = [v / v.norm(dim=-1, keepdim=True) for v in (k_s[1:], k_mix[len(x) + 1 :])]
    differences = [a - b for a, b in zip(*unit, strict=True)]
    squared = model.settings.erm_squared
    erm = sum((d**2).sum() / len(d) if squared else d.norm() for d in differences)
    return {
        "asr": ce(x, log_p(lm, x, h_s)),
        "mt": 0.8 * ce(y, p_mt) + 0.2 * kd(p_teacher, p_mt),
        "st": 0.2 * ce(y, p_st) + 0.8 * kd(p_mt, p_st),
        "cml": (stm_x + stm_y + mtp) / 3 + 0.2 * erm,
    }


def tokenizer_mask(model):
    return torch.tensor(model.tokenizer.mask_id)


def gradients(model, loss) -> torch.Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat(
        [p.grad.flatten() if p.grad is not None else torch.zeros(p.numel())
         for p in model.parameters()]
    )  # fmt: skip


@pytest.mark.parametrize("objective", ["asr", "mt", "st", "cml", "cml, squared", "total"])
def test_objective_equals_its_formula(tiny_lm, tokenizer, batch, objective):
    """Value and gradient, on a padded batch; sums over tokens, mean over utterances."""
    name, _, squared = objective.partition(", ")
    weights = ALL if name == "total" else OFF | {f"w_{name}": 1.0}
    settings = weights | {"encoder_gradient_scale": 1.0, "erm_squared": bool(squared)}
    model = build(tiny_lm, tokenizer, **settings)
    loss, _stats, weight = model(**batch)
    plain = [plain_losses(model, single(batch, i)) for i in range(4)]
    expected = sum(weights[f"w_{name}"] * row[name] for row in plain for name in row) / 4
    assert weight == 4
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-4)
    ours, theirs = gradients(model, loss), gradients(model, expected)
    assert (ours - theirs).norm() < 1e-4 * theirs.norm()


def test_an_utterance_gives_the_same_loss_alone_and_in_a_batch(tiny_lm, tokenizer, batch):
    model = build(tiny_lm, tokenizer)
    together = model(**batch)[1]
    alone = [model(**single(batch, i))[1] for i in range(4)]
    for name in ("loss", "loss_st", "loss_asr", "loss_mt", "loss_cml", "erm"):
        mean = sum(stats[name] for stats in alone) / 4
        torch.testing.assert_close(together[name], mean, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("task", ["st", "asr", "mt"])
def test_an_utterance_gives_the_same_translation_alone_and_in_a_batch(
    tiny_lm, tokenizer, batch, task
):
    model = build(tiny_lm, tokenizer)

    def generate(part):
        x = Sequences(part["source"].clamp(min=0), part["source_lengths"])
        codes = part["source" if task == "asr" else "target"][:, 0]
        rows = model.generate(
            task, codes, x, part["speech"], part["speech_lengths"], beam_size=5, max_tokens=20
        )
        return [tokenizer.decode(row) for row in rows]

    assert generate(batch) == [generate(single(batch, i))[0] for i in range(4)]


def test_speech_first_reorders_the_concatenation_only(tiny_lm, tokenizer, batch):
    """With positions taken away, the order of the two parts must not matter."""
    losses = []
    for speech_first in (False, True):
        model = build(tiny_lm, tokenizer, speech_first=speech_first)
        model.language_model.mbart.model.encoder.embed_positions.weight.data.zero_()
        losses.append(model(**batch)[1]["loss_cml"])
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-5)


def test_gradient_scale_doubles_what_reaches_the_encoders(tiny_lm, tokenizer, batch):
    """Without the decoder's own part, the encoder's gradient is exactly twice as large."""
    grads = []
    for scale in (1.0, 2.0):
        settings = OFF | {"w_st": 1.0, "alpha_st": 0.0, "encoder_gradient_scale": scale}
        model = build(tiny_lm, tokenizer, **settings)
        model(**batch)[0].backward()
        grads.append(model.adapter.layers[0].inner.weight.grad.clone())
    torch.testing.assert_close(2 * grads[0], grads[1])


def test_an_objective_that_is_off_runs_no_branch(tiny_lm, tokenizer, batch):
    """And logs nothing."""

    def branches(**settings):
        model = build(tiny_lm, tokenizer, **(OFF | settings))
        assert model(**batch)[1].keys() == model.settings.statistics
        return {name[3:] for name in model(**batch)[1] if name[:3] == "ce_" and "token" not in name}

    assert branches(w_st=1.0, alpha_st=0.0) == {"st"}
    assert branches(w_st=1.0) == {"st", "mt"}
    assert branches(w_mt=1.0) == {"mt"}
    assert branches(w_asr=1.0) == {"asr"}
    assert branches(w_cml=1.0) == {"mt", "stm_x", "stm_y", "mtp"}
    assert branches(w_cml=1.0, alpha_st=0.0, w_ctc=0.1, w_mml=0.1) == {"stm_x", "stm_y", "mtp"}


def pick(batch: dict, rows: list[int]) -> dict:
    """Some utterances of a batch."""
    return {
        name: [value[row] for row in rows] if name == "utt_id" else value[rows]
        for name, value in batch.items()
    }


def test_without_a_transcript_speech_translation_alone_is_learnt(tiny_lm, tokenizer, batch):
    """Value and gradient: what the others give by themselves, and the cross-entropy of ST."""
    settings = {"w_ctc": 0.3, "w_const": 0.2, "w_waco": 0.2, "w_mml": 0.1}
    model = build(tiny_lm, tokenizer, **settings)
    mixed = {name: value[:] if name == "utt_id" else value.clone() for name, value in batch.items()}
    mixed["source"][1::2, 1] = tokenizer.eos_id
    mixed["source"][1::2, 2:] = -1
    mixed["source_lengths"][1::2] = 2
    loss, stats, _ = model(**mixed)
    ours = gradients(model, 4 * loss)
    alone, alone_stats, _ = model(**pick(mixed, [1, 3]))
    alone_gradients = gradients(model, 2 * alone)

    transcribed = model(**pick(batch, [0, 2]))[0]
    theirs = gradients(model, 2 * transcribed)
    # The weight of CTC is for its head: without a transcript the loss is 0.
    st_alone = OFF | {"w_st": ALL["w_st"], "alpha_st": 0.0, "w_ctc": 1e-9}
    other = build(tiny_lm, tokenizer, **st_alone)
    other.load_state_dict(model.state_dict())
    plain, plain_stats, _ = other(**pick(batch, [1, 3]))
    of_plain = gradients(other, 2 * plain)
    torch.testing.assert_close(4 * loss, 2 * transcribed + 2 * plain)
    assert (ours - theirs - of_plain).norm() < 1e-4 * ours.norm()
    torch.testing.assert_close(alone, plain)
    assert (alone_gradients - of_plain).norm() < 1e-4 * of_plain.norm()
    assert alone_stats.keys() == stats.keys()
    for name in ("ce_st", "ce_st_token"):
        torch.testing.assert_close(alone_stats[name], plain_stats[name])


def test_text_alone_needs_no_speech(tiny_lm, tokenizer, batch):
    only_mt = Settings(**(OFF_BUT_MT | {"alpha_mt": 0.0}))
    model = ComSLModel(LanguageModel(tiny_lm), tokenizer, settings=only_mt)
    texts = {name: value for name, value in batch.items() if not name.startswith("speech")}
    assert torch.isfinite(model(**texts)[0])
    with pytest.raises(DataError, match="speech_encoder"):
        ComSLModel(LanguageModel(tiny_lm), tokenizer, settings=Settings(w_mt=0.0))
    with pytest.raises(DataError, match="teacher"):
        ComSLModel(LanguageModel(tiny_lm), tokenizer, settings=Settings(**OFF_BUT_MT))


def test_text_pairs_train_mt_alone(tiny_lm, tokenizer, batch):
    """Beside speech: value and gradient of the cross-entropy, nothing else logged."""
    model = build(tiny_lm, tokenizer, w_text=0.3, w_ctc=0.1, encoder_gradient_scale=1.0)
    texts = {name: value for name, value in batch.items() if not name.startswith("speech")}
    loss, stats, _ = model(**texts)
    assert stats.keys() == {"loss", "loss_text", "ce_text", "ce_text_token"}
    only_ce = build(tiny_lm, tokenizer, **OFF_BUT_MT, alpha_mt=0.0, encoder_gradient_scale=1.0)
    only_ce.load_state_dict(model.state_dict(), strict=False)
    plain = only_ce(**texts)[0]
    torch.testing.assert_close(loss, 0.3 * plain)
    model.zero_grad()
    loss.backward()
    (0.3 * plain).backward()
    ours, theirs = (dict(m.language_model.named_parameters()) for m in (model, only_ce))
    for name, parameter in ours.items():
        torch.testing.assert_close(parameter.grad, theirs[name].grad)
    assert all(p.grad is None for p in model.adapter.parameters())
    assert {"loss_text", "ce_text"}.isdisjoint(model(**batch)[1])


def test_the_teacher_is_neither_saved_nor_trained(tiny_lm, tokenizer, batch):
    model = build(tiny_lm, tokenizer).train()
    teacher = model.teacher.language_model
    assert not teacher.training
    names = set(model.state_dict()) | {name for name, _ in model.named_parameters()}
    assert not [name for name in names if "teacher" in name]
    model(**batch)[0].backward()
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize(("alpha_mt", "loaded"), [(0.2, True), (0.0, False)])
def test_a_teacher_that_teaches_nothing_is_not_loaded(tiny_lm, alpha_mt, loaded):
    model = build_model(configuration(tiny_lm, model_conf=OFF_BUT_MT | {"alpha_mt": alpha_mt}))
    assert (model.teacher is not None) == loaded


@pytest.mark.parametrize(("sets", "whole"), [("train valid", False), ("train", True)])
def test_of_a_teacher_with_cached_states_the_head_is_kept(tiny_lm, sets, whole):
    cached = [("teacher/feats.scp", "teacher", "kaldi_ark")]
    data = {f"{name}_data_path_and_name_and_type": cached for name in sets.split()}
    model = build_model(configuration(tiny_lm, model_conf=OFF_BUT_MT, **data))
    assert (model.teacher.language_model is not None) == whole
    assert torch.equal(model.teacher.head.weight, LanguageModel(tiny_lm).head.weight)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"model_conf": {"w_slt": 1.0}}, "model_conf: no setting 'w_slt'"),
        ({"language_model_conf": {"drop": 0.1}}, "language_model_conf: no setting 'drop'"),
        (
            {"model_conf": {"erm_layer": 3}},
            "erm_layer: 3 is not one of the encoder's layers, 1 to 2",
        ),
        (
            {"model_conf": {"erm_layer": 0}},
            "erm_layer: 0 is not one of the encoder's layers, 1 to 2",
        ),
        ({"model_conf": {"mask_probability": 15}}, "mask_probability: 15 is not a share above 0"),
        ({"model_conf": {"w_mt": 0}}, "w_st, w_asr, w_mt and w_cml are all 0"),
        ({"model_conf": {"w_mt": 0, "w_const": 1}}, "w_st, w_asr, w_mt and w_cml are all 0"),
        ({"model_conf": {"w_cml": "1e-1"}}, "model_conf: w_cml is a number, not '1e-1'; to YAML"),
        ({"model_conf": {"bf16": 1}}, "model_conf: bf16 is true or false, not 1"),
        ({"model_conf": {"w_mt": None}}, "model_conf: w_mt is a number, not None"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(tiny_lm, settings, complaint):
    settings["model_conf"] = OFF_BUT_MT | settings.get("model_conf", {})
    with pytest.raises(DataError, match=complaint):
        build_model(configuration(tiny_lm, **settings))


def test_masks_spare_codes_ends_and_padding_and_reach_every_utterance():
    lengths = torch.tensor([3, 9, 30])
    source = Sequences(torch.ones(3, 30, dtype=torch.long), lengths)
    torch.manual_seed(0)
    counts = torch.zeros(3, 30)
    for _ in range(500):
        masked = choose_masked(source, 0.15)
        assert masked.any(1).all()
        counts += masked
    assert counts[:, 0].sum() == 0
    assert (counts > 0).sum() == 1 + 7 + 28
    assert counts[0, 1] == 500
    assert 0.13 < counts[2].sum() / (500 * 28) < 0.18
    by_id = choose_masked(source, 0.15, ["a", "b", "c"])
    row = Sequences(source.values[1:2, :9], lengths[1:2])
    assert torch.equal(by_id[1:2, :9], choose_masked(row, 0.15, ["b"]))
