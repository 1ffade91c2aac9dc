"""Cross-modality learning: token masking, and encoder representation matching (ERM)."""

import hashlib

import torch
from torch.nn import functional as F

from comsl.sequences import Sequences


def choose_masked(
    source: Sequences, probability: float, utt_ids: list[str] | None = None
) -> torch.Tensor:
    """Which source tokens to mask, (B, M + 2) bool: each with `probability`, but in every row at
    least one; never the code, `</s>` or padding (docs/how-it-works.md).

    utt_ids: the choice depends on them alone, as in validation; without them it is random.
    """
    maskable = source.mask.clone()
    maskable[:, 0] = False
    maskable[torch.arange(len(maskable)), source.lengths - 1] = False
    draws = torch.rand(maskable.shape)
    if utt_ids is not None:
        for row, (utt_id, length) in enumerate(zip(utt_ids, source.lengths.tolist(), strict=True)):
            draws[row, :length] = _draws(utt_id, length)
    draws = draws.to(maskable.device).masked_fill(~maskable, 2.0)
    smallest = F.one_hot(draws.argmin(1), draws.size(1)).bool()
    return ((draws < probability) | smallest) & maskable


def _draws(utt_id: str, size: int) -> torch.Tensor:
    """Uniform numbers (size,) that depend on the utterance id alone."""
    seed = int.from_bytes(hashlib.sha256(utt_id.encode()).digest()[:7], "big")
    return torch.rand(size, generator=torch.Generator().manual_seed(seed))


def matched_layer(layers: int) -> int:
    """Of the language encoder's `layers`, the one whose states ERM compares, unless told."""
    return round(layers / 3)


def representation_distance(
    speech: torch.Tensor, mixed: torch.Tensor, mask: torch.Tensor, squared: bool = False
) -> torch.Tensor:
    """ERM: distance of L2-normalised states, summed over valid frames; gradient on both sides.

    speech, mixed (B, T, d), mask (B, T) -> scalar. The L2 norm of the difference as published
    code has it; `squared`: the mean squared error of the paper's text.
    """
    difference = F.normalize(speech, dim=-1)[mask] - F.normalize(mixed, dim=-1)[mask]
    return difference.square().mean(-1).sum() if squared else difference.norm(dim=-1).sum()
