"""CE and KD in chunks of tokens, against plain implementations that hold all logits."""

import pytest
import torch
from torch.nn import functional as F

from comsl.model.language_model import Head
from comsl.model.objectives import likelihood as module
from comsl.model.objectives.likelihood import Group, likelihood

TOKENS, WIDTH, VOCABULARY = 11, 6, 23
SLOPES = {"ce_mt": 0.8, "kd_mt": 0.2, "ce_st": 0.1, "kd_st": 0.9, "ce_asr": 0.7, "kd_asr": 0.0}


@pytest.fixture
def parts():
    """Decoder states of three branches, labels, the head, and a teacher with a head of its own."""
    torch.manual_seed(0)
    tensor = torch.randn(5, TOKENS, WIDTH)
    weight, other = torch.randn(2, VOCABULARY, WIDTH)
    bias = torch.randn(VOCABULARY)
    leaves = [*(t.clone().requires_grad_() for t in tensor[:3]), weight.requires_grad_()]
    labels = torch.randint(VOCABULARY, (2, TOKENS))
    return leaves, labels, bias, (tensor[3], Head(other, bias))


def chunked(leaves, labels, bias, teacher, smoothing):
    mt, st, asr, weight = leaves
    groups = [Group({"mt": mt, "st": st}, labels[0], teacher), Group({"asr": asr}, labels[1])]
    return likelihood(groups, Head(weight, bias), SLOPES, smoothing)


def plain(leaves, labels, bias, teacher, smoothing):
    mt, st, asr, weight = leaves
    q = {name: s @ weight.T + bias for name, s in (("mt", mt), ("st", st), ("asr", asr))}
    p = teacher[0] @ teacher[1].weight.T + bias
    terms = {
        f"ce_{name}": F.cross_entropy(
            logits, labels[int(name == "asr")], reduction="sum", label_smoothing=smoothing
        )
        for name, logits in q.items()
    }
    terms["kd_mt"] = F.cross_entropy(q["mt"], p.softmax(-1), reduction="sum")
    terms["kd_st"] = F.cross_entropy(q["st"], q["mt"].detach().softmax(-1), reduction="sum")
    return sum(SLOPES[name] * term for name, term in terms.items()), terms


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [1, 4, 100])
def test_terms_and_gradients_are_the_plain_ones(parts, monkeypatch, rows, smoothing):
    monkeypatch.setattr(module, "ROWS", rows)
    total, terms = chunked(*parts, smoothing)
    expected_total, expected = plain(*parts, smoothing)
    assert terms.keys() == expected.keys()  # no kd_asr: its slope is 0
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term.detach())
        assert not terms[name].requires_grad
    torch.testing.assert_close(total, expected_total)
    ours = torch.autograd.grad(3 * total, parts[0])
    theirs = torch.autograd.grad(3 * expected_total, parts[0])
    torch.testing.assert_close(ours, theirs)
    with pytest.raises(RuntimeError, match="one backward pass"):
        torch.autograd.grad(total, parts[0])


def test_without_gradient_the_values_are_the_same(parts):
    with torch.no_grad():
        total, _ = chunked(*parts, 0.0)
    torch.testing.assert_close(total, plain(*parts, 0.0)[0].detach())
