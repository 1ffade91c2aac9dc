"""The adapter between the speech encoder and the language blocks (method.md, section 2)."""

import torch
from torch import nn

from comsl.sequences import Sequences


class Adapter(nn.Module):
    """Two layers, each a feed-forward module and a convolution of stride 2: DOWNSAMPLING in all.

    input_size: width of the speech states; output_size: width `d` of the language blocks.
    """

    def __init__(self, input_size: int, output_size: int, dropout: float = 0.1):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                AdapterLayer(input_size, output_size, dropout),
                AdapterLayer(output_size, output_size, dropout),
            ]
        )

    def forward(self, speech: Sequences) -> Sequences:
        """Speech states (B, T, input_size) -> (B, ceil(T / DOWNSAMPLING), output_size)."""
        for layer in self.layers:
            speech = layer(speech)
        return speech


class AdapterLayer(nn.Module):
    """`h = LN(h + 0.5 W2 relu(W1 h))`, then a convolution of kernel 3 and stride 2 with GLU."""

    def __init__(self, input_size: int, output_size: int, dropout: float):
        super().__init__()
        self.inner = nn.Linear(input_size, 4 * input_size)
        self.outer = nn.Linear(4 * input_size, input_size)
        self.norm = nn.LayerNorm(input_size)
        self.convolution = nn.Conv1d(input_size, 2 * output_size, 3, stride=2, padding=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, speech: Sequences) -> Sequences:
        """(B, T, input_size) -> (B, ceil(T / 2), output_size)."""
        h = speech.values
        h = self.norm(h + 0.5 * self.dropout(self.outer(torch.relu(self.inner(h)))))
        # A convolution sees its neighbours: padding must be zero, as beyond the last frame.
        h = h * speech.mask[:, :, None]
        h = nn.functional.glu(self.convolution(h.transpose(1, 2)), dim=1).transpose(1, 2)
        return Sequences(self.dropout(h), (speech.lengths + 1) // 2)
