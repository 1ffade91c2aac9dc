"""Precision of decoding and caching: matrix products in bfloat16 where a GPU has them, and in what
is asked for."""

import warnings

import torch
from torch import nn


def has_bf16(device: torch.device) -> bool:
    """Whether products in bfloat16 are to be had, and fast; a CPU computes as in training."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def autocast(device: torch.device | str, dtype: str | None = None) -> torch.autocast:
    """The context in which a model's outputs are computed on `device`; dtype: one of DTYPES, None:
    bfloat16 where `has_bf16`."""
    device = torch.device(device)
    enabled = dtype == "bfloat16" if dtype else has_bf16(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def to_int8(model: nn.Module) -> None:
    """The model's linear layers compute in int8 from now on, on a CPU and without gradients:
    weights with a scale a row, what they are multiplied with rounded as it comes (PyTorch's
    dynamic quantisation)."""
    from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

    for module in model.modules():
        if isinstance(module, nn.Linear):  # Whisper's and the LM head are of classes of their own
            module.__class__ = nn.Linear
    with warnings.catch_warnings():  # it is to move to torchao, which has no fast way on a CPU yet
        warnings.simplefilter("ignore")
        quantize_dynamic(model, {nn.Linear: per_channel_dynamic_qconfig}, inplace=True)
