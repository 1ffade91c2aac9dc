"""Token cross-entropy and distillation, `CE` and `KD` of docs/how-it-works.md, from decoder states.

Logits over a large vocabulary are the largest tensors of a training step. Here they exist for a few
tokens at a time: the loss is linear in its terms, so that gradients can be formed on the spot, and
no logits are kept, or formed again, for the backward pass.
"""

from collections.abc import Mapping
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
    groups: list[Group],
    head: Head,
    coefficients: Mapping[str, float],
    label_smoothing: float = 0.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum of all terms, each times its coefficient (0 without one), with gradient where
    autograd wants one; and the terms, without.

    Terms are scalars, sums over tokens: `ce_<branch>`, `CE = - sum_i log q_i(y_i)`, of each branch;
    `kd_<branch>`, `KD = - sum_i sum_v p_i(v) log q_i(v)`, where it has a coefficient. No gradient
    reaches a teacher through what it teaches.
    """
    states = [state for group in groups for state in group.states.values()]
    inputs = (head.weight, *states)
    wanted = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    total, terms, gradients = _evaluate(groups, head, coefficients, label_smoothing, wanted)
    return (_WithGradients.apply(total, gradients, *inputs) if wanted else total), terms


@torch.no_grad()
def _evaluate(
    groups: list[Group],
    head: Head,
    coefficients: Mapping[str, float],
    label_smoothing: float,
    wanted: bool,
) -> tuple[Tensor, dict[str, Tensor], list[Tensor | None]]:
    """Sum, terms, and, where `wanted`, the sum's gradients: of the head's weight, and of the states
    of every branch, None where its terms have no coefficient."""
    weight = head.weight
    terms, gradients = {}, {}
    for name, state in ((n, s) for group in groups for n, s in group.states.items()):
        ce, kd = _coefficients(coefficients, name)
        terms[f"ce_{name}"] = weight.new_zeros((), dtype=torch.float32)
        if kd:
            terms[f"kd_{name}"] = torch.zeros_like(terms[f"ce_{name}"])
        if wanted and (ce or kd):
            gradients[name] = torch.zeros_like(state)
    weight_gradient = torch.zeros_like(weight) if wanted and weight.requires_grad else None
    for group, rows in _chunks(groups):
        labels, first = group.labels[rows], None
        for name, state in group.states.items():
            ce, kd = _coefficients(coefficients, name)
            log_q = head.log_softmax(state[rows])
            terms[f"ce_{name}"] += _cross_entropy(log_q, labels, label_smoothing)
            p = None
            if kd:
                p = _teach(group, rows) if first is None else first.exp()
                terms[f"kd_{name}"] -= torch.vdot(p.flatten(), log_q.flatten())
            if name in gradients:
                g = log_q.exp() if first is None else log_q.exp_()
                _to_logit_gradient(g, labels, p, ce, kd, label_smoothing)
                g = g.to(weight.dtype)
                gradients[name][rows] = g @ weight
                if weight_gradient is not None:
                    weight_gradient.addmm_(g.T, state[rows].to(weight.dtype))
                del g
            first = log_q if first is None else first
            del log_q, p  # before the next logits
    total = sum(coefficients.get(name, 0.0) * value for name, value in terms.items())
    names = [name for group in groups for name in group.states]
    return total, terms, [weight_gradient, *map(gradients.get, names)]


class _WithGradients(torch.autograd.Function):
    """A value whose gradients are known already, for autograd."""

    @staticmethod
    def forward(ctx, value, gradients, *inputs):
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx, upstream):
        if ctx.gradients is None:
            raise RuntimeError("the gradients of `likelihood` are there for one backward pass")
        gradients, ctx.gradients = ctx.gradients, None  # in place: the head's is too large to copy
        return None, None, *(None if g is None else g.mul_(upstream) for g in gradients)


def _coefficients(coefficients: Mapping[str, float], branch: str) -> tuple[float, float]:
    """Of a branch's CE and KD."""
    ce, kd = (coefficients.get(f"{term}_{branch}", 0.0) for term in ("ce", "kd"))
    return ce, kd


def _chunks(groups: list[Group]):
    """Every group with one slice after the other of its tokens."""
    for group in groups:
        for start in range(0, len(group.labels), ROWS):
            yield group, slice(start, start + ROWS)


def _teach(group: Group, rows: slice) -> Tensor:
    states, head = group.teacher
    return head.log_softmax(states[rows]).exp_()


def _cross_entropy(log_q: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """CE of log-probabilities (c, V), given labels (c,)."""
    ce = F.nll_loss(log_q, labels, reduction="sum")
    if label_smoothing:
        ce = (1 - label_smoothing) * ce - label_smoothing * log_q.mean(-1).sum()
    return ce


def _to_logit_gradient(q, labels, p, ce, kd, label_smoothing) -> None:
    """Turn probabilities (c, V) into the gradient of `ce CE + kd KD`: themselves less
    what they should be."""
    q.mul_(ce + kd)
    q.sub_(ce * label_smoothing / q.size(1))
    q[torch.arange(len(labels)), labels] -= ce * (1 - label_smoothing)
    if p is not None:
        q.sub_(p, alpha=kd)
