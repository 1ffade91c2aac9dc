"""A speech encoder: what comsl/encoders/base.py asks of one, for a network with random weights."""

import torch
from torch import Tensor, nn

from comsl.encoders.base import SpeechEncoder
from comsl.sequences import valid

STATE = 640  # samples a state


class StretchEncoder(SpeechEncoder):
    """Stretches of 40 ms of the waveform, projected, and a Transformer of three blocks."""

    frame_rate = 16000 / STATE
    window = 2.0
    shortest = STATE

    @classmethod
    def knows(cls, model: str) -> bool:
        return model == "stretches"

    @classmethod
    def published(cls) -> list[str]:
        return ["stretches"]

    @classmethod
    def published_width(cls, model: str) -> int | None:
        return 16

    def load(self, model: str, downloads: str, dims: dict | None) -> nn.Module:
        torch.manual_seed(0)
        encoder = nn.Module()
        encoder.project = nn.Linear(STATE, 16)
        blocks = (nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True) for _ in range(3))
        encoder.layers = nn.ModuleList(blocks)
        encoder.norm = nn.LayerNorm(16)
        return encoder

    def dims(self) -> dict:
        return {}

    def output_size(self) -> int:
        return 16

    def max_samples(self) -> int:
        return round(self.window * 16000)

    def count_states(self, samples: int) -> int:
        return samples // STATE

    def blocks(self) -> nn.ModuleList:
        return self.encoder.layers

    def output(self) -> nn.Module:
        return self.encoder.norm

    def drop_front_end(self) -> None:
        del self.encoder.project

    def front_end(self, speech: Tensor, samples: list[int]) -> Tensor:
        waves = [self.wave(row, n) for row, n in zip(speech, samples, strict=True)]
        pieces = [wave[: len(wave) // STATE * STATE].reshape(-1, STATE) for wave in waves]
        states = self.encoder.project(nn.utils.rnn.pad_sequence(pieces, batch_first=True))
        lengths = torch.tensor([len(piece) for piece in pieces])
        return states * valid(lengths, states.shape[1])[..., None]

    def run_block(self, block: nn.Module, states: Tensor, mask: Tensor | None) -> Tensor:
        return block(states, src_key_padding_mask=None if mask is None else ~mask)
