"""Padded batches of vectors or tokens with their lengths, and the packing of two into one."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class Sequences:
    """A padded batch: values (B, L, ...), lengths (B,); what lies past a length is padding."""

    values: torch.Tensor
    lengths: torch.Tensor

    @classmethod
    def of(cls, rows: Iterable[np.ndarray | list], device: torch.device | str) -> "Sequences":
        """One batch of rows (L, ...), padded with zeros, on `device`."""
        tensors = [torch.from_numpy(np.asarray(row)) for row in rows]
        lengths = torch.tensor([len(row) for row in tensors])
        return cls(pad_sequence(tensors, batch_first=True).to(device), lengths.to(device))

    @property
    def mask(self) -> torch.Tensor:
        """(B, L) bool, True where the value is real."""
        return valid(self.lengths.to(self.values.device), self.values.size(1))


def valid(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """(B, size) bool, True before the end of each row, of lengths (B,)."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def has_transcript(x: Sequences) -> torch.Tensor:
    """(B,) bool: whether there are tokens between the code and the `</s>` of a source x (B, L)."""
    return x.lengths > 2


def stack(parts: list[Sequences]) -> Sequences:
    """One batch of all rows of `parts`, padded with zeros to the longest."""
    longest = max(part.values.size(1) for part in parts)
    rows = [
        F.pad(part.values, [0, 0] * (part.values.dim() - 2) + [0, longest - part.values.size(1)])
        for part in parts
    ]
    return Sequences(torch.cat(rows), torch.cat([part.lengths for part in parts]))


def concatenate(first: Sequences, second: Sequences) -> Sequences:
    """Row by row `[first | second | padding]`: none lies between the two (docs/how-it-works.md).

    first (B, L1, d), second (B, L2, d) -> (B, max(l1 + l2), d).
    """
    lengths = first.lengths + second.lengths
    positions = torch.arange(int(lengths.max()), device=first.values.device)[None, :]
    in_second = positions - first.lengths[:, None]
    index = torch.where(in_second < 0, positions, first.values.size(1) + in_second)
    both = torch.cat([first.values, second.values], dim=1)
    return Sequences(take(both, index.clamp(max=both.size(1) - 1)), lengths)


def split(mixed: torch.Tensor, first: torch.Tensor, second: torch.Tensor):
    """Undo `concatenate`: mixed (B, L, d) and the lengths of its two parts -> two Sequences."""
    parts = []
    for start, lengths in ((torch.zeros_like(first), first), (first, second)):
        positions = torch.arange(int(lengths.max()), device=mixed.device)[None, :]
        index = (positions + start[:, None]).clamp(max=mixed.size(1) - 1)
        parts.append(Sequences(take(mixed, index), lengths))
    return tuple(parts)


def take(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """values (B, L, d) at index (B, K) along L -> (B, K, d)."""
    return values.gather(1, index[:, :, None].expand(-1, -1, values.size(2)))
