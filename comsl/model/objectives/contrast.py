"""Contrastive losses between speech and text: ConST by sentence, WACO by word."""

import torch
from torch import distributed
from torch.distributed._functional_collectives import all_gather_single
from torch.nn import functional as F

from comsl.sequences import Sequences, has_transcript


def sentence_contrast(speech: Sequences, text: Sequences, x: Sequences) -> torch.Tensor:
    """ConST (Ye et al. 2022): mean frame against mean token of the same utterance.

    speech (B, T', d): adapter output; text (B, L, d): embeddings of the tokens x (B, L),
    `[code, x_1..x_M, </s>]`, of which x_1..x_M count -> sum over the utterances with a transcript,
    temperature 0.02.
    """
    tokens = Sequences(text.values[:, 1:], text.lengths - 2)
    transcribed = has_transcript(x)
    anchors, keys = (
        _means(part.values, part.mask[:, None])[transcribed, 0] for part in (speech, tokens)
    )
    texts = _texts(x.values[:, 1:], tokens.mask[:, None])[transcribed, 0]
    return info_nce(anchors, keys, texts, temperature=0.02)


def word_contrast(
    speech: Sequences, text: Sequences, x: Sequences, alignment: torch.Tensor, words: torch.Tensor
) -> torch.Tensor:
    """WACO (Ouyang et al. 2023): mean frame of a word against its mean token.

    speech (B, T', d): adapter output; text (B, L, d): embeddings of the tokens x (B, L); alignment
    (B, T'): the token of a frame, of `align`; words (B, L): the word of a token, of `number_words`
    -> sum over the words of the utterances that are aligned, temperature 0.2.
    """
    numbers = torch.arange(1, int(words.max()) + 1, device=words.device)[:, None]
    frames_of = words.gather(1, alignment)[:, None] == numbers
    tokens_of = words[:, None] == numbers
    spoken = frames_of.any(-1)
    anchors, keys = (
        _means(part.values, members)[spoken]
        for part, members in ((speech, frames_of), (text, tokens_of))
    )
    return info_nce(anchors, keys, _texts(x.values, tokens_of)[spoken], temperature=0.2)


def _means(values: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
    """Means of values (B, L, d) over W groups of positions, members (B, W, L) bool: (B, W, d)."""
    members = members.to(values.dtype)
    return members @ values / members.sum(-1, keepdim=True).clamp(min=1)


def _texts(tokens: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
    """A number for what W groups of tokens (B, L) say, members (B, W, L) bool: (B, W) int64, equal
    where the tokens are, in any process."""
    rows = zip(tokens.cpu(), members.cpu(), strict=True)
    numbers = [[hash(tuple(row[group].tolist())) for group in groups] for row, groups in rows]
    return torch.tensor(numbers, dtype=torch.int64, device=tokens.device)  # there may be none


def info_nce(
    anchors: torch.Tensor, keys: torch.Tensor, texts: torch.Tensor, temperature: float
) -> torch.Tensor:
    """`- sum_i log softmax_j(cos(anchor_i, key_j) / temperature)` at `j = i`.

    Anchors (n, d) are speech, keys (n, d) text, in that direction only, as both papers have it:
    speech looks for its text among all texts of the batch, those of other processes included, but
    for keys that say the same: texts (n,) has a number for what each key says. Gradients reach
    both sides (WACO's published code stops them at the text).

    Across processes each sums over its own anchors. ESPnet divides by the number of utterances of
    all processes and undoes DistributedDataParallel's averaging, the same factor everywhere; and
    a key's gradient, summed over the processes that used it, goes back to the process that made
    it. So value and gradient are those of one process with the whole batch.
    """
    # 1 / temperature magnifies rounding: no half precision here.
    with torch.autocast(anchors.device.type, enabled=False):
        all_keys, first = _gather(F.normalize(keys.float(), dim=-1))
        similarity = F.normalize(anchors.float(), dim=-1) @ all_keys.T
        own = torch.arange(first, first + len(keys), device=keys.device)
        same = texts[:, None] == _gather(texts[:, None])[0].T
        same.scatter_(1, own[:, None], False)
        similarity = similarity.masked_fill(same, -torch.inf)
        return F.cross_entropy(similarity / temperature, own, reduction="sum")


def _gather(rows: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Rows (n, d) of all processes, each with its own n, and where this process's begin.

    Every process must call it, whatever its n.
    """
    if not distributed.is_initialized():
        return rows, 0
    group = distributed.group.WORLD
    counts = all_gather_single(torch.tensor([len(rows)], device=rows.device), 0, group).tolist()
    longest = max(1, *counts)
    padded = F.pad(rows, (0, 0, 0, longest - len(rows)))
    parts = all_gather_single(padded, 0, group).split(longest)
    every = torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])
    return every, sum(counts[: distributed.get_rank()])
