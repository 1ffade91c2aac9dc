"""The adapter between the speech encoder and the language blocks (docs/how-it-works.md)."""

import torch
from torch import nn

from comsl.dimensions import ADAPTER_RATE, downsampling
from comsl.errors import DataError
from comsl.sequences import Sequences


class Adapter(nn.Module):
    """Two layers, each a feed-forward module and a convolution of stride 2; of slower speech states
    some don't halve them, of faster ones there are more.

    input_size: width of the speech states; output_size: width `d` of the language blocks;
    frame_rate: speech states a second. DataError: no layers of stride 2 fit it.
    """

    def __init__(
        self, input_size: int, output_size: int, frame_rate: float = 50.0, dropout: float = 0.1
    ):
        super().__init__()
        if frame_rate / ADAPTER_RATE not in (1, 2, 4, 8, 16):
            raise DataError(
                f"a speech encoder of {frame_rate:g} states a second: the adapter halves them, to"
                f" {ADAPTER_RATE:g}"
            )
        self.downsampling = downsampling(frame_rate)
        halvings = self.downsampling.bit_length() - 1
        sizes = [input_size, *[output_size] * max(1, halvings - 1)]
        self.layers = nn.ModuleList(
            AdapterLayer(size, output_size, dropout, stride=2 if number < halvings else 1)
            for number, size in enumerate(sizes)
        )

    def forward(self, speech: Sequences) -> Sequences:
        """Speech states (B, T, input_size) -> (B, ceil(T / downsampling), output_size)."""
        for layer in self.layers:
            speech = layer(speech)
        return speech


class AdapterLayer(nn.Module):
    """`h = LN(h + 0.5 W2 relu(W1 h))`, then a convolution of kernel 3 with GLU."""

    def __init__(self, input_size: int, output_size: int, dropout: float, stride: int):
        super().__init__()
        self.inner = nn.Linear(input_size, 4 * input_size)
        self.outer = nn.Linear(4 * input_size, input_size)
        self.norm = nn.LayerNorm(input_size)
        self.convolution = nn.Conv1d(input_size, 2 * output_size, 3, stride=stride, padding=1)
        self.stride = stride
        self.dropout = nn.Dropout(dropout)

    def forward(self, speech: Sequences) -> Sequences:
        """(B, T, input_size) -> (B, ceil(T / stride), output_size)."""
        h = speech.values
        h = self.norm(h + 0.5 * self.dropout(self.outer(torch.relu(self.inner(h)))))
        # A convolution sees its neighbours: padding must be zero, as beyond the last frame.
        h = h * speech.mask[:, :, None]
        h = nn.functional.glu(self.convolution(h.transpose(1, 2)), dim=1).transpose(1, 2)
        return Sequences(self.dropout(h), -(-speech.lengths // self.stride))
