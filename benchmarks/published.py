"""A training step as the authors' code computes it, in plain PyTorch: the baseline of train_step.

Every clip is padded to the same length; there are no masks; the frozen encoder and the frozen
teacher run again in every step; text and speech are concatenated with their padding in between; the
decoder is called once for each branch (one of the seven is not used), and all logits are held.
Where an utterance has no padding, the losses are ours.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from whisper.audio import log_mel_spectrogram

from comsl.model.composite import ComSLModel
from comsl.model.objectives.cml import choose_masked
from comsl.sequences import Sequences


def published_loss(
    model: ComSLModel, speech: Tensor, source: Tensor, target: Tensor, utt_id: list[str] | None
) -> Tensor:
    """The loss of a batch with the parts and weights of `model`, whose encoder is Whisper's.

    speech: waveforms (B, samples), all of one length; source, target: `[code, tokens, </s>]`,
    padded with -1; utt_id: in evaluation mode the masks depend on it alone.
    """
    settings = model.settings
    x, y = source.clamp(min=0), target.clamp(min=0)
    masked = choose_masked(Sequences(x, (source >= 0).sum(1)), settings.mask_probability, utt_id)
    embed = model.language_model.embed
    e_s = torch.cat([embed(x[:, :1]), _adapt(model, _encode_speech(model, speech))], dim=1)
    e_x_masked = embed(x.masked_fill(masked, model.tokenizer.mask_id))
    h_s, k_s = _encode(model, e_s)
    h_x, _ = _encode(model, embed(x))
    h_mix, k_mix = _encode(model, torch.cat([e_x_masked, e_s], dim=1))
    _scale(h_s, settings.encoder_gradient_scale)
    _scale(h_x, settings.encoder_gradient_scale)
    h_mix_x, h_mix_s = h_mix[:, : x.size(1)], h_mix[:, x.size(1) :]

    lm = model.language_model
    mt, st, asr = _logits(lm, y, h_x), _logits(lm, y, h_s), _logits(lm, x, h_s)
    stm_x, stm_y = _logits(lm, x, h_mix_s), _logits(lm, y, h_mix_s)
    mtp, _unused = _logits(lm, x, h_mix_x), _logits(lm, y, h_mix_x)
    with torch.no_grad():
        teacher = model.teacher.language_model
        memory = teacher.mbart.model.encoder(inputs_embeds=teacher.embed(x)).last_hidden_state
        taught = _logits(teacher, y, memory)

    def mix(alpha, teacher_logits, logits):
        return (1 - alpha) * _ce(logits, target) + alpha * _kd(teacher_logits, logits, target)

    units = [F.normalize(k, dim=-1) for k in (k_s[:, 1:], k_mix[:, x.size(1) + 1 :])]
    erm = (units[0] - units[1]).norm(dim=-1).sum()
    stm = _ce(stm_x, source) + mix(settings.alpha_st, mt, stm_y)
    cml = (stm + _ce(mtp, source.masked_fill(~masked, -1))) / 3 + settings.w_erm * erm
    losses = {
        "asr": _ce(asr, source),
        "mt": mix(settings.alpha_mt, taught, mt),
        "st": mix(settings.alpha_st, mt, st),
        "cml": cml,
    }
    return sum(settings.weights[name] * loss for name, loss in losses.items()) / len(source)


def _encode_speech(model: ComSLModel, speech: Tensor) -> Tensor:
    """Whisper's encoder at the clips' padded length, without a mask."""
    encoder = model.speech_encoder.encoder
    mel = log_mel_spectrogram(speech, encoder.conv1.in_channels)
    states = F.gelu(encoder.conv2(F.gelu(encoder.conv1(mel)))).permute(0, 2, 1)
    states = states + encoder.positional_embedding[: states.size(1)]
    for block in encoder.blocks:
        states = block(states)
    return encoder.ln_post(states)


def _adapt(model: ComSLModel, states: Tensor) -> Tensor:
    everything = torch.full((len(states),), states.size(1))
    return model.adapter(Sequences(states, everything)).values


def _encode(model: ComSLModel, embedded: Tensor) -> tuple[Tensor, Tensor]:
    output = model.language_model.mbart.model.encoder(
        inputs_embeds=embedded, output_hidden_states=True
    )
    return output.last_hidden_state, output.hidden_states[model.erm_layer]


def _scale(states: Tensor, factor: float) -> None:
    if states.requires_grad:
        states.register_hook(lambda gradient: gradient * factor)


def _logits(language_model, tokens: Tensor, memory: Tensor) -> Tensor:
    """A call of the decoder and the LM head, (B, L, V)."""
    start = torch.full_like(tokens[:, :1], language_model.config.eos_token_id)
    decoder = language_model.mbart.model.decoder
    inputs = torch.cat([start, tokens[:, :-1]], dim=1)
    states = decoder(input_ids=inputs, encoder_hidden_states=memory, use_cache=False)
    mbart = language_model.mbart
    return mbart.lm_head(states.last_hidden_state) + mbart.final_logits_bias


def _ce(logits: Tensor, labels: Tensor) -> Tensor:
    labels = labels[:, 1:]  # the language code is not scored
    return F.cross_entropy(logits[:, 1:].transpose(1, 2), labels, ignore_index=-1, reduction="sum")


def _kd(teacher: Tensor, student: Tensor, labels: Tensor) -> Tensor:
    products = teacher[:, 1:].detach().softmax(-1) * student[:, 1:].log_softmax(-1)
    return -(products.sum(-1) * (labels[:, 1:] >= 0)).sum()
