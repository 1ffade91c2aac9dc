"""w2v-BERT 2.0 (Seamless Communication et al. 2023): Conformer blocks over mel filter banks."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchaudio.compliance.kaldi import fbank

from comsl.corpora.samples import RATE
from comsl.encoders.huggingface import HuggingFaceEncoder
from comsl.errors import DataError

WINDOW, HOP, BINS = 400, 160, 80  # samples a frame, between frames; of the mel scale
STACKED = 2  # frames a state


class Wav2Vec2BertEncoder(HuggingFaceEncoder):
    """Features are as SeamlessM4T's feature extractor makes them: Kaldi's filter banks, with zero
    mean and unit variance per utterance and bin, two frames beside each other."""

    shortest = WINDOW + HOP
    model_types = ("wav2vec2-bert",)
    names = ["facebook/w2v-bert-2.0"]  # noqa: RUF012
    lora_targets = ("linear_q", "linear_v")
    attention = "eager"  # the only one with relative positions

    def check(self, config, model: str) -> None:
        if config.position_embeddings_type != "relative_key":
            kind = config.position_embeddings_type
            raise DataError(f"'{model}': its positions are '{kind}', not 'relative_key'")

    def count_states(self, samples: int) -> int:
        return ((samples - WINDOW) // HOP + 1) // STACKED

    def front_end(self, speech: Tensor, samples: list[int]) -> Tensor:
        with torch.no_grad(), torch.autocast(speech.device.type, enabled=False):
            waves = [self.wave(row, n) for row, n in zip(speech.float(), samples, strict=True)]
            rows = [filter_banks(wave) for wave in waves]
        states, real = self.project(pad_sequence(rows, batch_first=True), [len(r) for r in rows])
        return self.encoder.encoder.dropout(states) * real

    def drop_front_end(self) -> None:
        del self.encoder.feature_projection

    def run_block(self, block: nn.Module, states: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            return block(states)
        unseen = torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, -torch.inf)
        return block(states, attention_mask=unseen[:, None, None, :], conv_attention_mask=mask)


def filter_banks(wave: Tensor) -> Tensor:
    """A waveform (samples,) -> normalised features (T, STACKED * BINS)."""
    frames = fbank(
        2**15 * wave[None],  # Kaldi's samples are 16-bit integers
        num_mel_bins=BINS,
        sample_frequency=RATE,
        frame_length=1000 * WINDOW / RATE,
        frame_shift=1000 * HOP / RATE,
    )
    variance, mean = torch.var_mean(frames, dim=0, keepdim=True)
    frames = (frames - mean) / torch.sqrt(variance + 1e-7)
    return frames[: len(frames) // STACKED * STACKED].unflatten(0, (-1, STACKED)).flatten(1)
