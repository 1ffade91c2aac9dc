"""The table of representation losses, between a batch's speech and its transcripts."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from comsl.model.language_model import LanguageModel
from comsl.model.objectives.alignment import align, ctc, number_words
from comsl.model.objectives.contrast import sentence_contrast, word_contrast
from comsl.model.objectives.mml import modality_distance
from comsl.sequences import Sequences
from comsl.tokenizer import Tokenizer


@dataclass(frozen=True)
class RepresentationLoss:
    """loss: a batch's modalities -> a scalar, the sum over its utterances, for autograd; aligns:
    whether it reads the alignment, which is the CTC head's."""

    loss: Callable[["Modalities"], torch.Tensor]
    aligns: bool = False


class Modalities:
    """A batch as representation losses see it; what nobody reads is not computed.

    x (B, L): tokens `[code, x_1..x_M, </s>]`; speech (B, T', d): the adapter's output.
    """

    def __init__(
        self,
        x: Sequences,
        speech: Sequences,
        language_model: LanguageModel,
        tokenizer: Tokenizer,
        ctc_head: nn.Linear | None,
    ):
        self.x, self.speech = x, speech
        self.language_model, self.tokenizer = language_model, tokenizer
        self.ctc_head = ctc_head
        self.blank = tokenizer.pad_id

    @cached_property
    def text(self) -> Sequences:
        """Scaled embeddings of `x`, (B, L, d)."""
        return Sequences(self.language_model.embed(self.x.values), self.x.lengths)

    @cached_property
    def log_p(self) -> Sequences:
        """Log-probabilities (B, T', V) of the CTC head."""
        logits = self.ctc_head(self.speech.values)
        return Sequences(logits.log_softmax(-1, dtype=torch.float32), self.speech.lengths)

    @cached_property
    def alignment(self) -> torch.Tensor:
        """The token that each frame says, (B, T') int64: see `align`."""
        return align(self.log_p, self.x, self.blank)

    @cached_property
    def words(self) -> torch.Tensor:
        """The word of each token, (B, L) int64: see `number_words`."""
        starts = [self.tokenizer.word_starts(row) for row in self.x.values.tolist()]
        return number_words(self.x, torch.tensor(starts, device=self.x.values.device))


# Objective -> its loss (docs/how-it-works.md); `w_<objective>` in model_conf is its weight.
REPRESENTATION_LOSSES = {
    "ctc": RepresentationLoss(lambda m: ctc(m.log_p, m.x, m.blank)),
    "const": RepresentationLoss(lambda m: sentence_contrast(m.speech, m.text, m.x)),
    "waco": RepresentationLoss(
        lambda m: word_contrast(m.speech, m.text, m.x, m.alignment, m.words), aligns=True
    ),
    "mml": RepresentationLoss(
        lambda m: modality_distance(m.speech, m.text, m.alignment), aligns=True
    ),
}
