"""CTC over the adapter output, and the alignment of tokens and frames that it gives."""

import torch
from torch.nn import functional as F
from torchaudio.functional import forced_align

from comsl.sequences import Sequences, has_transcript


def ctc(log_p: Sequences, x: Sequences, blank: int) -> torch.Tensor:
    """CTC loss (Graves et al. 2006) of the transcript's tokens, summed over utterances.

    log_p: log-probabilities (B, T', V) of frames; x: `[code, x_1..x_M, </s>]`, of which code and
    `</s>` are not spoken; blank: token id -> scalar. A transcript that needs more frames than
    there are counts 0, and so does one that is missing.
    """
    losses = F.ctc_loss(
        log_p.values.transpose(0, 1),
        x.values[:, 1:],
        log_p.lengths,
        x.lengths - 2,
        blank=blank,
        reduction="none",
        zero_infinity=True,
    )
    return losses[has_transcript(x)].sum()


@torch.no_grad()
def align(log_p: Sequences, x: Sequences, blank: int) -> torch.Tensor:
    """The token that each frame says on the likeliest CTC path, (B, T') int64: a position in `x`.

    Arguments as `ctc` takes them. A blank frame belongs to the token before it, those before the
    first token to the first. 0, the language code's place, is padding, and every frame of an
    utterance whose transcript needs more frames than there are.
    """
    alignment = torch.zeros_like(log_p.values[:, :, 0], dtype=torch.long)
    lengths = zip(log_p.lengths.tolist(), (x.lengths - 2).tolist(), strict=True)
    # forced_align takes one utterance at a time.
    for row, (frames, tokens) in enumerate(lengths):
        transcript = x.values[row : row + 1, 1 : tokens + 1]
        # CTC parts two equal tokens by a blank.
        if not 0 < tokens + int((transcript.diff() == 0).sum()) <= frames:
            continue
        labels, _ = forced_align(log_p.values[row : row + 1, :frames], transcript, blank=blank)
        changes = labels.diff(prepend=labels.new_full((1, 1), blank)) != 0
        alignment[row, :frames] = (changes & (labels != blank)).cumsum(1).clamp(min=1)
    return alignment


def number_words(x: Sequences, starts: torch.Tensor) -> torch.Tensor:
    """The word that each token of `x` (B, L), `[code, x_1..x_M, </s>]`, belongs to: (B, L) int64,
    counted from 1; 0 for code, `</s>` and padding.

    starts: (B, L) bool, tokens that begin a word; x_1 always does.
    """
    words = starts[:, 1:].cumsum(1).clamp(min=1) * Sequences(x.values[:, 1:], x.lengths - 2).mask
    return F.pad(words, (1, 0))
