"""Token cross-entropy and distillation: `CE` and `KD` of method.md, section 3."""

import torch
from torch.nn import functional as F


def cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, label_smoothing: float = 0.0
) -> torch.Tensor:
    """`CE(y | H)`, summed: logits (n, V) of the n scored tokens, labels (n,) -> scalar."""
    return F.cross_entropy(logits, labels, reduction="sum", label_smoothing=label_smoothing)


def distillation(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """`KD(p, q) = - sum_v p_v log q_v`, summed over tokens; no gradient reaches the teacher.

    Logits (n, V) of teacher `p` and student `q` -> scalar.
    """
    return -(teacher.detach().softmax(-1) * student.log_softmax(-1)).sum()
