"""A loss that draws the mean frame of an utterance to the mean of its tokens."""

import torch
from torch.nn import functional as F

from comsl.sequences import Sequences, has_transcript


def mean_distance(speech: Sequences, text: Sequences, x: Sequences) -> torch.Tensor:
    """`1 - cos(mean frame, mean token)`, summed over the utterances with a transcript.

    speech (B, T', d): the adapter's output; text (B, L, d): embeddings of the tokens x (B, L).
    """
    means = [
        (part.values * part.mask[:, :, None]).sum(1) / part.lengths[:, None]
        for part in (speech, text)
    ]
    return (1 - F.cosine_similarity(*means))[has_transcript(x)].sum()
