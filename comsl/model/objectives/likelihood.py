"""Token cross-entropy and distillation, `CE` and `KD` of method.md, section 3, from decoder states.

Logits over a large vocabulary are the largest tensors of a training step. Here they exist for a few
tokens at a time: the loss is linear in its terms, so that gradients can be formed on the spot, and
no logits are kept, or formed again, for the backward pass.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from comsl.model.language_model import Head

ROWS = 128  # decoder states whose logits exist at a time


@dataclass(frozen=True)
class Group:
    """Branches that score the same n tokens. Where they learn by distillation, the frozen teacher
    teaches the first of them, and the first teaches the others.

    states: decoder states (n, d) by branch; labels (n,); teacher: its states (n, d) and head.
    """

    states: dict[str, Tensor]
    labels: Tensor
    teacher: tuple[Tensor, Head] | None = None


def likelihood(
    groups: list[Group], head: Head, slopes: dict[str, Tensor], label_smoothing: float = 0.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum of all terms, each times its slope, with gradient; and the terms, without.

    Terms are scalars, sums over tokens: `ce_<branch>`, `CE = - sum_i log q_i(y_i)`, of each branch;
    `kd_<branch>`, `KD = - sum_i sum_v p_i(v) log q_i(v)`, where its slope isn't 0. No gradient
    reaches a teacher through what it teaches.
    """
    states = {name: state for group in groups for name, state in group.states.items()}
    slopes = {name: float(slopes[name]) for name in _term_names(states)}
    total, values = _Likelihood.apply(
        groups, head, slopes, label_smoothing, head.weight, *states.values()
    )
    return total, {k: v for k, v in zip(slopes, values, strict=True) if k[:2] == "ce" or slopes[k]}


def _term_names(branches) -> list[str]:
    return [f"{term}_{branch}" for branch in branches for term in ("ce", "kd")]


class _Likelihood(torch.autograd.Function):
    """`likelihood` for autograd: it forms the gradients in the forward pass."""

    @staticmethod
    def forward(ctx, groups, head, slopes, label_smoothing, weight, *states):
        gradients = {}
        if any(ctx.needs_input_grad):
            names = [name for group in groups for name in group.states]
            gradients = {name: torch.zeros_like(s) for name, s in zip(names, states, strict=True)}
        weight_gradient = torch.zeros_like(weight) if gradients else None
        values = {name: weight.new_zeros((), dtype=torch.float32) for name in slopes}
        for group, rows in _chunks(groups):
            labels, first = group.labels[rows], None
            for name, state in group.states.items():
                ce_slope, kd_slope = (slopes[term] for term in _term_names([name]))
                log_q = head.log_softmax(state[rows])
                p = None
                if kd_slope:
                    p = _teach(group, rows) if first is None else first.exp()
                ce, kd = _terms(log_q, labels, p, label_smoothing)
                values[f"ce_{name}"] += ce
                values[f"kd_{name}"] += kd
                if gradients:
                    g = log_q.exp() if first is None else log_q.exp_()
                    _to_logit_gradient(g, labels, p, ce_slope, kd_slope, label_smoothing)
                    g = g.to(weight.dtype)
                    gradients[name][rows] = g @ weight
                    weight_gradient.addmm_(g.T, state[rows].to(weight.dtype))
                    del g
                first = log_q if first is None else first
                del log_q, p  # before the next logits
        ctx.gradients = [weight_gradient, *gradients.values()]
        total = sum(slopes[name] * value for name, value in values.items())
        values = torch.stack(list(values.values()))
        ctx.mark_non_differentiable(values)
        return total, values

    @staticmethod
    def backward(ctx, upstream, _):
        if ctx.gradients is None:
            raise RuntimeError("the gradients of `likelihood` are there for one backward pass")
        gradients, ctx.gradients = ctx.gradients, None  # in place: the head's is too large to copy
        return None, None, None, None, *(g.mul_(upstream) for g in gradients)


def _chunks(groups: list[Group]):
    """Every group with one slice after the other of its tokens."""
    for group in groups:
        for start in range(0, len(group.labels), ROWS):
            yield group, slice(start, start + ROWS)


def _teach(group: Group, rows: slice) -> Tensor:
    states, head = group.teacher
    return head.log_softmax(states[rows]).exp_()


def _terms(log_q, labels, p, label_smoothing) -> tuple[Tensor, Tensor | float]:
    """CE and KD of log-probabilities (c, V), given labels (c,) and the teacher's p (c, V)."""
    ce = F.nll_loss(log_q, labels, reduction="sum")
    if label_smoothing:
        ce = (1 - label_smoothing) * ce - label_smoothing * log_q.mean(-1).sum()
    return ce, 0.0 if p is None else -torch.vdot(p.flatten(), log_q.flatten())


def _to_logit_gradient(q, labels, p, ce_slope, kd_slope, label_smoothing) -> None:
    """Turn probabilities (c, V) into the gradient of `ce_slope CE + kd_slope KD`: themselves less
    what they should be."""
    q.mul_(ce_slope + kd_slope)
    q.sub_(ce_slope * label_smoothing / q.size(1))
    q[torch.arange(len(labels)), labels] -= ce_slope * (1 - label_smoothing)
    if p is not None:
        q.sub_(p, alpha=kd_slope)
