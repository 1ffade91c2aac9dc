"""Texts that go round in circles, as decoders write them of what they don't understand."""

import torch

COPIES = 4  # in a row: people say a thing twice, and thrice
TOKENS = 12  # and at least so many in all, or telephone numbers would be circles
LONGEST = 24  # tokens of what is repeated


def goes_round(tokens: torch.Tensor) -> torch.Tensor:
    """Which rows of tokens (B, L) end in COPIES or more of the same; (B,) bool."""
    found = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for period in range(1, LONGEST + 1):
        length = max(COPIES, -(-TOKENS // period)) * period
        if length <= tokens.size(1):
            tail = tokens[:, -length:]
            found |= (tail[:, period:] == tail[:, :-period]).all(dim=1)
    return found
