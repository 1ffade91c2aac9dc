"""wav2vec 2.0 (Baevski et al. 2020), XLS-R and HuBERT, which have one architecture."""

from math import prod

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from comsl.encoders.huggingface import HuggingFaceEncoder
from comsl.errors import DataError


class Wav2Vec2Encoder(HuggingFaceEncoder):
    """Convolutions over the waveform, a convolution in place of positions, Transformer blocks.

    The waveform goes through the convolutions utterance by utterance: the base models' group norm
    is over all of a row. It has zero mean and unit variance, as their feature extractors make it.
    """

    shortest = 400  # samples that the first state is made of
    model_types = ("wav2vec2", "hubert")
    names = [  # noqa: RUF012
        "facebook/wav2vec2-base",
        "facebook/wav2vec2-xls-r-300m",
        "facebook/hubert-large-ll60k",
    ]
    lora_targets = ("q_proj", "v_proj")
    attention = "sdpa"

    def check(self, config, model: str) -> None:
        if prod(config.conv_stride) != 320:
            raise DataError(f"'{model}': {prod(config.conv_stride)} samples a state, not 320")

    def count_states(self, samples: int) -> int:
        config = self.encoder.config
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples

    def front_end(self, speech: Tensor, samples: list[int]) -> Tensor:
        network, encoder = self.encoder, self.encoder.encoder
        waves = [self.wave(row, n) for row, n in zip(speech, samples, strict=True)]
        rows = [network.feature_extractor(_normalised(wave)[None])[0].T for wave in waves]
        states, real = self.project(pad_sequence(rows, batch_first=True), [len(r) for r in rows])
        states = states + encoder.pos_conv_embed(states)
        if not network.config.do_stable_layer_norm:
            states = encoder.layer_norm(states)
        return encoder.dropout(states) * real

    def drop_front_end(self) -> None:
        del self.encoder.feature_extractor, self.encoder.feature_projection
        del self.encoder.encoder.pos_conv_embed
        if not self.encoder.config.do_stable_layer_norm:
            del self.encoder.encoder.layer_norm

    def run_block(self, block: nn.Module, states: Tensor, mask: Tensor | None) -> Tensor:
        return block(states, attention_mask=None if mask is None else mask[:, None, None, :])

    def output(self) -> nn.Module:
        stable = self.encoder.config.do_stable_layer_norm
        return self.encoder.encoder.layer_norm if stable else nn.Identity()


def _normalised(wave: Tensor) -> Tensor:
    return (wave - wave.mean()) / torch.sqrt(wave.var(correction=0) + 1e-7)
