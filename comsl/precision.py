"""Precision of decoding and caching: matrix products in bfloat16 where a GPU has them."""

import torch


def has_bf16(device: torch.device) -> bool:
    """Whether products in bfloat16 are to be had, and fast; a CPU computes as in training."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def autocast(device: torch.device | str) -> torch.autocast:
    """The context in which a model's outputs are computed on `device`."""
    device = torch.device(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device))
