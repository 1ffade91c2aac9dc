"""Modality matching, as in MAESTRO (Chen et al. 2022)."""

import torch

from comsl.sequences import Sequences, take


def modality_distance(speech: Sequences, text: Sequences, alignment: torch.Tensor) -> torch.Tensor:
    """Mean squared error over d between a frame and the embedding of the token that it says,
    summed over the aligned frames; gradient on both sides.

    speech (B, T', d): adapter output; text (B, L, d): embeddings, which alignment (B, T'), as of
    `align`, up-samples to the speech's length -> scalar. Silence stands for the token before it.
    """
    distance = (speech.values - take(text.values, alignment)).square().mean(-1)
    return (distance * (alignment > 0)).sum()
